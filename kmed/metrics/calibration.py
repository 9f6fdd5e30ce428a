"""Calibration: does a probability of 0.8 come true eight times in ten?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import optimize, special

from kmed.metrics.decisions import check_kind
from kmed.metrics.weighting import plain, ratio, row_weights

#: How bins are cut: equally wide, or with equally many examples.
BINNINGS = ("width", "mass")
#: Where `fit_temperature` looks.
TEMPERATURES = (0.1, 10.0)


class ReliabilityCurve(NamedTuple):
    """What was said and what came true, for each bin that holds an example.

    Attributes:
        confidence: `(M,)` mean probability.
        frequency: `(M,)` share of outcomes that are 1.
        count: `(M,)` int64 examples.
    """

    confidence: np.ndarray
    frequency: np.ndarray
    count: np.ndarray


def reliability_curve(
    outcomes: np.ndarray, probabilities: np.ndarray, *, bins: int = 15, binning: str = "width"
) -> ReliabilityCurve:
    """Returns the mean probability and the observed frequency in each bin of probabilities.

    Reference:
        Niculescu-Mizil, Caruana: Predicting good probabilities with supervised learning, ICML 2005.

    Args:
        outcomes: `(N,)` 0 or 1: did it come true? Of a binary classifier the truth, of a multiclass
            one whether the decision was right.
        probabilities: `(N,)` 0..1 that it comes true.
        bins: number of bins.
        binning: "width" for bins equally wide, "mass" for bins of equally many examples (equal
            probabilities never part, so there may be fewer bins).

    Returns:
        ReliabilityCurve of the bins that are not empty.

    Raises:
        ValueError: for shapes that differ, values outside 0..1, or another binning.

    Example:
        >>> curve = reliability_curve([0, 0, 1, 1], [0.1, 0.3, 0.6, 0.8], bins=2)
        >>> curve.confidence.round(3).tolist(), curve.frequency.tolist(), curve.count.tolist()
        ([0.2, 0.7], [0.0, 1.0], [2, 2])
    """
    outcomes, probabilities = _checked(outcomes, probabilities)
    index = _bin_index(probabilities, bins, binning)
    count = np.bincount(index, minlength=bins)
    held = count > 0
    said = np.bincount(index, probabilities, bins)[held] / count[held]
    came = np.bincount(index, outcomes, bins)[held] / count[held]
    return ReliabilityCurve(said, came, count[held])


def expected_calibration_error(
    outcomes: np.ndarray,
    probabilities: np.ndarray,
    *,
    bins: int = 15,
    binning: str = "width",
    weights: np.ndarray | None = None,
) -> float | np.ndarray:
    """Returns the mean distance between probability and observed frequency over the bins.

    sum over bins of (examples in the bin / N) * |frequency - mean probability|. It is biased
    upwards: few examples in a bin differ from their probability by chance, in a bootstrap sample
    once more, so that its interval may lie above its value. Compare it only at equal N and bins.

    Reference:
        Guo, Pleiss, Sun, Weinberger: On calibration of modern neural networks, ICML 2017,
        equation 3.

    Args:
        outcomes: `(N,)` 0 or 1, see `reliability_curve`.
        probabilities: `(N,)` 0..1.
        bins: number of bins.
        binning: "width" or "mass", see `reliability_curve`; bins are cut where all examples,
            unweighted, cut them.
        weights: how often each example counts: None for once, `(N,)`, or `(R, N)` for R samples.

    Returns:
        A float 0..1, or `(R,)`.

    Raises:
        ValueError: as `reliability_curve`.

    Example:
        >>> round(expected_calibration_error([0, 0, 1, 1], [0.1, 0.3, 0.6, 0.8], bins=2), 3)
        0.25
    """
    outcomes, probabilities = _checked(outcomes, probabilities)
    weights = row_weights(weights, len(outcomes))
    member = np.zeros((len(outcomes), bins))
    member[np.arange(len(outcomes)), _bin_index(probabilities, bins, binning)] = (
        outcomes - probabilities
    )
    return plain(ratio(np.abs(weights @ member).sum(axis=-1), weights.sum(axis=-1)))


def brier_score(
    truth: np.ndarray, probabilities: np.ndarray, kind: str, weights: np.ndarray | None = None
) -> float | np.ndarray:
    """Returns the mean squared error of the probabilities; lower is better.

    binary: of the positive class, 0..1. multiclass and ordinal: summed over the classes, 0..2, as
    Brier defined it. multilabel: averaged over the classes, 0..1.

    Reference:
        Brier: Verification of forecasts expressed in terms of probability, Mon. Weather Rev. 78
        (1950), equation 2.

    Args:
        truth: `(N,)` class indices; `(N, K)` 0 or 1 for multilabel.
        probabilities: `(N, K)`; for two classes K = 2.
        kind: one of `kmed.metrics.KINDS`.
        weights: how often each example counts: None for once, `(N,)`, or `(R, N)` for R samples.

    Returns:
        A float, or `(R,)`.

    Raises:
        ValueError: for an unknown kind or shapes that do not fit.

    Example:
        >>> round(brier_score([0, 1], [[0.9, 0.1], [0.4, 0.6]], "binary"), 4)
        0.085
    """
    check_kind(kind)
    truth, probabilities = np.asarray(truth), np.asarray(probabilities, "float64")
    expected = probabilities.shape if kind == "multilabel" else probabilities.shape[:1]
    if probabilities.ndim != 2 or truth.shape != expected:
        raise ValueError(
            f"`truth` {truth.shape} does not fit `probabilities` {probabilities.shape} of a "
            f"{kind} classifier"
        )
    if kind != "multilabel":
        truth = truth[:, None] == np.arange(probabilities.shape[1])
    fault = (probabilities - truth) ** 2
    fault = {"binary": fault[:, -1], "multilabel": fault.mean(axis=1)}.get(kind, fault.sum(axis=1))
    weights = row_weights(weights, len(truth))
    return plain(ratio(weights @ fault, weights.sum(axis=-1)))


def fit_temperature(logits: np.ndarray, truth: np.ndarray, kind: str) -> float:
    """Returns the temperature T for which `logits / T` are most likely on validation data.

    One number cannot change which class is the most probable; it only makes the probabilities
    softer (T > 1, the usual case) or sharper. The negative log-likelihood is convex in 1 / T, so
    there is one minimum. It is sought in 0.1..10: data that are separated without a fault would ask
    for T = 0, and end at 0.1.

    Reference:
        Guo, Pleiss, Sun, Weinberger: On calibration of modern neural networks, ICML 2017,
        section 4.2.

    Args:
        logits: `(N, K)`; binary also `(N, 1)`, the logit of class 1; ordinal `(N, K - 1)`, the
            conditional logits of `kmed.losses.OrdinalCrossEntropy`.
        truth: `(N,)` class indices; `(N, K)` 0 or 1 for multilabel.
        kind: one of `kmed.metrics.KINDS`.

    Returns:
        T, 0.1..10.

    Raises:
        ValueError: for an unknown kind, shapes that do not fit, a truth that is no class, or
            logits that are not finite.

    Example:
        >>> logits = np.log([[0.99, 0.01]] * 4)  # says 99 %, is right three times in four
        >>> round(fit_temperature(logits, [0, 0, 0, 1], "binary"), 2)
        4.18
    """
    logits, truth = np.asarray(logits, "float64"), np.asarray(truth)
    likelihood = _log_likelihood(logits, truth, kind)

    def loss(log_temperature):
        return -likelihood(logits * np.exp(-log_temperature)).mean()

    found = optimize.minimize_scalar(
        loss, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-6}
    )
    return float(np.exp(found.x))


def _log_likelihood(logits, truth, kind):
    """A function of logits that gives the logarithm of the truth's probability, row by row."""
    check_kind(kind)
    rows = len(truth)
    if logits.ndim != 2 or rows == 0 or len(logits) != rows or not np.isfinite(logits).all():
        raise ValueError(
            "`logits` must be finite, of shape (N, K), with one row for each of the "
            f"{rows} examples of `truth`; received shape {logits.shape}"
        )
    width = logits.shape[1]
    if kind == "multilabel" or (kind == "binary" and width == 1):
        truth = truth if kind == "multilabel" else truth.reshape(-1, 1)
        if truth.shape != logits.shape or not np.isin(truth, (0, 1)).all():
            raise ValueError(
                f"`truth` must be 0 or 1 and have the shape of `logits`, {logits.shape}; "
                f"received shape {truth.shape}"
            )
        return lambda z: special.log_expit(np.where(truth == 1, z, -z)).sum(axis=1)
    classes = width + 1 if kind == "ordinal" else width
    if truth.shape != (rows,) or not np.isin(truth, np.arange(classes)).all():
        raise ValueError(
            f"`truth` must have shape ({rows},) and hold class indices 0..{classes - 1}; "
            f"received shape {truth.shape}"
        )
    truth = truth.astype("int64")
    if kind == "ordinal":
        grades = np.arange(width)
        passed, stopped = grades < truth[:, None], grades == truth[:, None]
        return lambda z: np.where(
            passed, special.log_expit(z), np.where(stopped, special.log_expit(-z), 0.0)
        ).sum(axis=1)
    return lambda z: special.log_softmax(z, axis=1)[np.arange(rows), truth]


