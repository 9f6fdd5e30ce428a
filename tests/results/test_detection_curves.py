"""What the figures of a detector say."""

import re
import xml.etree.ElementTree as ElementTree

import matplotlib
import numpy as np
import pytest

from kmed.metrics.coco_average_precision import coco_average_precision
from kmed.metrics.detection_report import detection_report
from kmed.metrics.froc import froc
from kmed.results import panels
from kmed.results.detection_curves import detection_precision_figure, froc_figure

FIGURES = [detection_precision_figure, froc_figure]
LABELS = ["_red", "white & $odd$", "platelet"]


def data(images=12, seed=0):
    """Objects, shifted boxes for most of them, and boxes of nothing."""
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(images):
        count = rng.integers(1, 8)
        corners = rng.uniform(0, 80, (count, 2))
        objects = np.concatenate([corners, corners + rng.uniform(10, 30, (count, 2))], axis=1)
        labels = rng.integers(0, 3, count)
        kept = rng.random(count) < 0.8
        nothing = rng.uniform(0, 60, (5, 2))
        nothing = np.concatenate([nothing, nothing + 20], axis=1)
        boxes = np.concatenate([objects[kept] + rng.normal(0, 2, (kept.sum(), 4)), nothing])
        scores = np.concatenate([rng.uniform(0.3, 1, kept.sum()), rng.uniform(0, 0.7, 5)])
        classes = np.concatenate([labels[kept], rng.integers(0, 3, 5)])
        order = np.argsort(-scores)
        difficult = rng.random(count) < 0.15
        truth.append({"boxes": objects, "labels": labels, "difficult": difficult})
        found.append({"boxes": boxes[order], "scores": scores[order], "labels": classes[order]})
    return truth, found, LABELS


def texts(svg):
    root = ElementTree.fromstring(svg)
    return [element.text.strip() for element in root.iter("{http://www.w3.org/2000/svg}text")]


def axes_of(figure, *arguments, monkeypatch, **options):
    """The axes that a figure draws into."""
    seen = []
    monkeypatch.setattr(panels, "svg_text", lambda drawing: seen.append(drawing) or "")
    figure(*arguments, **options)
    return seen[0].axes[0]


@pytest.mark.parametrize("figure", FIGURES)
def test_drawn_alike_each_time(figure):
    before = dict(matplotlib.rcParams)
    svg = figure(*data(), threshold=0.5)
    assert svg == figure(*data(), threshold=0.5)
    assert dict(matplotlib.rcParams) == before
    assert svg.startswith("<svg") and svg.endswith("</svg>") and "#ffffff" not in svg
    assert "currentColor" in svg and "#010203" not in svg


@pytest.mark.parametrize("figure", FIGURES)
def test_thresholds_are_marked(figure):
    plain, marked, own = (
        figure(*data(), threshold=threshold) for threshold in (None, 0.5, [0.5, 0.2, 2.0])
    )
    assert len({plain, marked, own}) == 3


@pytest.mark.parametrize("iou", [0.5, 0.75])
def test_the_average_precision_is_coco_s(iou):
    expected = coco_average_precision(*data())
    found = texts(detection_precision_figure(*data(), iou=iou))
    for name in LABELS:
        assert f"{name} {expected[name][f'ap{round(100 * iou)}']:.3f}" in found
    assert f"average precision at IoU {iou}" in found


def test_intervals_of_the_report():
    report = detection_report(*data(), resamples=50)
    for figure, key in ((detection_precision_figure, "ap50"), (froc_figure, "froc")):
        found = texts(figure(*data(), report=report))
        for name in LABELS:
            one = report[name][key]
            assert f"{name} {one.value:.3f} ({one.low:.3f} to {one.high:.3f})" in found
    assert f"all classes {report['all']['froc'].value:.3f} (" in " ".join(found)


