"""The report against pycocotools and plain functions on resampled lists of images, and by hand."""

import numpy as np
import pytest

from kmed.metrics.box_matching import matched
from kmed.metrics.coco_average_precision import coco_average_precision, coco_evaluation
from kmed.metrics.detection_report import detection_report
from kmed.metrics.froc import froc

LABELS = ["platelets", "rbc"]
MEASURES = [
    "objects",
    "ap",
    "ap50",
    "ap75",
    "ap_small",
    "ap_medium",
    "ap_large",
    "recall",
    "froc",
    "sensitivity",
    "precision",
    "f1",
    "false_positives_per_image",
]


def data(images=18, seed=0):
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(images):
        count = rng.integers(3, 8)
        size = np.exp(rng.uniform(np.log(10), np.log(200), (count, 1))) * rng.uniform(0.8, 1, 2)
        corner = rng.uniform(0, 300, (count, 2))
        boxes = np.concatenate([corner, corner + size], axis=1)
        labels = rng.integers(0, 2, count)
        near = rng.integers(0, count, 20)
        shaken = boxes[near] + rng.normal(0, 0.08, (20, 4)) * np.tile(size[near], 2)
        said = np.where(rng.random(20) < 0.8, labels[near], rng.integers(0, 2, 20))
        scores = rng.random(20)
        difficult = rng.random(count) < 0.1
        truth.append({"boxes": boxes, "labels": labels, "difficult": difficult})
        found.append({"boxes": shaken, "scores": scores, "labels": said})
    return truth, found


def one_by_one(truth, found, thresholds):
    """The measures of one sample from the public functions, each by itself."""
    values = coco_average_precision(truth, found, LABELS)
    curves = froc(truth, found, LABELS)
    matches = matched(truth, found)
    total = np.zeros(3)
    for k, name in enumerate([*LABELS, "all"]):
        counts = np.zeros(3)
        for one, other, match in zip(truth, found, matches, strict=True):
            if name == "all":
                continue
            shown = (other["labels"] == k) & (other["scores"] >= thresholds[k])
            objects = (one["labels"] == k) & ~one["difficult"]
            counts += [match.hits[shown].sum(), match.false_positives[shown].sum(), objects.sum()]
        total += counts
        true, false, objects = total if name == "all" else counts
        values[name] |= {
            "objects": objects,
            "froc": curves[name].average,
            "sensitivity": true / objects,
            "precision": true / (true + false),
            "f1": 2 * true / (true + false + objects),
            "false_positives_per_image": false / len(truth),
        }
    return values


def test_values_and_limits_against_resampled_images():
    truth, found = data()
    patients = np.arange(18) // 2
    thresholds = (0.3, 0.6)
    report = detection_report(
        truth, found, LABELS, patients=patients, threshold=thresholds, resamples=40, seed=5
    )
    drawn = np.random.default_rng(5).integers(0, 9, (40, 9))
    samples = []
    for row in drawn:
        images = [image for patient in row for image in (2 * patient, 2 * patient + 1)]
        samples.append(
            one_by_one([truth[i] for i in images], [found[i] for i in images], thresholds)
        )
    whole = one_by_one(truth, found, thresholds)
    assert list(report) == [*LABELS, "all"]
    for name, values in report.items():
        assert list(values) == MEASURES
        for key, interval in values.items():
            assert interval.value == pytest.approx(whole[name][key], abs=1e-12), (name, key)
            assert (interval.n, interval.omitted) == (9, 0)
            if key == "objects":
                assert np.isnan([interval.low, interval.high]).all()
                continue
            low, high = np.percentile([sample[name][key] for sample in samples], [2.5, 97.5])
            assert [interval.low, interval.high] == pytest.approx([low, high]), (name, key)
            assert low < high


def test_by_hand():
    # Two objects in two images: one found exactly at 0.9, one missed; one false positive at 0.6.
    truth = [
        {"boxes": [[0, 0, 10, 10]], "labels": [0]},
        {"boxes": [[50, 50, 60, 60]], "labels": [0]},
    ]
    found = [
        {"boxes": [[0, 0, 10, 10]], "scores": [0.9], "labels": [0]},
        {"boxes": [[0, 0, 10, 10]], "scores": [0.6], "labels": [0]},
    ]
    report = detection_report(truth, found, ["cell"], resamples=30)
    values = {key: interval.value for key, interval in report["cell"].items()}
    assert values["objects"] == 2 and values["sensitivity"] == values["precision"] == 0.5
    assert values["f1"] == values["false_positives_per_image"] == values["froc"] == 0.5
    assert [values[key] for key in ("ap", "ap50", "ap_small")] == pytest.approx([51 / 101] * 3)
    assert np.isnan(values["ap_large"]) and report["cell"]["ap_large"].omitted == 1
    # One class: "all" is that class.
    for key, interval in report["all"].items():
        assert interval == pytest.approx(report["cell"][key], nan_ok=True)
    strict = detection_report(truth, found, ["cell"], threshold=0.7, resamples=30)["cell"]
    assert strict["precision"].value == 1 and strict["false_positives_per_image"].value == 0