def _checked(outcomes, probabilities):
    outcomes, probabilities = np.asarray(outcomes, "float64"), np.asarray(probabilities, "float64")
    if outcomes.ndim != 1 or outcomes.shape != probabilities.shape or not len(outcomes):
        raise ValueError(
            "`outcomes` and `probabilities` must be one-dimensional and equally long; received "
            f"shapes {outcomes.shape} and {probabilities.shape}"
        )
    if not np.isin(outcomes, (0, 1)).all():
        raise ValueError(f"`outcomes` must be 0 or 1; received {np.unique(outcomes)[:6].tolist()}")
    # Softmax in float32 may sum to a little more than 1.
    if not ((probabilities >= -1e-6) & (probabilities <= 1 + 1e-6)).all():
        raise ValueError(
            "`probabilities` must lie in 0..1; received "
            f"{probabilities.min():g} to {probabilities.max():g}"
        )
    return outcomes, probabilities


def _bin_index(probabilities, bins, binning):
    if binning not in BINNINGS or bins < 1:
        raise ValueError(
            f"`binning` must be one of {BINNINGS} and `bins` at least 1; "
            f"received {binning!r} and {bins}"
        )
    if binning == "width":
        # Bins are closed above, as in Guo et al.; 0 belongs to the first.
        return np.clip(np.ceil(probabilities * bins).astype("int64") - 1, 0, bins - 1)
    # The rank of the first of equal probabilities decides, so that equals stay together.
    rank = np.searchsorted(np.sort(probabilities), probabilities, side="left")
    return rank * bins // len(probabilities)
