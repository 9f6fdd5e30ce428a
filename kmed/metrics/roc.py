"""ROC curve and the area under it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kmed.metrics.weighting import plain, ratio, row_weights


class RankedCounts(NamedTuple):
    """How many examples of each kind score at least a threshold, for every threshold.

    Attributes:
        thresholds: `(G,)` the distinct scores, the highest first.
        true_positives: `(..., G)` positives that score at least the threshold.
        false_positives: `(..., G)` negatives that do.
    """

    thresholds: np.ndarray
    true_positives: np.ndarray
    false_positives: np.ndarray


class RocCurve(NamedTuple):
    """The points of a ROC curve, from (0, 0) to (1, 1).

    Attributes:
        false_positive_rate: `(G + 1,)`, 1 - specificity.
        true_positive_rate: `(G + 1,)`, sensitivity.
        thresholds: `(G + 1,)`; a point's positives score at least its threshold. The first,
            infinity, takes none.
    """

    false_positive_rate: np.ndarray
    true_positive_rate: np.ndarray
    thresholds: np.ndarray


def roc_curve(truth: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> RocCurve:
    """Returns the ROC curve, with one point for every distinct score.

    Reference:
        Fawcett: An introduction to ROC analysis, Pattern Recognition Letters 27 (2006),
        algorithm 1.

    Args:
        truth: `(N,)` 0 or 1.
        scores: `(N,)`, larger for positives.
        weights: `(N,)`, how often each example counts, or None for once.

    Returns:
        RocCurve; a rate is NaN if there is no example to take it of.

    Raises:
        ValueError: for shapes that differ, a truth that is not 0 or 1, scores that are not finite.

    Example:
        >>> curve = roc_curve([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
        >>> curve.false_positive_rate.tolist(), curve.true_positive_rate.tolist()
        ([0.0, 0.0, 0.5, 0.5, 1.0], [0.0, 0.5, 0.5, 1.0, 1.0])
    """
    counts = ranked_counts(truth, scores, weights)
    if counts.true_positives.ndim != 1:
        raise ValueError("`roc_curve` takes `weights` of shape (N,); received several samples")
    true, false = (np.concatenate([[0.0], found]) for found in counts[1:])
    return RocCurve(
        ratio(false, false[-1]),
        ratio(true, true[-1]),
        np.concatenate([[np.inf], counts.thresholds]),
    )


def auc(
    truth: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None
) -> float | np.ndarray:
    """Returns the area under the ROC curve: how often a positive scores above a negative.

    It is the Mann-Whitney statistic U / (P N): pairs of equal scores count one half.

    Reference:
        Hanley, McNeil: The meaning and use of the area under a ROC curve, Radiology 143 (1982).

    Args:
        truth: `(N,)` 0 or 1.
        scores: `(N,)`, larger for positives.
        weights: how often each example counts: None for once, `(N,)`, or `(R, N)` for R samples.

    Returns:
        A float, or `(R,)`. NaN without a positive or without a negative.

    Raises:
        ValueError: for shapes that differ, a truth that is not 0 or 1, scores that are not finite.

    Example:
        >>> auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
        0.75
        >>> auc([0, 1], [0.5, 0.5])
        0.5
    """
    return plain(area_of_counts(ranked_counts(truth, scores, weights)))


def ranked_counts(
    truth: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None
) -> RankedCounts:
    """Sorts the examples once, so that ROC, precision and operating points share the work.

    Args:
        truth: `(N,)` 0 or 1.
        scores: `(N,)`.
        weights: None, `(N,)` or `(R, N)`.

    Returns:
        RankedCounts.

    Raises:
        ValueError: as `auc`.
    """
    truth, scores = np.asarray(truth), np.asarray(scores, "float64")
    if truth.ndim != 1 or truth.shape != scores.shape:
        raise ValueError(
            "`truth` and `scores` must be one-dimensional and equally long; received shapes "
            f"{truth.shape} and {scores.shape}"
        )
    if not np.isin(truth, (0, 1)).all():
        raise ValueError(f"`truth` must be 0 or 1; received {np.unique(truth)[:6].tolist()}")
    if not np.isfinite(scores).all():
        raise ValueError(
            f"`scores` must be finite; received {int((~np.isfinite(scores)).sum())} that are not"
        )
    weights = row_weights(weights, len(truth))
    order = np.argsort(-scores, kind="stable")
    ranked, positive = scores[order], truth[order].astype("float64")
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # of each run of equals
    weights = weights[..., order]
    reached = np.cumsum(weights, axis=-1)[..., last]
    true = np.cumsum(weights * positive, axis=-1)[..., last]
    return RankedCounts(ranked[last], true, reached - true)


def area_of_counts(counts: RankedCounts) -> np.ndarray:
    """Sums the trapezoids below the ROC curve, `(...,)`; see `auc`.

    Args:
        counts: of one sample or of many.

    Returns:
        The areas, NaN without a positive or without a negative.
    """
    true, false = counts.true_positives, counts.false_positives
    before = np.concatenate([np.zeros_like(true[..., :1]), true[..., :-1]], axis=-1)
    step = np.diff(false, axis=-1, prepend=0.0)
    area = ((true + before) * step).sum(axis=-1) / 2
    return ratio(area, true[..., -1] * false[..., -1])
