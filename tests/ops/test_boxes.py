import math

import numpy as np
import pytest

from kmed.ops.boxes import area, clip, complete_iou, generalized_iou, iou, to_center, to_corners


def random_boxes(count, seed=0):
    random = np.random.default_rng(seed)
    corner, sides = random.uniform(0, 50, (count, 2)), random.uniform(1, 40, (count, 2))
    return np.concatenate([corner, corner + sides], axis=1).astype("float32")


def painted(box, size=100):
    image = np.zeros((size, size), bool)
    x1, y1, x2, y2 = box.astype(int)
    image[y1:y2, x1:x2] = True
    return image


def test_iou_equals_counted_pixels():
    first, second = random_boxes(5).round(), random_boxes(7, 1).round()
    overlaps = np.asarray(iou(first, second))
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            both, either = painted(a) & painted(b), painted(a) | painted(b)
            assert overlaps[i, j] == pytest.approx(both.sum() / either.sum(), abs=1e-6)


def test_iou_of_batches_and_of_boxes_without_area():
    batch = np.stack([random_boxes(4), random_boxes(4, 2)])
    assert np.allclose(iou(batch, batch)[1], iou(batch[1], batch[1]))
    empty = np.zeros((1, 4), "float32")
    assert float(iou(empty, empty)[0, 0]) == 0.0


def test_generalized_iou_by_hand():
    # Union 7, hull 9, intersection 1.
    first, second = np.float32([0, 0, 2, 2]), np.float32([1, 1, 3, 3])
    assert float(generalized_iou(first, second)) == pytest.approx(1 / 7 - 2 / 9)
    assert float(generalized_iou(first, first)) == 1.0
    assert float(generalized_iou(first * 0, first * 0)) == 0.0


def test_generalized_iou_equals_tensorflow_addons(goldens):
    stored = np.load(goldens / "tensorflow_addons.npz")
    first = stored["boxes_a_yxyx"][:, [1, 0, 3, 2]]
    second = stored["boxes_b_yxyx"][:, [1, 0, 3, 2]]
    assert np.allclose(1 - generalized_iou(first, second), stored["giou"], atol=1e-6)


def test_complete_iou_by_hand():
    # Equal shapes, so no aspect term: IoU 1/3 less (1 / (3^2 + 2^2)).
    value = complete_iou(np.float32([[0, 0, 2, 2]]), np.float32([[1, 0, 3, 2]]))
    assert float(value[0]) == pytest.approx(1 / 3 - 1 / 13, abs=1e-5)
    wide, tall = np.float32([[0, 0, 4, 1]]), np.float32([[0, 0, 1, 4]])
    v = 4 / math.pi**2 * (math.atan(4) - math.atan(1 / 4)) ** 2
    overlap = 1 / 7
    expected = overlap - (1.5**2 + 1.5**2) / 32 - v * v / (1 - overlap + v)
    assert float(complete_iou(wide, tall)[0]) == pytest.approx(expected, abs=1e-5)


def test_corners_and_centres_are_each_other():
    boxes = random_boxes(20)
    assert np.allclose(to_corners(to_center(boxes)), boxes, atol=1e-5)
    assert np.allclose(area(boxes), np.prod(np.asarray(to_center(boxes))[:, 2:], axis=1))


def test_swapped_ends_have_no_area_and_clip_cuts_at_the_edges():
    assert float(area(np.float32([5, 5, 3, 9]))) == 0.0
    cut = clip(np.float32([[-5, -5, 200, 30], [10, 60, 20, 70]]), 50, 100)
    assert np.asarray(cut).tolist() == [[0, 0, 100, 30], [10, 50, 20, 50]]
