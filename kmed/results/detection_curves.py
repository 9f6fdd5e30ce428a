"""What a detector's measures are made of, drawn: precision over sensitivity, and FROC.

Every figure takes truth and detections of a test set and gives SVG text for
`kmed.results.write_report`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kmed.metrics.box_matching import Boxes, checked_images, matched
from kmed.metrics.froc import froc
from kmed.results.panels import (
    Report,
    curve_styles,
    drawn,
    interval_of,
    legend,
    operating_point,
    say,
    unit_square,
    value_text,
)
from kmed.results.svg import INK

_RECALLS = np.linspace(0, 1, 101)  # at which COCO reads the precision
_NO_OBJECT = "the test set has no object of any class"


class _Curve(NamedTuple):
    """One class after each of its detections, the surest first."""

    scores: np.ndarray
    sensitivity: np.ndarray
    precision: np.ndarray
    best: np.ndarray  # precision at that sensitivity or above


def detection_precision_figure(
    truth: Sequence[Boxes],
    found: Sequence[Boxes],
    labels: Sequence[str],
    *,
    iou: float = 0.5,
    threshold: float | Sequence[float] | None = None,
    report: Report | None = None,
) -> str:
    """Draws precision over sensitivity of each class, as COCO's average precision adds it up.

    The precision at a sensitivity is the best one at that sensitivity or above. Of more than six
    classes the six of least average precision have colours and names, the others are faint.

    Args:
        truth: per image `{"boxes": (M, 4), "labels": (M,), "difficult": (M,) bool, optional}`,
            boxes as (x1, y1, x2, y2) in pixels, labels 0..K-1.
        found: per image `{"boxes": (N, 4), "scores": (N,), "labels": (N,)}`.
        labels: names of the K classes of objects.
        iou: least intersection over union of a hit.
        threshold: of the score, or one for each class; what it reaches is marked.
        report: of `kmed.metrics.detection_report`, whose values and intervals are then shown.

    Returns:
        An `<svg>` element. Equal arguments give equal text.

    Raises:
        ValueError: for arguments that do not fit one another.

    Example:
        >>> truth = [{"boxes": [[0, 0, 10, 10]], "labels": [0]}]
        >>> found = [{"boxes": [[0, 0, 10, 8]], "scores": [0.9], "labels": [0]}]
        >>> detection_precision_figure(truth, found, ["cell"])[:4]
        '<svg'
    """
    curves = _curves(truth, found, labels, iou)
    key = f"ap{round(100 * iou)}"
    values = {k: _value(report, labels[k], key, _average(curve)) for k, curve in curves.items()}

    def draw(axes):
        for k, style in curve_styles(values, labels, key, report):
            curve = curves[k]
            x = np.append(0.0, curve.sensitivity)
            y = np.concatenate([curve.best[:1], curve.best])
            axes.plot(x[: len(y)], y, drawstyle="steps-pre", **style)
            kept = 0 if threshold is None else int((curve.scores >= _of(threshold, k)).sum())
            if kept and style["alpha"] == 1:
                point = curve.sensitivity[kept - 1], curve.precision[kept - 1]
                operating_point(axes, point, style["color"], None)
        axes.set(xlabel="sensitivity", ylabel="precision", aspect="equal")
        unit_square(axes)
        _legend(axes, f"average precision at IoU {iou:g}")

    return drawn(draw)


def froc_figure(
    truth: Sequence[Boxes],
    found: Sequence[Boxes],
    labels: Sequence[str],
    *,
    hit: str = "iou",
    iou: float = 0.5,
    threshold: float | Sequence[float] | None = None,
    report: Report | None = None,
) -> str:
    """Draws the sensitivity of each class over the number of its false positives per image.

    The dots are what LUNA16 averages: the sensitivities at 1/8, 1/4, 1/2, 1, 2, 4 and 8.

    Args:
        truth: as `detection_precision_figure`.
        found: as `detection_precision_figure`.
        labels: names of the K classes of objects.
        hit: "iou" or "centre", as `kmed.metrics.froc`.
        iou: least intersection over union of a hit.
        threshold: of the score, or one for each class; what it reaches is marked by a ring.
        report: of `kmed.metrics.detection_report` with the same `hit`, whose values and intervals
            are then shown.

    Returns:
        An `<svg>` element.

    Raises:
        ValueError: for arguments that do not fit one another.
    """
    curves = froc(truth, found, labels, hit=hit, iou=iou)
    known = {k: curves[name] for k, name in enumerate(labels) if curves[name].objects}
    values = {k: _value(report, labels[k], "froc", one.average) for k, one in known.items()}

    def draw(axes):
        styles = [(known[k], k, style) for k, style in curve_styles(values, labels, "froc", report)]
        if len(known) > 1:
            whole = curves["all"]
            value = _value(report, "all", "froc", whole.average)
            text = value_text(value, interval_of(report, "all", "froc"))
            style = {"color": INK, "alpha": 1, "lw": 2.2, "ls": (0, (4, 1.5))}
            styles.append((whole, None, style | {"label": f" all classes {text}"}))
        for curve, k, style in styles:
            shown = np.geomspace(curve.rates[0] / 1.3, curve.rates[-1] * 1.3, 800)
            axes.plot(shown, np.interp(shown, curve.false_positives, curve.sensitivity), **style)
            if style["alpha"] < 1:
                continue
            axes.plot(curve.rates, curve.at_rates, "o", color=style["color"], ms=3.2)
            if threshold is not None and k is not None:
                at = int((curve.thresholds >= _of(threshold, k)).sum()) - 1
                point = max(curve.false_positives[at], shown[0]), curve.sensitivity[at]
                ring = {"ms": 9, "mfc": "none", "mew": 1.6, "mec": style["color"]}
                axes.plot(*point, "o", clip_on=False, zorder=4, **ring)
        rates = curves["all"].rates
        unit_square(axes)
        axes.set_xscale("log", base=2)
        axes.set_xlim(rates[0] / 1.3, rates[-1] * 1.3)
        axes.set_xticks(rates, [f"1/{1 / rate:g}" if rate < 1 else f"{rate:g}" for rate in rates])
        axes.set(xlabel="false positives per image", ylabel="sensitivity")
        _legend(axes, "average sensitivity")

    return drawn(draw)


def _curves(truth, found, labels, iou) -> dict[int, _Curve]:
    """The curve of each class that has an object."""
    truth, found = checked_images(truth, found, labels)
    matches = matched(truth, found, iou)
    classes, scores, hits, false = (
        np.concatenate(parts)
        for parts in (
            [one["labels"] for one in found],
            [one["scores"] for one in found],
            [match.hits for match in matches],
            [match.false_positives for match in matches],
        )
    )
    objects = np.concatenate([one["labels"][~one["difficult"]] for one in truth])
    curves = {}
    for k in range(len(labels)):
        count = int((objects == k).sum())
        rows = np.flatnonzero((classes == k) & (hits | false))
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        if count:
            reached = np.cumsum(hits[rows])
            precision = reached / np.arange(1, len(rows) + 1)
            best = np.maximum.accumulate(precision[::-1])[::-1]
            curves[k] = _Curve(scores[rows], reached / count, precision, best)
    return curves


def _average(curve: _Curve) -> float:
    """COCO's average precision: the mean of the best precision at each of 101 sensitivities."""
    at = np.searchsorted(curve.sensitivity, _RECALLS, side="left")
    return float(np.append(curve.best, 0.0)[at].mean())


def _value(report, name: str, key: str, computed: float) -> float:
    interval = interval_of(report, name, key)
    return computed if interval is None else interval.value


def _of(threshold, k: int) -> float:
    return float(threshold if np.ndim(threshold) == 0 else np.asarray(threshold)[k])


def _legend(axes, title: str) -> None:
    if axes.get_legend_handles_labels()[0]:
        legend(axes, None, title)
    else:
        say(axes, _NO_OBJECT, (0.03, 0.5))