def test_a_class_without_objects_is_omitted_from_the_means():
    truth, found = data()
    three = detection_report(truth, found, [*LABELS, "wbc"], resamples=30)
    two = detection_report(truth, found, LABELS, resamples=30)
    assert three["wbc"]["objects"].value == 0
    for key in ("ap", "ap_small", "froc", "recall", "sensitivity", "precision"):
        assert np.isnan(three["wbc"][key].value) and three["wbc"][key].omitted == 1, key
    for key in ("ap", "ap50", "ap_large", "recall"):
        assert three["all"][key].omitted == 1 and two["all"][key].omitted == 0
        assert three["all"][key][:4] == two["all"][key][:4]
    assert three["all"]["froc"] == two["all"]["froc"]


def test_a_class_of_one_patient_has_a_value_and_no_limits():
    truth, found = data()
    for image in range(17):
        truth[image] = truth[image] | {"labels": np.zeros(len(truth[image]["labels"]), int)}
    truth[17] = truth[17] | {"labels": np.ones(len(truth[17]["labels"]), int)}
    rbc = detection_report(truth, found, LABELS, resamples=200)["rbc"]
    assert np.isfinite(rbc["ap50"].value) and np.isnan([rbc["ap50"].low, rbc["ap50"].high]).all()
    assert rbc["ap50"].n == 18


def test_images_without_objects_or_detections():
    nothing = {"boxes": [], "labels": []}
    empty = nothing | {"scores": []}
    truth, found = data()
    report = detection_report([*truth, nothing], [*found, empty], LABELS, resamples=20)
    alone = detection_report(truth, found, LABELS, resamples=20)
    assert report["all"]["ap"].value == alone["all"]["ap"].value
    ratio = [r["all"]["false_positives_per_image"].value for r in (report, alone)]
    assert ratio[0] == pytest.approx(ratio[1] * 18 / 19)
    blind = detection_report(truth, [empty] * 18, LABELS, resamples=20)["all"]
    assert blind["ap50"][:3] == blind["froc"][:3] == blind["sensitivity"][:3] == (0, 0, 0)
    assert np.isnan(blind["precision"].value) and blind["precision"].omitted == 1
    healthy = detection_report([nothing] * 2, [empty] * 2, LABELS, resamples=20)["all"]
    assert np.isnan(healthy["ap"].value) and healthy["ap"].omitted == 2
    assert healthy["false_positives_per_image"].value == 0


def test_the_best_detections_of_an_image_count():
    truth, found = data()
    one = detection_report(truth, found, LABELS, max_detections=1, resamples=20)
    expected = coco_average_precision(truth, found, LABELS, max_detections=1)
    assert one["all"]["ap"].value == pytest.approx(expected["all"]["ap"])
    assert coco_evaluation(truth, found, LABELS, max_detections=1).params.maxDets == [1]


def test_seed_level_and_hit():
    truth, found = data()

    def report(**settings):
        return detection_report(truth, found, LABELS, resamples=50, **settings)

    assert str(report()) == str(report(seed=0)) != str(report(seed=1))
    assert report(level=0.5)["all"]["ap"].low > report()["all"]["ap"].low
    assert report(hit="centre")["all"]["froc"].value > report()["all"]["froc"].value


def test_refusals():
    truth, found = data()
    for settings, match in [
        ({"threshold": (0.1, 0.2, 0.3)}, "one for each of the 2 classes"),
        ({"patients": ["a"]}, "one patient for each"),
        ({"level": 95}, "level"),
        ({"hit": "dice"}, "hit"),
        ({"max_detections": 0}, "max_detections"),
    ]:
        with pytest.raises(ValueError, match=match):
            detection_report(truth, found, LABELS, **settings)
    with pytest.raises(ValueError, match=r"class indices 0\.\.0"):
        detection_report(truth, found, ["rbc"])
