"""The report against plain loops over resamples, and by hand."""

import itertools

import numpy as np
import pytest

from kmed import metrics
from kmed.metrics import classification_report

PER_CLASS = {
    "positives",
    "auc",
    "average_precision",
    "sensitivity",
    "specificity",
    "f1",
    "sensitivity_at_specificity_0.9",
    "specificity_at_sensitivity_0.9",
}
OVERALL = {"auc", "average_precision", "accuracy", "balanced_accuracy", "f1", "ece", "brier"}


def data(kind, rows=60, seed=0):
    rng = np.random.default_rng(seed)
    classes = 2 if kind == "binary" else 3
    truth = rng.integers(0, classes, rows)
    hot = np.eye(classes)[truth]
    if kind == "multilabel":
        truth = hot = rng.integers(0, 2, (rows, classes))
        p = 1 / (1 + np.exp(-rng.normal(3 * hot - 1.5, 1.5)))
    else:
        z = rng.normal(2 * hot, 1.5)
        p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    patients = rng.integers(0, 20, rows).astype(str)
    return truth, p, ["healthy", "mild", "severe"][:classes], patients


def one_by_one(truth, p, kind, thresholds):
    """The measures of one sample from the public functions, each by itself."""
    predicted = metrics.decisions(p, kind, thresholds)
    classes = range(p.shape[1])
    if kind == "multilabel":
        hot, found = truth, predicted
    else:
        hot, found = np.eye(p.shape[1])[truth], np.eye(p.shape[1])[predicted]
    values = {}
    for k in classes:
        called = found[:, k] == 1
        values[k] = {
            "auc": metrics.auc(hot[:, k], p[:, k]),
            "average_precision": metrics.average_precision(hot[:, k], p[:, k]),
            "sensitivity": called[hot[:, k] == 1].mean(),
            "specificity": (~called)[hot[:, k] == 0].mean(),
            "f1": metrics.dice_score(hot[:, k], found[:, k]),
            "sensitivity_at_specificity_0.9": metrics.sensitivity_at_specificity(
                hot[:, k], p[:, k], 0.9
            ),
            "specificity_at_sensitivity_0.9": metrics.specificity_at_sensitivity(
                hot[:, k], p[:, k], 0.9
            ),
        }
    mean = {key: np.mean([values[k][key] for k in classes]) for key in values[0]}
    overall = {key: mean[key] for key in ("auc", "average_precision", "f1")}
    overall["brier"] = metrics.brier_score(truth, p, kind)
    overall["balanced_accuracy"] = mean["sensitivity"]
    overall["accuracy"] = (truth == predicted).mean()
    if kind == "multilabel":
        overall["balanced_accuracy"] = (mean["sensitivity"] + mean["specificity"]) / 2
        overall["exact_match"] = (truth == predicted).all(1).mean()
        overall["ece"] = np.mean(
            [metrics.expected_calibration_error(truth[:, k], p[:, k]) for k in classes]
        )
        return {**values, "all": overall}
    matrix = metrics.confusion_matrix(truth, predicted, p.shape[1])
    overall["kappa"] = metrics.kappa(matrix, "quadratic" if kind == "ordinal" else None)
    if kind == "ordinal":
        overall["mean_absolute_error"] = abs(truth - predicted).mean()
    outcome, said = truth == predicted, p[np.arange(len(p)), predicted]
    if kind == "binary":
        outcome, said = truth, p[:, 1]
    overall["ece"] = metrics.expected_calibration_error(outcome, said)
    return {**values, "all": overall}


@pytest.mark.parametrize("kind", metrics.KINDS)
def test_values_and_limits_against_resampled_rows(kind):
    truth, p, labels, patients = data(kind)
    thresholds = {"binary": (0.5, 0.4), "multilabel": (0.3, 0.5, 0.6)}.get(kind)
    report = classification_report(
        truth, p, labels, kind=kind, thresholds=thresholds, patients=patients, resamples=200, seed=5
    )
    names, index = np.unique(patients, return_inverse=True)
    drawn = np.random.default_rng(5).integers(0, len(names), (200, len(names)))
    samples = []
    for row in drawn:
        rows = np.concatenate([np.flatnonzero(index == patient) for patient in row])
        samples.append(one_by_one(truth[rows], p[rows], kind, thresholds))
    whole = one_by_one(truth, p, kind, thresholds)
    shown = [1] if kind == "binary" else range(3)
    for k in [*shown, "all"]:
        found = report["all" if k == "all" else labels[k]]
        assert set(whole[k]) == set(found) - {"positives"}
        for key, value in whole[k].items():
            low, high = np.percentile([sample[k][key] for sample in samples], [2.5, 97.5])
            expected = (value, low, high, len(names), 0)
            assert found[key] == pytest.approx(expected), (kind, k, key)


@pytest.mark.parametrize("kind", metrics.KINDS)
def test_names(kind):
    truth, p, labels, _ = data(kind)
    report = classification_report(truth, p, labels, kind=kind, resamples=10)
    assert list(report) == [*(labels[1:] if kind == "binary" else labels), "all"]
    extra = {
        "binary": {"kappa"},
        "multiclass": {"kappa"},
        "multilabel": {"exact_match"},
        "ordinal": {"kappa", "mean_absolute_error"},
    }[kind]
    assert set(report["all"]) == OVERALL | extra
    assert all(set(report[name]) == PER_CLASS for name in list(report)[:-1])


