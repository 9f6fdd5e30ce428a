"""The matching against plain loops, against pycocotools, and by hand."""

import numpy as np
import pytest

from kmed.metrics.box_matching import corner_and_size, matched, overlaps
from kmed.metrics.coco_average_precision import coco_evaluation
from kmed.ops.boxes import iou as boxes_iou


def data(images=12, classes=2, difficult=0.2, seed=0):
    """Objects on a crowded field and detections shaken off them, some of another class."""
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(images):
        count, detections = rng.integers(0, 7), rng.integers(0, 25)
        corner = rng.uniform(0, 60, (count, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(8, 40, (count, 2))], axis=1)
        labels = rng.integers(0, classes, count)
        near = rng.integers(0, count, detections) if count else np.zeros(0, int)
        shaken = boxes[near] + rng.normal(0, 2, (len(near), 4))
        shaken[:, 2:] = np.maximum(shaken[:, 2:], shaken[:, :2] + 1)
        said = np.where(rng.random(len(near)) < 0.8, labels[near], rng.integers(0, classes))
        scores = rng.random(len(near))
        truth.append({"boxes": boxes, "labels": labels, "difficult": rng.random(count) < difficult})
        found.append({"boxes": shaken, "scores": scores, "labels": said})
    return truth, found


def loop_iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def loop_match(truth, found, least):
    """Index of the object that each detection takes, -1 for none."""
    taken = {}
    for d in sorted(range(len(found["scores"])), key=lambda d: -found["scores"][d]):
        for kind in (False, True):
            near = [
                (loop_iou(found["boxes"][d], truth["boxes"][g]), g)
                for g in range(len(truth["labels"]))
                if g not in taken.values()
                and truth["labels"][g] == found["labels"][d]
                and truth["difficult"][g] == kind
            ]
            near = [pair for pair in near if pair[0] >= least]
            if near:
                taken[d] = max(near)[1]
                break
    return [taken.get(d, -1) for d in range(len(found["scores"]))]


@pytest.mark.parametrize("least", [0.3, 0.5, 0.75])
@pytest.mark.parametrize("seed", range(4))
def test_against_loops(least, seed):
    truth, found = data(seed=seed)
    total = 0
    for one, other, match in zip(truth, found, matched(truth, found, least), strict=True):
        objects = loop_match(one, other, least)
        assert match.objects.tolist() == objects
        difficult = [g >= 0 and bool(one["difficult"][g]) for g in objects]
        hits = [g >= 0 and not d for g, d in zip(objects, difficult, strict=True)]
        assert match.hits.tolist() == hits
        assert match.false_positives.tolist() == [g < 0 for g in objects]
        missed = [g not in objects and not d for g, d in enumerate(one["difficult"])]
        assert match.missed.tolist() == missed
        total += sum(hits)
    assert total > 10


def test_against_pycocotools():
    truth, found = data(images=30, seed=7)
    evaluation = coco_evaluation(truth, found, ["a", "b"])
    for overlap, index in ((0.5, 0), (0.75, 5)):
        matches = matched(truth, found, overlap)
        for k in range(2):
            for image, entry in enumerate(evaluation.evalImgs[k * 4 * 30 :][:30]):
                if entry is None:
                    continue
                rows = found[image]["labels"] == k
                rows = np.flatnonzero(rows)[np.argsort(-found[image]["scores"][rows])]
                hit = (entry["dtMatches"][index] > 0) & ~entry["dtIgnore"][index]
                assert matches[image].hits[rows].tolist() == hit.tolist()
                ignored = entry["dtIgnore"][index]
                false = matches[image].false_positives[rows]
                assert false.tolist() == (~hit & ~ignored).tolist()


def test_by_hand():
    truth = {
        "boxes": [[0, 0, 10, 10], [100, 0, 110, 10], [200, 0, 210, 10], [300, 0, 310, 10]],
        "labels": [0, 0, 1, 0],
        "difficult": [False, False, False, True],
    }
    boxes = {
        "hit, exactly one half": [0, 0, 10, 5],
        "a better box comes second": [0, 0, 10, 10],
        "another class": [200, 0, 210, 10],
        "difficult": [300, 0, 310, 10],
        "difficult again": [300, 0, 310, 9],
        "nowhere": [400, 0, 410, 10],
    }
    found = {"boxes": list(boxes.values()), "scores": [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]}
    match = matched([truth], [found | {"labels": [0] * 6}])[0]
    assert match.hits.tolist() == [True, False, False, False, False, False]
    assert match.false_positives.tolist() == [False, True, True, False, True, True]
    assert match.objects.tolist() == [0, -1, -1, 3, -1, -1]
    assert match.missed.tolist() == [False, True, True, False]


def test_threshold_and_order_of_rows():
    truth = [{"boxes": [[0, 0, 10, 10]], "labels": [0]}]
    found = [{"boxes": [[0, 0, 10, 9], [0, 0, 10, 10]], "scores": [0.3, 0.8], "labels": [0, 0]}]
    assert matched(truth, found)[0].hits.tolist() == [False, True]
    match = matched(truth, found, threshold=0.5)[0]
    assert not match.false_positives.any() and match.hits.tolist() == [False, True]
    match = matched(truth, found, threshold=0.9)[0]
    assert not match.hits.any() and not match.false_positives.any() and match.missed.all()


def test_nothing_there_and_nothing_found():
    nothing = {"boxes": [], "labels": []}
    box = {"boxes": [[0, 0, 1, 1]], "labels": [0]}
    matches = matched(
        [nothing, nothing, box],
        [nothing | {"scores": []}, box | {"scores": [0.5]}, nothing | {"scores": []}],
    )
    assert [len(m.hits) for m in matches] == [0, 1, 0]
    assert matches[1].false_positives.all() and matches[2].missed.all()
    assert matched([box], [box | {"scores": [0.5]}], 1.0)[0].hits.all()


def test_overlaps():
    truth, found = data()
    image = max(range(len(truth)), key=lambda i: len(truth[i]["labels"]))
    one, other = truth[image]["boxes"], found[image]["boxes"]
    expected = [[loop_iou(a, b) for b in one] for a in other]
    np.testing.assert_allclose(overlaps(other, one), expected, rtol=1e-12)
    np.testing.assert_allclose(np.asarray(boxes_iou(other, one)), expected, atol=1e-5)
    assert overlaps(np.zeros((0, 4)), one).shape == (0, len(one))
    assert corner_and_size(np.array([[1.0, 2, 4, 6]])).tolist() == [[1, 2, 3, 4]]


def test_refusals():
    truth = {"boxes": [[0, 0, 10, 10]], "labels": [0]}
    found = truth | {"scores": [0.5]}
    for one, other, match in [
        ([], [], "at least one image"),
        ([truth], [found, found], "received 1 and 2"),
        ([truth], [truth], r"found\[0\].*'scores'"),
        ([truth], [found | {"scores": [0.5, 0.4]}], r"\['scores'\]` must have shape \(1,\)"),
        ([truth], [found | {"scores": [np.nan]}], "finite"),
        ([truth | {"boxes": [[0, 0, 10]]}], [found], r"truth\[0\]\['boxes'\]` must have shape"),
        ([truth | {"boxes": [[10, 0, 10, 10]]}], [found], "must have an area"),
        ([truth | {"difficult": [True, False]}], [found], "difficult"),
        ([truth], [found | {"labels": [-1]}], "Cut padding rows"),
    ]:
        with pytest.raises(ValueError, match=match):
            matched(one, other)
    for iou in (0.0, 1.1):
        with pytest.raises(ValueError, match="iou"):
            matched([truth], [found], iou)
