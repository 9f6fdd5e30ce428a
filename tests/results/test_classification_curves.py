"""What the figures say, in every kind of classification."""

import re
import xml.etree.ElementTree as ElementTree

import matplotlib
import numpy as np
import pytest

from kmed import metrics
from kmed.results.classification_curves import (
    confusion_figure,
    precision_recall_figure,
    reliability_figure,
    risk_coverage_figure,
    roc_figure,
)

FIGURES = [
    confusion_figure,
    precision_recall_figure,
    reliability_figure,
    risk_coverage_figure,
    roc_figure,
]
LABELS = ["_healthy", "mild & $odd$", "severe"]


def data(kind, rows=50):
    rng = np.random.default_rng(0)
    if kind == "multilabel":
        truth = rng.integers(0, 2, (rows, 3))
        return truth, 1 / (1 + np.exp(-rng.normal(2 * truth - 1, 1))), LABELS
    classes = 2 if kind == "binary" else 3
    truth = rng.integers(0, classes, rows)
    p = np.exp(rng.normal(2 * np.eye(classes)[truth], 1))
    return truth, p / p.sum(1, keepdims=True), LABELS[:classes]


def texts(svg):
    root = ElementTree.fromstring(svg)
    return [element.text.strip() for element in root.iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize("kind", metrics.KINDS)
def test_every_kind_is_drawn_alike_each_time(figure, kind):
    before = dict(matplotlib.rcParams)
    arguments = data(kind)
    svg = figure(*arguments, kind=kind)
    assert svg == figure(*arguments, kind=kind)
    assert dict(matplotlib.rcParams) == before
    assert svg.startswith("<svg") and svg.endswith("</svg>") and "#ffffff" not in svg
    assert "currentColor" in svg and "#010203" not in svg
    assert texts(svg)


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize("kind", ["binary", "multilabel"])
def test_a_class_that_is_missing_or_alone(figure, kind):
    truth, p, labels = data(kind)
    for value in (0, 1):
        assert figure(np.full_like(truth, value), p, labels, kind=kind)


def test_roc_names_area_interval_and_operating_point():
    truth, p, labels = data("binary")
    options = {"kind": "binary", "thresholds": 0.3}
    report = metrics.classification_report(truth, p, labels, resamples=100, **options)
    found = texts(roc_figure(truth, p, labels, report=report, **options))
    values = report["mild & $odd$"]
    area = values["auc"]
    assert f"mild & $odd$ {area.value:.3f} ({area.low:.3f} to {area.high:.3f})" in found
    point = (values["sensitivity"].value, values["specificity"].value)
    assert "sensitivity {:.3f}, specificity {:.3f}".format(*point) in found
    found = texts(roc_figure(truth, p, labels, **options))
    assert f"mild & $odd$ {area.value:.3f}" in found and not any("healthy" in t for t in found)


def test_the_operating_point_lies_on_the_curve():
    truth, p, labels = data("binary")
    threshold = metrics.choose_threshold(truth, p[:, 1])
    curve = metrics.roc_curve(truth, p[:, 1])
    found = " ".join(texts(roc_figure(truth, p, labels, kind="binary", thresholds=threshold)))
    sens, spec = map(
        float, re.search(r"sensitivity ([\d.]+), specificity ([\d.]+)", found).groups()
    )
    points = np.stack([curve.true_positive_rate, 1 - curve.false_positive_rate], 1)
    assert abs(points - [sens, spec]).max(axis=1).min() < 1e-3


def test_precision_and_the_share_of_positives():
    truth, p, labels = data("binary")
    found = texts(precision_recall_figure(truth, p, labels, kind="binary"))
    assert f"mild & $odd$ {metrics.average_precision(truth, p[:, 1]):.3f}" in found
    assert "share of mild & $odd$" in found


def test_reliability_tells_the_error_of_the_report():
    for kind in ("binary", "multiclass", "ordinal"):
        truth, p, labels = data(kind)
        report = metrics.classification_report(truth, p, labels, kind=kind, resamples=50)
        ece = report["all"]["ece"]
        expected = f"calibration error {ece.value:.3f} ({ece.low:.3f} to {ece.high:.3f})"
        assert expected in texts(reliability_figure(truth, p, labels, kind=kind, report=report))


def test_confusion_counts():
    truth, p = [0, 0, 0, 1, 1, 2], np.eye(3)[[0, 0, 1, 1, 1, 0]]
    found = texts(confusion_figure(truth, p, LABELS, kind="multiclass"))
    assert [t for t in found if t.isdigit()] == list("210020100")
    assert {"truth", "decision", *LABELS} <= set(found)
    truth, p = [[1, 0], [1, 1], [0, 0]], [[1, 0], [0, 1], [1, 0]]
    found = texts(confusion_figure(truth, p, LABELS[:2], kind="multilabel"))
    assert [t for t in found if t.isdigit()] == list("11101002")
    assert {"found", "missed", "false alarm", "rightly not seen"} <= set(found)


def test_risk_and_coverage_of_another_confidence():
    truth, p, labels = data("multiclass")
    wrong = metrics.decisions(p, "multiclass") != truth
    for confidence in (None, np.arange(50.0)):
        used = p.max(axis=1) if confidence is None else confidence
        area = metrics.risk_coverage_area(wrong, used)
        svg = risk_coverage_figure(truth, p, labels, kind="multiclass", confidence=confidence)
        assert f"area {area:.4f}, all images {wrong.mean():.3f}" in texts(svg)


@pytest.mark.parametrize("figure", FIGURES)
def test_what_does_not_fit_is_refused(figure):
    truth, p, labels = data("multiclass")
    with pytest.raises(ValueError, match="do not fit"):
        figure(truth[:-1], p, labels, kind="multiclass")
    with pytest.raises(ValueError, match="kind"):
        figure(truth, p, labels, kind="regression")
