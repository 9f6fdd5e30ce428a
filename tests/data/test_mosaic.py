import numpy as np
import pytest
import tensorflow as tf

from kmed.data.box_windows import boxes_through_window, image_through_window
from kmed.data.mosaic import draw_mosaic, draw_sources, joined

SIZE = (40, 60)


def test_corners_tile_the_mosaic():
    shown = tf.constant([50, 80])
    windows, corners = (x.numpy() for x in draw_mosaic(300, SIZE, shown, [1, 2]))
    assert windows.shape == corners.shape == (300, 4, 4)
    np.testing.assert_array_equal(corners, np.round(corners))
    x, y = corners[:, 0, 2], corners[:, 0, 3]
    zero, right, bottom = np.zeros(300), np.full(300, 80), np.full(300, 50)
    for part, sides in enumerate(
        ((zero, zero, x, y), (x, zero, right, y), (zero, y, x, bottom), (x, y, right, bottom))
    ):
        np.testing.assert_array_equal(corners[:, part], np.stack(sides, axis=-1))
    for place, length in ((x, 80), (y, 50)):
        assert 0.25 * length - 0.5 <= place.min() < 0.3 * length
        assert 0.7 * length < place.max() <= 0.75 * length + 0.5


def test_parts_lie_inside_of_their_images_and_keep_their_shape():
    windows, corners = (x.numpy() for x in draw_mosaic(300, SIZE, tf.constant(SIZE), [1, 2]))
    assert windows.min() > -1e-3 and (windows[..., 2:] < np.array([60, 40]) + 1e-3).all()
    scale = (corners[..., 2:] - corners[..., :2]) / (windows[..., 2:] - windows[..., :2])
    np.testing.assert_allclose(scale[..., 0], scale[..., 1], rtol=1e-4)  # no other aspect ratio
    assert scale.max() <= 1.0001
    # At the smallest scale, the image is just as wide or as high as its corner.
    share = (corners[..., 2:] - corners[..., :2]) / np.array([60, 40])
    assert (scale[..., 0] >= share.max(-1) - 1e-4).all()
    draw = (scale[..., 0] - share.max(-1)) / (1 - share.max(-1))
    assert draw.min() < 0.02 and draw.max() > 0.98 and abs(draw.mean() - 0.5) < 0.03


@pytest.mark.parametrize("seed", range(2))
def test_painted_boxes_are_found_again(seed):
    # Four images with one painted box each, in a channel of its own.
    boxes = np.array([[10, 8, 40, 30], [20, 12, 50, 36], [4, 4, 44, 24], [22, 10, 52, 34]], "f4")
    images = np.zeros((4, *SIZE, 4), "float32")
    for number, (x1, y1, x2, y2) in enumerate(boxes.astype(int)):
        images[number, y1:y2, x1:x2, number] = 1
    windows, corners = draw_mosaic(1, SIZE, tf.constant(SIZE), [seed, 3])
    mirrored = tf.constant([[False, False], [True, False], [False, True], [True, True]])
    moved, labels = boxes_through_window(
        boxes[:, None], np.arange(4)[:, None], windows[0], mirrored, corners[0]
    )
    parts = []
    for number, corner in enumerate(corners[0].numpy().astype(int)):
        size = [corner[3] - corner[1], corner[2] - corner[0]]
        parts.append(
            image_through_window(images[number], windows[0, number], mirrored[number], size)
        )
    image = joined(parts).numpy()
    assert image.shape == (*SIZE, 4)
    kept = 0
    for number in range(4):
        rows, columns = np.nonzero(image[..., number] > 0.5)
        if labels[number, 0] < 0:
            continue
        kept += 1
        corner = corners[0, number].numpy()
        seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(moved[number, 0], seen, atol=0.6)
        assert (moved[number, 0, :2] >= corner[:2]).numpy().all()
        assert (moved[number, 0, 2:] <= corner[2:]).numpy().all()
    assert kept


@pytest.mark.parametrize("count", [4, 6])
def test_sources_are_four_different_images(count):
    entries = np.arange(3000, dtype="int32") % count
    sources = draw_sources(tf.constant(entries), count, [1, 2]).numpy()
    np.testing.assert_array_equal(sources[:, 0], entries)
    assert all(len(set(row)) == 4 for row in sources.tolist())
    # Each of the others is as likely as any, in each place.
    for place in (1, 2, 3):
        further = np.bincount((sources[:, place] - entries) % count, minlength=count)
        assert further[0] == 0
        np.testing.assert_allclose(further[1:] / 3000, 1 / (count - 1), atol=0.03)


def test_joined_by_hand():
    parts = [tf.fill(shape, float(k)) for k, shape in enumerate(
        [(1, 2, 1), (1, 1, 1), (2, 2, 1), (2, 1, 1)])]  # fmt: skip
    assert joined(parts)[..., 0].numpy().tolist() == [[0, 0, 1], [2, 2, 3], [2, 2, 3]]


def test_equal_seeds_give_equal_mosaics():
    first, second, third = (
        draw_mosaic(3, SIZE, tf.constant(SIZE), seed)[0].numpy()
        for seed in ([1, 2], [1, 2], [1, 3])
    )
    np.testing.assert_array_equal(first, second)
    assert (first != third).any()
