"""What the figures of a classifier have in common: colours, axes, operating points, wording."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from kmed.metrics import Interval, decisions
from kmed.results.svg import INK, STYLE, svg_text

Report = Mapping[str, Mapping[str, Interval]]

# Okabe and Ito's colours, a little darker or lighter where white or black would swallow them.
COLORS = ("#2a8fd0", "#d55e00", "#009e73", "#cc79a7", "#c98a00", "#8a6fd1")
#: The dashed line that a curve is to be compared with.
GUIDE = {"ls": "--", "color": INK, "alpha": 0.35, "lw": 0.9}
SIZE = (4.6, 4.0)  # inches; two stand beside each other in the report

_NAME = 30  # letters of a name in a legend
_NUMBERS = 12  # rows up to which a matrix has room for its numbers


def against_rest(
    truth: np.ndarray,
    probabilities: np.ndarray,
    labels: Sequence[str],
    kind: str,
    thresholds: float | Sequence[float] | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Gives truth and decision as 0 or 1 of each class.

    Args:
        truth: `(N,)` class indices; `(N, K)` 0 or 1 for multilabel.
        probabilities: `(N, K)`.
        labels: names of the K classes.
        kind: one of `kmed.metrics.KINDS`.
        thresholds: as `kmed.metrics.decisions`.

    Returns:
        Two arrays `(N, K)` int64.

    Raises:
        ValueError: for shapes that do not fit one another.
    """
    truth, found = np.asarray(truth), decisions(probabilities, kind, thresholds)
    classes = np.shape(probabilities)[1]
    if truth.shape != found.shape or len(labels) != classes or not len(truth):
        raise ValueError(
            f"`truth` {truth.shape} and {len(labels)} `labels` do not fit `probabilities` "
            f"{np.shape(probabilities)} of a {kind} classifier"
        )
    if kind == "multilabel":
        return truth.astype("int64"), found
    grades = np.arange(classes)
    return tuple((values[:, None] == grades).astype("int64") for values in (truth, found))


