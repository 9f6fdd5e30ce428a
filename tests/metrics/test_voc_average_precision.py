"""VOC's average precision against loops in the challenge's own pixel convention, and by hand."""

import numpy as np
import pytest

from kmed.metrics.coco_average_precision import coco_average_precision
from kmed.metrics.voc_average_precision import voc_average_precision

LABELS = ["rbc", "wbc"]


def data(images=14, difficult=0.2, seed=0):
    """Boxes of whole pixels, as VOC's files hold them."""
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(images):
        count = rng.integers(0, 6)
        corner = rng.integers(0, 80, (count, 2))
        boxes = np.concatenate([corner, corner + rng.integers(10, 40, (count, 2))], axis=1)
        labels = rng.integers(0, 2, count)
        near = rng.integers(0, count, 15) if count else np.zeros(0, int)
        shaken = boxes[near] + rng.integers(-3, 4, (len(near), 4))
        said = np.where(rng.random(len(near)) < 0.8, labels[near], rng.integers(0, 2, len(near)))
        scores = rng.random(len(near))
        truth.append({"boxes": boxes, "labels": labels, "difficult": rng.random(count) < difficult})
        found.append({"boxes": shaken, "scores": scores, "labels": said})
    return truth, found


def inclusive(boxes):
    """From edges to VOC's first and last pixel, counted from 1."""
    return np.asarray(boxes, float) + [1, 1, 0, 0]


def loop_average_precision(truth, found, k, least, points):
    detections = sorted(
        (-score, image, row)
        for image, other in enumerate(found)
        for row, score in enumerate(other["scores"])
        if other["labels"][row] == k
    )
    claimed, true, false, objects = set(), 0, 0, 0
    for one in truth:
        objects += sum((one["labels"] == k) & ~one["difficult"])
    recall, precision = [], []
    for _, image, row in detections:
        x1, y1, x2, y2 = inclusive(found[image]["boxes"])[row]
        best, nearest = -np.inf, None
        for g, (u1, v1, u2, v2) in enumerate(inclusive(truth[image]["boxes"])):
            if truth[image]["labels"][g] != k:
                continue
            width = min(x2, u2) - max(x1, u1) + 1
            height = min(y2, v2) - max(y1, v1) + 1
            if width > 0 and height > 0:
                area = (x2 - x1 + 1) * (y2 - y1 + 1) + (u2 - u1 + 1) * (v2 - v1 + 1)
                overlap = width * height / (area - width * height)
                if overlap > best:
                    best, nearest = overlap, g
        if best >= least:
            if not truth[image]["difficult"][nearest]:
                if (image, nearest) in claimed:
                    false += 1
                else:
                    true += 1
                    claimed.add((image, nearest))
        else:
            false += 1
        recall.append(true / objects)
        precision.append(true / (true + false) if true + false else 0.0)
    if points is None:
        area, before = 0.0, 0.0
        for i, level in enumerate(recall):
            area += (level - before) * max(precision[i:])
            before = level
        return area
    levels = [i / (points - 1) for i in range(points)]
    reached = [[p for r, p in zip(recall, precision, strict=True) if r >= t] for t in levels]
    return sum(max(values, default=0.0) for values in reached) / points


@pytest.mark.parametrize("points", [11, None, 101])
@pytest.mark.parametrize("iou", [0.5, 0.7])
@pytest.mark.parametrize("seed", range(3))
def test_against_loops(points, iou, seed):
    truth, found = data(seed=seed)
    values = voc_average_precision(truth, found, LABELS, iou=iou, points=points)
    expected = [loop_average_precision(truth, found, k, iou, points) for k in range(2)]
    assert [values[name] for name in LABELS] == pytest.approx(expected)
    assert values["all"] == pytest.approx(np.mean(expected)) and 0 < values["all"] < 1


def test_by_hand():
    # Five detections of four objects: hit, false, hit, false, hit.
    boxes = [[20 * i, 0, 20 * i + 10, 10] for i in range(4)]
    truth = [{"boxes": boxes, "labels": [0] * 4}]
    there = [boxes[0], [500, 0, 510, 10], boxes[1], [600, 0, 610, 10], boxes[2]]
    found = [{"boxes": there, "scores": [0.9, 0.8, 0.7, 0.6, 0.5], "labels": [0] * 5}]
    eleven = voc_average_precision(truth, found, ["rbc"])
    # precision 1 at recalls 0, .1, .2; 2/3 at .3, .4, .5; 3/5 at .6, .7; none above 3/4
    assert eleven["rbc"] == pytest.approx((3 + 3 * 2 / 3 + 2 * 3 / 5) / 11)
    area = voc_average_precision(truth, found, ["rbc"], points=None)
    assert area == pytest.approx({"rbc": (1 + 2 / 3 + 3 / 5) / 4, "all": (1 + 2 / 3 + 3 / 5) / 4})


def test_a_recall_of_exactly_three_tenths_is_reached():
    boxes = [[20 * i, 0, 20 * i + 10, 10] for i in range(10)]
    found = {"boxes": boxes[:3], "scores": [0.9, 0.8, 0.7], "labels": [0] * 3}
    truth = {"boxes": boxes, "labels": [0] * 10}
    assert voc_average_precision([truth], [found], ["rbc"])["rbc"] == pytest.approx(4 / 11)


def test_a_second_object_is_not_taken_instead():
    # Both detections overlap the first object most; the second one would do for the other, too.
    truth = [{"boxes": [[0, 0, 10, 10], [2, 0, 12, 10]], "labels": [0, 0]}]
    found = [{"boxes": [[0, 0, 10, 10], [0, 0, 11, 10]], "scores": [0.9, 0.8], "labels": [0, 0]}]
    assert voc_average_precision(truth, found, ["rbc"], points=None)["rbc"] == 0.5
    assert coco_average_precision(truth, found, ["rbc"])["rbc"]["ap50"] == pytest.approx(1.0)


def test_difficult_objects_count_neither_for_nor_against():
    boxes = [[0, 0, 10, 10], [20, 0, 30, 10]]
    truth = [{"boxes": boxes, "labels": [0, 0], "difficult": [True, False]}]
    # Twice on the difficult one, before the other: VOC forgives both.
    there = [boxes[0], boxes[0], boxes[1]]
    found = [{"boxes": there, "scores": [0.9, 0.8, 0.7], "labels": [0] * 3}]
    assert voc_average_precision(truth, found, ["rbc"])["rbc"] == 1.0


def test_nothing_there_and_nothing_found():
    nothing = {"boxes": [], "labels": []}
    box = {"boxes": [[0, 0, 10, 10]], "labels": [0]}
    values = voc_average_precision([box], [nothing | {"scores": []}], LABELS)
    assert values["rbc"] == values["all"] == 0 and np.isnan(values["wbc"])
    values = voc_average_precision([nothing], [box | {"scores": [0.5]}], LABELS)
    assert np.isnan(list(values.values())).all()


def test_refusals():
    truth, found = data(images=2)
    for settings, match in [({"points": 1}, "points"), ({"iou": 0}, "iou")]:
        with pytest.raises(ValueError, match=match):
            voc_average_precision(truth, found, LABELS, **settings)
    with pytest.raises(ValueError, match="received 2 and 1"):
        voc_average_precision(truth, found[:1], LABELS)