def test_by_hand():
    p = np.array([0.1, 0.2, 0.7, 0.4, 0.6, 0.9])
    truth = [0, 0, 0, 1, 1, 1]
    report = classification_report(truth, np.stack([1 - p, p], 1), ["no", "yes"], kind="binary")
    yes = {key: interval.value for key, interval in report["yes"].items()}
    assert yes["positives"] == 3 and yes["auc"] == pytest.approx(7 / 9)
    assert yes["sensitivity"] == yes["specificity"] == yes["f1"] == pytest.approx(2 / 3)
    assert yes["sensitivity_at_specificity_0.9"] == pytest.approx(1 / 3)
    assert yes["specificity_at_sensitivity_0.9"] == pytest.approx(2 / 3)
    assert report["all"]["accuracy"].value == pytest.approx(2 / 3)
    assert report["all"]["kappa"].value == pytest.approx(1 / 3)
    assert np.isnan(report["yes"]["positives"].low)


def test_a_missing_class_is_omitted_from_the_means():
    truth, p, _, patients = data("multiclass")
    four = np.concatenate([0.9 * p, np.full((60, 1), 0.1)], axis=1)
    report = classification_report(truth, four, list("abcd"), kind="multiclass", resamples=50)
    missing = report["d"]
    assert missing["positives"].value == 0 and missing["specificity"].value == 1
    for key in PER_CLASS - {"positives", "specificity"}:
        assert np.isnan(missing[key].value) and missing[key].omitted == 1, key
    three = classification_report(truth, p, list("abc"), kind="multiclass", resamples=50)
    for key in ("auc", "average_precision", "f1", "balanced_accuracy"):
        assert report["all"][key].value == pytest.approx(three["all"][key].value)
        assert report["all"][key].omitted == 1 and three["all"][key].omitted == 0
        assert np.isfinite(report["all"][key].low)
    assert report["all"]["accuracy"].omitted == 0


def test_only_one_class_in_the_test_set():
    report = classification_report([1, 1], [[0.2, 0.8], [0.6, 0.4]], ["no", "yes"], kind="binary")
    assert report["all"]["accuracy"].value == 0.5
    assert np.isnan(report["all"]["auc"].value) and report["all"]["auc"].omitted == 2
    assert report["yes"]["sensitivity"].value == 0.5 and np.isnan(report["yes"]["auc"].value)


def test_a_class_of_one_patient_has_a_value_and_no_limits():
    rng = np.random.default_rng(0)
    p = rng.random(40)
    truth = np.arange(40) >= 36  # four images of one patient
    patients = np.minimum(np.arange(40), 36).astype(str)
    report = classification_report(
        truth, np.stack([1 - p, p], 1), ["no", "yes"], kind="binary", patients=patients
    )
    auc = report["yes"]["auc"]
    assert np.isfinite(auc.value) and np.isnan([auc.low, auc.high]).all() and auc.n == 37
    assert np.isfinite(report["all"]["accuracy"].low)


def test_seed_truth_of_one_column_and_repetition():
    truth, p, labels, patients = data("ordinal")

    def report(truth, **settings):
        return classification_report(truth, p, labels, kind="ordinal", resamples=50, **settings)

    assert str(report(truth)) == str(report(truth[:, None]))  # MedMNIST's labels have a second axis
    assert report(truth, seed=1)["all"] != report(truth, seed=2)["all"]
    assert report(truth, level=0.5)["all"]["auc"].low > report(truth)["all"]["auc"].low


def test_refusals():
    truth, p, labels, patients = data("multiclass")

    def report(truth=truth, p=p, labels=labels, kind="multiclass", **settings):
        return classification_report(truth, p, labels, kind=kind, **settings)

    for change, match in [
        ({"kind": "regression"}, "kind"),
        ({"labels": ["a", "b", "all"]}, "different names"),
        ({"labels": ["a", "b", "a"]}, "different names"),
        ({"kind": "binary"}, "two different names"),
        ({"truth": truth[:-1]}, "a row for each example"),
        ({"truth": truth + 1}, r"0..2; received \[3\]"),
        ({"kind": "multilabel"}, r"\(N, K\)"),
        ({"p": p * 2 - 0.5}, "0..1"),
        ({"p": p * np.nan}, "0..1; received nan in row 0"),
        ({"p": p / 2}, "sum to 1"),
        ({"patients": ["a"]}, "one patient for each"),
        ({"level": 95}, "level"),
        ({"thresholds": 0.5}, "most probable class"),
    ]:
        with pytest.raises(ValueError, match=match):
            report(**change)


def test_all_combinations_of_four_examples_are_finite_or_said_to_be_omitted():
    p = np.array([[0.8, 0.2], [0.6, 0.4], [0.4, 0.6], [0.5, 0.5]])
    for truth in itertools.product([0, 1], repeat=4):
        report = classification_report(truth, p, ["no", "yes"], kind="binary", resamples=20)
        for values in report.values():
            for interval in values.values():
                assert np.isfinite(interval.value) or interval.omitted
