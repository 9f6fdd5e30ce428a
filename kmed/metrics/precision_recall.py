"""Precision-recall curve and average precision."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kmed.metrics.roc import RankedCounts, ranked_counts
from kmed.metrics.weighting import plain, ratio


class PrecisionRecallCurve(NamedTuple):
    """The points of a precision-recall curve, from recall 0 upwards.

    Attributes:
        recall: `(G + 1,)`, sensitivity.
        precision: `(G + 1,)`, positive predictive value; 1 at recall 0 by convention.
        thresholds: `(G + 1,)`; a point's positives score at least its threshold.
    """

    recall: np.ndarray
    precision: np.ndarray
    thresholds: np.ndarray


def precision_recall_curve(
    truth: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None
) -> PrecisionRecallCurve:
    """Returns precision and recall at every distinct score.

    Unlike a ROC curve it depends on how frequent the positives are: no classifier's precision is
    that share, and a test set with more disease than the clinic shows too good a curve.

    Reference:
        Davis, Goadrich: The relationship between precision-recall and ROC curves, ICML 2006.

    Args:
        truth: `(N,)` 0 or 1.
        scores: `(N,)`, larger for positives.
        weights: `(N,)`, how often each example counts, or None for once.

    Returns:
        PrecisionRecallCurve; recall is NaN without a positive.

    Raises:
        ValueError: for shapes that differ, a truth that is not 0 or 1, scores that are not finite.

    Example:
        >>> curve = precision_recall_curve([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
        >>> curve.recall.tolist(), curve.precision.round(2).tolist()
        ([0.0, 0.5, 0.5, 1.0, 1.0], [1.0, 1.0, 0.5, 0.67, 0.5])
    """
    counts = ranked_counts(truth, scores, weights)
    if counts.true_positives.ndim != 1:
        raise ValueError(
            "`precision_recall_curve` takes `weights` of shape (N,); received several samples"
        )
    true, false = counts.true_positives, counts.false_positives
    return PrecisionRecallCurve(
        np.concatenate([[0.0 if true[-1] else np.nan], ratio(true, true[-1])]),
        np.concatenate([[1.0], ratio(true, true + false)]),
        np.concatenate([[np.inf], counts.thresholds]),
    )


def average_precision(
    truth: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None
) -> float | np.ndarray:
    """Returns the precision averaged over the positives, each at the threshold of its own score.

    Sum over thresholds of (recall - recall before) * precision: no interpolation between points,
    which would be too good.

    Reference:
        Manning, Raghavan, Schuetze: Introduction to information retrieval, 2008, section 8.4.

    Args:
        truth: `(N,)` 0 or 1.
        scores: `(N,)`, larger for positives.
        weights: how often each example counts: None for once, `(N,)`, or `(R, N)` for R samples.

    Returns:
        A float, or `(R,)`. NaN without a positive.

    Raises:
        ValueError: for shapes that differ, a truth that is not 0 or 1, scores that are not finite.

    Example:
        >>> round(average_precision([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 4)
        0.8333
    """
    return plain(precision_of_counts(ranked_counts(truth, scores, weights)))


def precision_of_counts(counts: RankedCounts) -> np.ndarray:
    """Averages the precision of one sample or of many, `(...,)`; see `average_precision`.

    Args:
        counts: of `ranked_counts`.

    Returns:
        The averages, NaN without a positive.
    """
    true, reached = counts.true_positives, counts.true_positives + counts.false_positives
    found = np.diff(true, axis=-1, prepend=0.0)
    # Where no example has been reached none is found either: the missing precision counts nothing.
    precision = np.divide(true, reached, out=np.zeros_like(true), where=reached > 0)
    return ratio((found * precision).sum(axis=-1), true[..., -1])
