import keras
import numpy as np
import pytest

from kmed.export.tflite import export_tflite, load_tflite, operators
from kmed.ops.suppression import select_detections, suppress

M = 100


def overlap(box, boxes):
    sides = np.clip(np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2]), 0, None)
    both = sides.prod(axis=1)
    return both / ((box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) - both)


def plain(boxes, scores, threshold):
    """Greedy suppression as one would write it on paper."""
    order, kept = np.argsort(-scores, kind="stable"), []
    while len(order):
        kept.append(order[0])
        order = order[overlap(boxes[order[0]], boxes[order]) <= threshold]
    return kept


def random_boxes(images, count, classes, seed=0):
    random = np.random.default_rng(seed)
    corner = random.uniform(0, 80, (images, count, 2))
    sides = random.uniform(5, 30, (images, count, 2))
    boxes = np.concatenate([corner, corner + sides], axis=-1).astype("float32")
    return boxes, random.uniform(0, 1, (images, count, classes)).astype("float32")


@pytest.mark.parametrize("own_boxes", [False, True])
def test_detections_equal_plain_loops(own_boxes):
    boxes, scores = random_boxes(3, 200, 4)
    per_class = np.repeat(boxes[:, :, None], 4, axis=2)
    if own_boxes:
        per_class = per_class + np.arange(4, dtype="float32")[:, None] * 3
    found = select_detections(
        per_class if own_boxes else boxes,
        scores,
        score_threshold=0.3,
        iou_threshold=0.45,
        candidates=60,
        max_detections=M,
    )
    for i in range(3):
        expected = []
        for k in range(4):
            best = np.argsort(-scores[i, :, k], kind="stable")[:60]
            best = best[scores[i, best, k] > 0.3]
            chosen = per_class[i, best, k]
            for j in plain(chosen, scores[i, best, k], 0.45):
                expected.append((scores[i, best[j], k], k, *chosen[j]))
        expected = np.array(sorted(expected, reverse=True)[:M])
        count = int(found["count"][i])
        assert count == len(expected)
        assert np.array_equal(found["scores"][i, :count], expected[:, 0].astype("float32"))
        assert np.array_equal(found["labels"][i, :count], expected[:, 1])
        assert np.allclose(found["boxes"][i, :count], expected[:, 2:])
        assert np.all(found["labels"][i, count:] == -1)
        assert not np.any(found["boxes"][i, count:])


def test_classes_suppress_each_other_only_where_asked():
    boxes = np.float32([[[0, 0, 4, 4], [0, 0, 4, 5]]])
    scores = np.float32([[[0.9, 0.0], [0.0, 0.8]]])
    options = {"score_threshold": 0.1, "iou_threshold": 0.5}
    assert int(select_detections(boxes, scores, **options)["count"][0]) == 2
    alone = select_detections(boxes, scores, class_agnostic=True, **options)
    assert np.asarray(alone["labels"])[0, :2].tolist() == [0, -1]


def test_soft_suppression_lowers_scores():
    boxes = np.float32([[[0, 0, 4, 4], [0, 0, 4, 5], [20, 20, 24, 24]]])
    scores = np.float32([[0.9, 0.8, 0.5]])
    kept, count, lowered = suppress(boxes, scores, 3, iou_threshold=1.0, soft_sigma=0.5)
    assert np.asarray(kept).tolist() == [[0, 2, 1]] and int(count[0]) == 3
    assert np.asarray(lowered)[0] == pytest.approx([0.9, 0.5, 0.8 * np.exp(-(0.8**2) / 0.5)])


def test_wild_boxes_below_the_threshold_do_not_cost_precision():
    boxes = np.float32([[[0.25, 0.5, 4.125, 4], [-1e30, -1e30, 1e30, 1e30]]])
    scores = np.float32([[[0.9, 0.0], [0.01, 0.01]]])
    found = select_detections(boxes, scores, score_threshold=0.1, iou_threshold=0.5)
    assert np.asarray(found["boxes"])[0, 0].tolist() == [0.25, 0.5, 4.125, 4]


def test_boxes_without_area_are_no_detections():
    boxes = np.float32([[[5, 5, 5, 9], [5, 5, 9, 5], [9, 9, 5, 5], [0, 0, 1, 1]]])
    scores = np.float32([[[0.9], [0.8], [0.7], [0.6]]])
    found = select_detections(boxes, scores, score_threshold=0.1, iou_threshold=0.5)
    assert int(found["count"][0]) == 1
    assert np.asarray(found["boxes"])[0, 0].tolist() == [0, 0, 1, 1]


def test_nothing_found():
    boxes, scores = random_boxes(2, 30, 3)
    found = select_detections(boxes, scores * 0, score_threshold=0.1, iou_threshold=0.5)
    assert np.asarray(found["count"]).tolist() == [0, 0]
    assert np.all(np.asarray(found["labels"]) == -1)


class Selecting(keras.layers.Layer):
    def call(self, x):
        return select_detections(
            x[..., :4], x[..., 4:], score_threshold=0.3, iou_threshold=0.45, max_detections=M
        )

    def compute_output_spec(self, x):
        return {
            "boxes": keras.KerasTensor((None, M, 4)),
            "scores": keras.KerasTensor((None, M)),
            "labels": keras.KerasTensor((None, M), "int32"),
            "count": keras.KerasTensor((None,), "int32"),
        }


def test_tflite_gives_the_same_by_built_in_operators(tmp_path):
    boxes, scores = random_boxes(1, 200, 3)
    boxes[:, ::7, 2] = boxes[:, ::7, 0]  # without area, of which TFLite's kernel finds no end
    image = keras.Input((10, 20, 7), name="image")
    model = keras.Model(image, Selecting()(keras.layers.Reshape((200, 7))(image)))
    path = export_tflite(model, tmp_path / "model.tflite")
    assert "NON_MAX_SUPPRESSION_V5" in operators(path)
    raw = np.concatenate([boxes, scores], axis=-1).reshape(1, 10, 20, 7)
    expected = {name: np.asarray(value)[0] for name, value in model(raw).items()}
    found = load_tflite(path)(raw[0])
    for name, value in expected.items():
        assert np.array_equal(value, found[name]), name