def class_styles(
    hot: np.ndarray,
    probabilities: np.ndarray,
    labels: Sequence[str],
    kind: str,
    measure: Callable[[np.ndarray, np.ndarray], float],
    key: str,
    report: Report | None,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Chooses how the curve of each class is drawn, and what the legend says of it.

    Args:
        hot: `(N, K)` 0 or 1.
        probabilities: `(N, K)`.
        labels: names of the K classes.
        kind: one of `kmed.metrics.KINDS`; binary has the curve of class 1 only.
        measure: the area that the curve is known by, of truth and scores.
        key: its name in the report.
        report: of `kmed.metrics.classification_report`, or None.

    Yields:
        Index of the class and keywords for `Axes.plot`, those in front last. A class that all
        images have, or none, has no curve and is not given.
    """
    probabilities = np.asarray(probabilities)
    shown = [1] if kind == "binary" else range(len(labels))
    shown = [k for k in shown if 0 < hot[:, k].sum() < len(hot)]
    values = {k: measure(hot[:, k], probabilities[:, k]) for k in shown}
    yield from curve_styles(values, labels, key, report)


def curve_styles(
    values: Mapping[int, float], labels: Sequence[str], key: str, report: Report | None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Chooses how the curves of some classes are drawn, and what the legend says of them.

    Args:
        values: of each class that has a curve its index and what the curve is known by.
        labels: names of all classes.
        key: name of the values in the report.
        report: measures and intervals of each class, or None.

    Yields:
        Index of the class and keywords for `Axes.plot`, those in front last.
    """
    # Where there are more classes than colours, the worst ones are worth a look.
    named = sorted(sorted(values, key=values.get)[: len(COLORS)])
    faint = [k for k in values if k not in named]
    for k in faint:
        label = f"{len(faint)} others" if k == faint[-1] else None
        yield k, {"color": INK, "alpha": 0.2, "lw": 0.9, "label": label}
    for k, tone in zip(named, COLORS, strict=False):
        text = value_text(values[k], interval_of(report, labels[k], key))
        name = labels[k] if len(labels[k]) <= _NAME else f"{labels[k][: _NAME - 1]}…"
        # A space before the name: matplotlib leaves labels out that begin with an underscore.
        yield k, {"color": tone, "alpha": 1, "lw": 1.7, "label": f" {name} {text}"}


def value_text(value: float, interval: Interval | None = None) -> str:
    """Writes a value and, where it is known, its interval.

    Args:
        value: the value.
        interval: of a report, or None.

    Returns:
        Such as "0.912" or "0.912 (0.894 to 0.927)".

    Example:
        >>> value_text(0.5, Interval(0.5, 0.4, 0.6, 9))
        '0.500 (0.400 to 0.600)'
    """
    if interval is None or not np.isfinite([interval.low, interval.high]).all():
        return f"{value:.3f}"
    return f"{value:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def interval_of(report: Report | None, name: str, key: str) -> Interval | None:
    """Looks a measure up where there may be no report, or none with this class or measure.

    Args:
        report: measures and intervals of each class, or None.
        name: of the class.
        key: of the measure.

    Returns:
        The measure with its interval, or None.

    Example:
        >>> interval_of({"cell": {"ap": Interval(0.5, 0.4, 0.6, 9)}}, "cell", "ap").value
        0.5
    """
    return (report or {}).get(name, {}).get(key)


def operating_point(
    axes: Axes,
    point: tuple[float, float],
    tone: str,
    label: str | None,
    measures: Mapping[str, Interval] | None = None,
) -> None:
    """Marks what a threshold reaches, with the intervals of sensitivity and specificity.

    Args:
        axes: of the curve.
        point: x and y.
        tone: colour.
        label: for the legend, or None.
        measures: `sensitivity` and `specificity` of the class, or None for the point alone.
    """
    axes.plot(*point, "o", color=tone, ms=6, zorder=4, label=label)
    if measures is None:
        return
    high, low = measures["sensitivity"], measures["specificity"]
    axes.plot([point[0]] * 2, [high.low, high.high], color=tone, lw=1.1, zorder=4)
    axes.plot([1 - low.low, 1 - low.high], [point[1]] * 2, color=tone, lw=1.1, zorder=4)


def shaded_matrix(
    axes: Axes,
    counts: np.ndarray,
    shares: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    names: tuple[str, str],
) -> None:
    """Draws a table of counts whose cells are the darker the larger their share is.

    Args:
        axes: to be drawn into.
        counts: `(R, C)`, written into the cells where there is room.
        shares: `(R, C)`, 0..1.
        rows: names of the rows.
        columns: names of the columns.
        names: what the columns are, and the rows.
    """
    cells = np.empty((*shares.shape, 4))
    # Not too dark: the numbers are black on a light page and white on a dark one.
    cells[..., :3], cells[..., 3] = to_rgba(COLORS[0])[:3], 0.04 + 0.66 * shares
    axes.imshow(cells, aspect="equal" if counts.shape[0] == counts.shape[1] else "auto")
    if max(counts.shape) <= _NUMBERS:
        for (row, column), count in np.ndenumerate(counts):
            axes.text(column, row, f"{count:,}", ha="center", va="center")
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    if max(map(len, columns)) * len(columns) > 40:
        axes.set_xticks(range(len(columns)), columns, rotation=40, ha="right")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set(xlabel=names[0], ylabel=names[1])


def unit_square(axes: Axes) -> None:
    """Gives both axes the range 0..1, and room for lines that run along its edge.

    Args:
        axes: to be set.
    """
    axes.set_xlim(-0.015, 1.015)
    axes.set_ylim(-0.015, 1.015)
    grid(axes)
    axes.set_axisbelow(True)


def grid(axes: Axes) -> None:
    """Draws faint lines at the ticks.

    Args:
        axes: to be drawn into.
    """
    axes.grid(color=INK, alpha=0.12, lw=0.8)


def legend(axes: Axes, place: str | None, title: str) -> None:
    """Adds the legend: within the axes if it is short, otherwise below them.

    Args:
        axes: whose curves have labels.
        place: where the curves leave room, in matplotlib's words; None where they may run anywhere.
        title: what the numbers are.
    """
    if not axes.get_legend_handles_labels()[0]:
        say(axes, "every class needs images with it and without", (0.03, 0.5))
        return
    look = {"frameon": False, "handlelength": 1.3, "title": title, "alignment": "left"}
    entries = axes.get_legend_handles_labels()
    if place is not None and len(entries[0]) <= 4:
        axes.legend(loc=place, borderaxespad=0.2, **look)
        return
    columns = 2 if max(map(len, entries[1])) <= 30 else 1
    axes.figure.legend(
        *entries, loc="outside lower center", ncols=columns, fontsize=8.5, columnspacing=1.0, **look
    )
    # The axes keep their size: the figure grows by the lines of the legend.
    lines = 1 + -(-len(entries[0]) // columns)
    axes.figure.set_figheight(SIZE[1] + 0.19 * lines)


def say(axes: Axes, text: str, place: tuple[float, float]) -> None:
    """Writes a line into the axes.

    Args:
        axes: to be written into.
        text: the line.
        place: its left upper corner, in 0..1 of the axes.
    """
    axes.annotate(text, place, xycoords="axes fraction", va="top", color=INK)


def drawn(draw: Callable[[Any], None], **rows: Any) -> str:
    """Draws a figure as SVG text.

    Args:
        draw: draws into the axes.
        **rows: of `Figure.subplots`, where there are several axes.

    Returns:
        An `<svg>` element.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=SIZE, layout="constrained")
        draw(figure.subplots(**rows))
        return svg_text(figure)
