"""FROC against LUNA16's procedure in plain loops, and by hand."""

import numpy as np
import pytest

from kmed.metrics.froc import RATES, class_marks, froc, sensitivity_at_rates

LABELS = ["nodule", "mass"]


def data(images=15, difficult=0.2, ties=False, seed=0):
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(images):
        count, detections = rng.integers(0, 5), rng.integers(0, 40)
        corner = rng.uniform(0, 200, (count, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(10, 40, (count, 2))], axis=1)
        labels = rng.integers(0, 2, count)
        anywhere = rng.uniform(0, 200, (detections, 2))
        there = np.concatenate([anywhere, anywhere + 25], axis=1)
        if count:
            near = rng.integers(0, count, detections // 3)
            there[: len(near)] = boxes[near] + rng.normal(0, 2, (len(near), 4))
        said = rng.integers(0, 2, detections)
        if count:
            said[: len(near)] = np.where(rng.random(len(near)) < 0.8, labels[near], 1)
        scores = rng.random(detections)
        scores[: detections // 3] += 0.2
        scores = np.round(scores, 1) if ties else scores
        truth.append({"boxes": boxes, "labels": labels, "difficult": rng.random(count) < difficult})
        found.append({"boxes": there, "scores": scores, "labels": said})
    return truth, found


def hits(box, other, hit, least):
    if hit == "centre":
        dx = (box[0] + box[2] - other[0] - other[2]) / 2
        dy = (box[1] + box[3] - other[1] - other[3]) / 2
        radius = (other[2] - other[0] + other[3] - other[1]) / 4
        return np.hypot(dx, dy) < radius
    width = max(min(box[2], other[2]) - max(box[0], other[0]), 0)
    height = max(min(box[3], other[3]) - max(box[1], other[1]), 0)
    area = (box[2] - box[0]) * (box[3] - box[1]) + (other[2] - other[0]) * (other[3] - other[1])
    return width * height / (area - width * height) >= least


def loop_froc(truth, found, classes, hit="iou", least=0.5):
    """Sensitivities at the seven rates: for each threshold a walk over everything."""
    best, false = [], []
    for one, other in zip(truth, found, strict=True):
        used = set()
        for g, box in enumerate(one["boxes"]):
            on = [
                d
                for d, placed in enumerate(other["boxes"])
                if other["labels"][d] == one["labels"][g] and hits(placed, box, hit, least)
            ]
            used.update(on)
            if one["labels"][g] in classes and not one["difficult"][g]:
                best.append(max((other["scores"][d] for d in on), default=None))
        for d, score in enumerate(other["scores"]):
            if d not in used and other["labels"][d] in classes:
                false.append(score)
    points = [(0.0, 0.0)]
    for level in sorted({*false, *(s for s in best if s is not None)}, reverse=True):
        wrong = sum(score >= level for score in false)
        right = sum(score is not None and score >= level for score in best)
        points.append((wrong / len(truth), right / len(best)))
    x, y = np.array(points).T
    return points, [np.interp(rate, x, y) for rate in RATES]


@pytest.mark.parametrize("hit", ["iou", "centre"])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_against_loops(hit, ties, seed):
    truth, found = data(ties=ties, seed=seed)
    curves = froc(truth, found, LABELS, hit=hit)
    assert list(curves) == [*LABELS, "all"]
    for curve, classes in zip(curves.values(), ([0], [1], [0, 1]), strict=True):
        points, at_rates = loop_froc(truth, found, classes, hit)
        np.testing.assert_allclose(curve.false_positives, [x for x, _ in points])
        np.testing.assert_allclose(curve.sensitivity, [y for _, y in points])
        np.testing.assert_allclose(curve.at_rates, at_rates)
        assert curve.average == pytest.approx(np.mean(at_rates))
        assert curve.rates.tolist() == list(RATES) and curve.images == 15
        assert len(curve.thresholds) == len(points) and curve.thresholds[0] == np.inf
        assert (np.diff(curve.thresholds[1:]) < 0).all()
    assert 0.1 < curves["all"].average < 1
    assert curves["all"].objects == curves["nodule"].objects + curves["mass"].objects


@pytest.mark.parametrize("ties", [False, True])
def test_samples_of_images(ties):
    truth, found = data(ties=ties)
    weights = np.random.default_rng(1).integers(0, 4, (20, len(truth))).astype(float)
    sampled = sensitivity_at_rates(class_marks(truth, found, LABELS)[-1], weights)
    for row, values in zip(weights.astype(int), sampled, strict=True):
        drawn = np.repeat(np.arange(len(truth)), row)
        _, expected = loop_froc([truth[i] for i in drawn], [found[i] for i in drawn], [0, 1])
        np.testing.assert_allclose(values, expected)


def test_by_hand():
    # Four images, four objects. From the best score down: hit, false, false, hit, hit again on
    # the first object, false; one object is never found and one only by a box of another class.
    box, far = [0, 0, 10, 10], [50, 50, 60, 60]
    nothing = {"boxes": [], "labels": []}
    truth = [
        {"boxes": [box, far], "labels": [0, 0]},
        {"boxes": [box], "labels": [0]},
        {"boxes": [box], "labels": [0]},
        nothing,
    ]
    found = [
        {"boxes": [box, box], "scores": [0.9, 0.5], "labels": [0, 0]},
        {"boxes": [far, box], "scores": [0.8, 0.6], "labels": [0, 0]},
        {"boxes": [box, far], "scores": [0.95, 0.4], "labels": [1, 0]},
        {"boxes": [far], "scores": [0.7], "labels": [0]},
    ]
    curve = froc(truth, found, LABELS)["nodule"]
    assert curve.false_positives.tolist() == [0, 0, 0.25, 0.5, 0.5, 0.75]
    assert curve.sensitivity.tolist() == [0, 0.25, 0.25, 0.25, 0.5, 0.5]
    assert curve.thresholds.tolist() == [np.inf, 0.9, 0.8, 0.7, 0.6, 0.4]
    assert curve.at_rates.tolist() == [0.25, 0.25, 0.5, 0.5, 0.5, 0.5, 0.5]
    assert curve.average == pytest.approx(3 / 7) and (curve.objects, curve.images) == (4, 4)


def test_the_centre_must_lie_within_the_radius():
    truth = [{"boxes": [[0, 0, 20, 20]], "labels": [0]}]

    def found(shift):
        return [{"boxes": [[shift, 0, 20 + shift, 20]], "scores": [0.5], "labels": [0]}]

    for shift, hit in ((9.9, 1.0), (10.0, 0.0)):
        assert froc(truth, found(shift), LABELS, hit="centre")["nodule"].average == hit
    assert froc(truth, found(9.9), LABELS)["nodule"].average == 0
    assert froc(truth, found(9.9), LABELS, iou=0.3)["nodule"].average == 1


def test_between_points_of_equal_scores_the_curve_is_straight():
    # A hit and two false positives at one score, in one image: half way at one false positive.
    truth = [{"boxes": [[0, 0, 10, 10]], "labels": [0]}]
    boxes = [[0, 0, 10, 10], [50, 0, 60, 10], [70, 0, 80, 10]]
    found = [{"boxes": boxes, "scores": [0.5] * 3, "labels": [0] * 3}]
    curve = froc(truth, found, LABELS, rates=[0.5, 1, 2, 3])["nodule"]
    assert curve.at_rates.tolist() == [0.25, 0.5, 1.0, 1.0]


def test_difficult_objects_count_neither_for_nor_against():
    boxes = [[0, 0, 10, 10], [20, 0, 30, 10]]
    truth = [{"boxes": boxes, "labels": [0, 0], "difficult": [True, False]}]
    found = [{"boxes": [*boxes, boxes[0]], "scores": [0.9, 0.8, 0.7], "labels": [0] * 3}]
    curve = froc(truth, found, LABELS)["nodule"]
    assert curve.objects == 1 and curve.average == 1.0 and not curve.false_positives.any()


def test_nothing_there_and_nothing_found():
    nothing = {"boxes": [], "labels": []}
    box = {"boxes": [[0, 0, 10, 10]], "labels": [0]}
    curve = froc([box], [nothing | {"scores": []}], LABELS)["nodule"]
    assert curve.average == 0 and curve.sensitivity.tolist() == [0.0]
    curves = froc([nothing], [box | {"scores": [0.5]}], LABELS)
    for name in ("nodule", "all"):
        assert np.isnan(curves[name].average) and curves[name].false_positives.tolist() == [0, 1]


def test_refusals():
    truth, found = data(images=2)
    for settings, match in [
        ({"hit": "dice"}, "hit"),
        ({"iou": 2}, "iou"),
        ({"rates": [-1]}, "rates"),
        ({"rates": []}, "rates"),
    ]:
        with pytest.raises(ValueError, match=match):
            froc(truth, found, LABELS, **settings)
