"""What a classifier's measures are made of, drawn: ROC, precision, reliability, confusion, risk.

Every figure takes the same arguments and gives SVG text for `kmed.results.write_report`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator, PercentFormatter

from kmed.metrics import (
    auc,
    average_precision,
    confusion_matrix,
    decision_confidence,
    decisions,
    expected_calibration_error,
    precision_recall_curve,
    reliability_curve,
    risk_coverage_area,
    risk_coverage_curve,
    roc_curve,
)
from kmed.results.panels import (
    COLORS,
    GUIDE,
    Report,
    against_rest,
    class_styles,
    drawn,
    grid,
    interval_of,
    legend,
    operating_point,
    say,
    shaded_matrix,
    unit_square,
    value_text,
)


def roc_figure(
    truth: np.ndarray,
    probabilities: np.ndarray,
    labels: Sequence[str],
    *,
    kind: str,
    thresholds: float | Sequence[float] | None = None,
    report: Report | None = None,
) -> str:
    """Draws the ROC curve of each class against the rest, and the operating points of thresholds.

    Of a binary classifier only the curve of `labels[1]`. Of more than six classes the six of
    smallest area have colours and names, the others are faint.

    Args:
        truth: `(N,)` class indices; `(N, K)` 0 or 1 for multilabel.
        probabilities: `(N, K)`.
        labels: names of the K classes.
        kind: one of `kmed.metrics.KINDS`.
        thresholds: as `kmed.metrics.decisions`.
        report: of `kmed.metrics.classification_report`, whose intervals are then shown.

    Returns:
        An `<svg>` element. Equal arguments give equal text.

    Raises:
        ValueError: for arguments that do not fit one another.

    Example:
        >>> p = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7]])
        >>> roc_figure([0, 1, 1], p, ["normal", "pneumonia"], kind="binary")[:4]
        '<svg'
    """
    hot, found = against_rest(truth, probabilities, labels, kind, thresholds)

    def draw(axes):
        axes.plot([0, 1], [0, 1], **GUIDE)
        for k, style in class_styles(hot, probabilities, labels, kind, auc, "auc", report):
            curve = roc_curve(hot[:, k], probabilities[:, k])
            axes.plot(curve.false_positive_rate, curve.true_positive_rate, **style)
            if kind in ("binary", "multilabel") and style["alpha"] == 1:
                called, positive = found[:, k] == 1, hot[:, k] == 1
                point = (called[~positive].mean(), called[positive].mean())
                text = f"sensitivity {point[1]:.3f}, specificity {1 - point[0]:.3f}"
                note = text if kind == "binary" else None
                operating_point(axes, point, style["color"], note, (report or {}).get(labels[k]))
        axes.set(xlabel="1 − specificity", ylabel="sensitivity", aspect="equal")
        unit_square(axes)
        legend(axes, "lower right", "area under the curve")

    return drawn(draw)


def precision_recall_figure(
    truth: np.ndarray,
    probabilities: np.ndarray,
    labels: Sequence[str],
    *,
    kind: str,
    thresholds: float | Sequence[float] | None = None,
    report: Report | None = None,
) -> str:
    """Draws precision over sensitivity of each class, as `average_precision` adds it up.

    Args:
        truth: as `roc_figure`.
        probabilities: as `roc_figure`.
        labels: as `roc_figure`.
        kind: as `roc_figure`.
        thresholds: as `roc_figure`.
        report: as `roc_figure`.

    Returns:
        An `<svg>` element.

    Raises:
        ValueError: for arguments that do not fit one another.
    """
    hot, found = against_rest(truth, probabilities, labels, kind, thresholds)

    def draw(axes):
        styles = class_styles(
            hot, probabilities, labels, kind, average_precision, "average_precision", report
        )
        for k, style in styles:
            curve = precision_recall_curve(hot[:, k], probabilities[:, k])
            precision = np.concatenate([curve.precision[1:2], curve.precision[1:]])
            axes.plot(curve.recall, precision, drawstyle="steps-pre", **style)
            called = found[:, k] == 1
            if kind in ("binary", "multilabel") and style["alpha"] == 1 and called.any():
                point = (called[hot[:, k] == 1].mean(), hot[called, k].mean())
                text = f"sensitivity {point[0]:.3f}, precision {point[1]:.3f}"
                operating_point(axes, point, style["color"], text if kind == "binary" else None)
        if kind == "binary":
            share = hot[:, 1].mean()
            axes.axhline(share, **GUIDE)
            axes.annotate(
                f"share of {labels[1]}", (1, share), ha="right", va="top", alpha=0.7, fontsize=8.5
            )
        axes.set(xlabel="sensitivity", ylabel="precision", aspect="equal")
        unit_square(axes)
        legend(axes, "lower left", "average precision")

    return drawn(draw)


def reliability_figure(
    truth: np.ndarray,
    probabilities: np.ndarray,
    labels: Sequence[str],
    *,
    kind: str,
    thresholds: float | Sequence[float] | None = None,
    report: Report | None = None,
) -> str:
    """Draws what came true of each probability, above a histogram of the probabilities.

    Binary: of the positive class. Multilabel: of all classes together. Otherwise: of the class
    decided on.

    Args:
        truth: as `roc_figure`.
        probabilities: as `roc_figure`.
        labels: as `roc_figure`.
        kind: as `roc_figure`.
        thresholds: as `roc_figure`.
        report: of `kmed.metrics.classification_report`, whose error and interval are then shown.

    Returns:
        An `<svg>` element.

    Raises:
        ValueError: for arguments that do not fit one another.
    """
    against_rest(truth, probabilities, labels, kind, thresholds)
    truth, probabilities = np.asarray(truth), np.asarray(probabilities, "float64")
    if kind == "binary":
        outcomes, said, names = truth, probabilities[:, 1], (labels[1], f"share with {labels[1]}")
    elif kind == "multilabel":
        outcomes, said = truth.ravel(), probabilities.ravel()
        names = ("a class", "share with the class")
    else:
        decided = decisions(probabilities, kind)
        outcomes, said = decided == truth, probabilities[np.arange(len(decided)), decided]
        names = ("the class decided on", "share of right decisions")
    curve = reliability_curve(outcomes, said)

    def draw(pair):
        axes, below = pair
        axes.plot([0, 1], [0, 1], **GUIDE)
        axes.plot(curve.confidence, curve.frequency, color=COLORS[0], lw=1.4)
        # A bin of few examples says little: its point is small.
        area = 12 + 60 * curve.count / curve.count.max()
        axes.scatter(curve.confidence, curve.frequency, area, color=COLORS[0], zorder=3)
        error = expected_calibration_error(outcomes, said)
        text = value_text(error, interval_of(report, "all", "ece"))
        say(axes, f"calibration error {text}", (0.02, 0.95))
        axes.set(ylabel=names[1])
        unit_square(axes)
        below.hist(said, bins=np.linspace(0, 1, 16), color=COLORS[0], alpha=0.6)
        below.yaxis.set_major_locator(MaxNLocator(2, integer=True))
        below.set(xlabel=f"probability of {names[0]}", ylabel="number")

    return drawn(draw, nrows=2, sharex=True, height_ratios=(4.2, 1))


def confusion_figure(
    truth: np.ndarray,
    probabilities: np.ndarray,
    labels: Sequence[str],
    *,
    kind: str,
    thresholds: float | Sequence[float] | None = None,
    report: Report | None = None,
) -> str:
    """Draws how many of each true class (row) were taken for which (column), shaded by row.

    Multilabel: for each class (row) how often it was found, missed, seen where it was not, and
    rightly not seen, shaded by the share of those with the class and of those without.

    Args:
        truth: as `roc_figure`.
        probabilities: as `roc_figure`.
        labels: as `roc_figure`.
        kind: as `roc_figure`.
        thresholds: as `roc_figure`.
        report: takes no part here.

    Returns:
        An `<svg>` element.

    Raises:
        ValueError: for arguments that do not fit one another.
    """
    hot, found = against_rest(truth, probabilities, labels, kind, thresholds)
    if kind == "multilabel":
        pairs = [confusion_matrix(hot[:, k], found[:, k], 2) for k in range(len(labels))]
        counts = np.array([[m[1, 1], m[1, 0], m[0, 1], m[0, 0]] for m in pairs])
        having = np.repeat([(m[1].sum(), m[0].sum()) for m in pairs], 2, axis=1)
        columns, names = ["found", "missed", "false alarm", "rightly not seen"], ("", "")
    else:
        counts = confusion_matrix(hot.argmax(axis=1), found.argmax(axis=1), len(labels))
        having = counts.sum(axis=1, keepdims=True)
        columns, names = list(labels), ("decision", "truth")
    shares = counts / np.maximum(having, 1)
    return drawn(lambda axes: shaded_matrix(axes, counts, shares, labels, columns, names))


def risk_coverage_figure(
    truth: np.ndarray,
    probabilities: np.ndarray,
    labels: Sequence[str],
    *,
    kind: str,
    thresholds: float | Sequence[float] | None = None,
    report: Report | None = None,
    confidence: np.ndarray | None = None,
) -> str:
    """Draws the share of wrong decisions among those that are kept, the surest first.

    Args:
        truth: as `roc_figure`.
        probabilities: as `roc_figure`.
        labels: as `roc_figure`.
        kind: as `roc_figure`.
        thresholds: as `roc_figure`.
        report: takes no part here.
        confidence: `(N,)`, larger for surer, such as a negative uncertainty; None for
            `kmed.metrics.decision_confidence`.

    Returns:
        An `<svg>` element.

    Raises:
        ValueError: for arguments that do not fit one another.
    """
    hot, found = against_rest(truth, probabilities, labels, kind, thresholds)
    losses = (hot != found).mean(axis=1) if kind == "multilabel" else (hot != found).any(axis=1)
    if confidence is None:
        confidence = decision_confidence(probabilities, kind, thresholds)
    curve = risk_coverage_curve(losses, confidence)

    def draw(axes):
        axes.plot(curve.coverage, curve.risk, color=COLORS[0], lw=1.7)
        axes.plot(curve.coverage[-1:], curve.risk[-1:], "o", color=COLORS[0], ms=5.5)
        area = risk_coverage_area(losses, confidence)
        axes.set_xlim(0, 1.02)
        axes.set_ylim(0, max(1.25 * curve.risk.max(), 0.01))
        say(axes, f"area {area:.4f}, all images {curve.risk[-1]:.3f}", (0.02, 0.95))
        axes.set(xlabel="share of images decided on", ylabel="share of wrong decisions among them")
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        grid(axes)

    return drawn(draw)