def test_precision_by_hand(monkeypatch):
    """Two objects; hit, false, hit: precision 1, 1/2, 2/3, so 2/3 is reached at all above 1/2."""
    truth = [{"boxes": [[0, 0, 10, 10], [20, 20, 30, 30]], "labels": [0, 0]}]
    boxes = [[0, 0, 10, 10], [50, 50, 60, 60], [20, 20, 30, 30]]
    found = [{"boxes": boxes, "scores": [0.9, 0.8, 0.7], "labels": [0, 0, 0]}]
    axes = axes_of(
        detection_precision_figure, truth, found, ["cell"], threshold=0.75, monkeypatch=monkeypatch
    )
    curve, point = axes.lines
    assert curve.get_xdata().tolist() == [0, 0.5, 0.5, 1]
    np.testing.assert_allclose(curve.get_ydata(), [1, 1, 2 / 3, 2 / 3])
    # 51 of 101 sensitivities lie at 1/2 or below.
    assert curve.get_label() == f" cell {(51 + 50 * 2 / 3) / 101:.3f}"
    assert (*point.get_xdata(), *point.get_ydata()) == (0.5, 0.5)


def test_froc_by_hand(monkeypatch):
    """One of two objects before the first false positive, the other after it, in two images."""
    truth = [{"boxes": [[0, 0, 10, 10], [20, 20, 30, 30]], "labels": [0, 0]}]
    truth += [{"boxes": [], "labels": []}]
    boxes = [[0, 0, 10, 10], [50, 50, 60, 60], [20, 20, 30, 30]]
    found = [{"boxes": boxes, "scores": [0.9, 0.8, 0.7], "labels": [0, 0, 0]}]
    found += [{"boxes": [], "scores": [], "labels": []}]
    axes = axes_of(froc_figure, truth, found, ["cell"], threshold=0.75, monkeypatch=monkeypatch)
    curve, dots, ring = axes.lines
    x, y = curve.get_data()
    np.testing.assert_allclose(y[x < 0.499], 0.5)
    np.testing.assert_allclose(y[x > 0.501], 1.0)
    assert dots.get_xdata().tolist() == [1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8]
    assert dots.get_ydata().tolist() == [0.5, 0.5, 1, 1, 1, 1, 1]
    assert (*ring.get_xdata(), *ring.get_ydata()) == (0.5, 0.5)
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["1/8", "1/4", "1/2", "1", "2", "4", "8"]


def test_hits_by_overlap_and_by_centre():
    truth, found, labels = data()
    middles = [(one["boxes"][:, :2] + one["boxes"][:, 2:]) / 2 for one in found]
    small = [
        one | {"boxes": np.concatenate([middle - 1, middle + 1], axis=1)}
        for one, middle in zip(found, middles, strict=True)
    ]
    for hit in ("iou", "centre"):
        expected = froc(truth, small, labels, hit=hit)["all"].average
        assert f"all classes {expected:.3f}" in texts(froc_figure(truth, small, labels, hit=hit))


@pytest.mark.parametrize("figure", FIGURES)
def test_a_class_without_object_and_one_without_detection(figure):
    truth = [{"boxes": [[0, 0, 10, 10]], "labels": [1]}]
    nothing = [{"boxes": [], "scores": [], "labels": []}]
    said = texts(figure(truth, nothing, LABELS, threshold=0.5))
    assert "white & $odd$ 0.000" in said and not any(t.startswith(("_red", "all")) for t in said)
    said = texts(figure([{"boxes": [], "labels": []}], nothing, LABELS))
    assert "the test set has no object of any class" in said


@pytest.mark.parametrize("figure", FIGURES)
def test_many_classes(figure):
    truth, found, _ = data()
    for one in (*truth, *found):
        one["labels"] = np.arange(len(one["labels"])) % 9
    said = " ".join(texts(figure(truth, found, [f"class {k}" for k in range(9)])))
    assert len(set(re.findall(r"class \d", said))) == 6 and "others" in said


@pytest.mark.parametrize("figure", FIGURES)
def test_refused(figure):
    truth, found, labels = data()
    with pytest.raises(ValueError, match="12 and 11"):
        figure(truth, found[:-1], labels)
    with pytest.raises(ValueError, match="class indices"):
        figure(truth, found, labels[:2])
