"""Operating points: sensitivity at a specificity, the reverse, and thresholds from validation."""

from __future__ import annotations

import numpy as np

from kmed.metrics.roc import RankedCounts, ranked_counts
from kmed.metrics.weighting import plain, ratio

#: Rules of `choose_threshold`.
RULES = ("youden", "sensitivity", "specificity", "f1")

# 1 - 0.9 is a little less than 0.1: one false positive among ten must still be 90 % specific.
_ROUNDING = 1e-9


def sensitivity_at_specificity(
    truth: np.ndarray, scores: np.ndarray, specificity: float, weights: np.ndarray | None = None
) -> float | np.ndarray:
    """Returns the highest sensitivity of all thresholds that are at least that specific.

    Thresholds are the scores themselves; nothing is interpolated. The threshold is looked for in
    the data it is measured on: this describes the scores, it is not what a threshold fixed before
    would reach (for that see `choose_threshold`).

    Args:
        truth: `(N,)` 0 or 1.
        scores: `(N,)`, larger for positives.
        specificity: to be kept at least, 0..1.
        weights: how often each example counts: None for once, `(N,)`, or `(R, N)` for R samples.

    Returns:
        A float, or `(R,)`. NaN without a positive or without a negative.

    Raises:
        ValueError: for a specificity outside 0..1, and as `kmed.metrics.auc`.

    Example:
        >>> sensitivity_at_specificity([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], 1.0)
        0.5
    """
    return plain(best_sensitivity(ranked_counts(truth, scores, weights), specificity))


def specificity_at_sensitivity(
    truth: np.ndarray, scores: np.ndarray, sensitivity: float, weights: np.ndarray | None = None
) -> float | np.ndarray:
    """Returns the highest specificity of all thresholds that are at least that sensitive.

    Args:
        truth: `(N,)` 0 or 1.
        scores: `(N,)`, larger for positives.
        sensitivity: to be kept at least, 0..1.
        weights: how often each example counts: None for once, `(N,)`, or `(R, N)` for R samples.

    Returns:
        A float, or `(R,)`. NaN without a positive or without a negative.

    Raises:
        ValueError: for a sensitivity outside 0..1, and as `kmed.metrics.auc`.

    Example:
        >>> specificity_at_sensitivity([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], 0.9)
        0.5
    """
    return plain(best_specificity(ranked_counts(truth, scores, weights), sensitivity))


def choose_threshold(
    truth: np.ndarray, scores: np.ndarray, *, rule: str = "youden", at: float = 0.9
) -> float:
    """Chooses the probability from which on an example is called positive.

    Choose it on validation data and apply it to test data as it is: a threshold chosen on the test
    set reports a sensitivity that nobody will see again.

    The threshold lies halfway between two neighbouring scores, so that rounding in an exported
    model does not move an example across it. Of equally good thresholds the highest is taken.

    Reference:
        Youden: Index for rating diagnostic tests, Cancer 3 (1950).

    Args:
        truth: `(N,)` 0 or 1, of the validation data.
        scores: `(N,)` probabilities of the positive class, 0..1.
        rule: "youden" for the largest sensitivity + specificity - 1; "sensitivity" for the most
            specific threshold whose sensitivity is at least `at`; "specificity" for the most
            sensitive one whose specificity is at least `at`; "f1" for the largest F1.
        at: what the rules "sensitivity" and "specificity" keep, 0..1.

    Returns:
        The threshold t: positive means a probability of at least t. It lies in 0..1, or is 2 if
        only calling nothing positive is specific enough.

    Raises:
        ValueError: for an unknown rule, scores that are no probabilities, or validation data of
            one class only, from which nothing can be chosen.

    Example:
        >>> choose_threshold([0, 0, 1, 1], [0.1, 0.2, 0.6, 0.8])
        0.4
        >>> round(choose_threshold([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], rule="sensitivity"), 3)
        0.225
    """
    if rule not in RULES:
        raise ValueError(f"`rule` must be one of {RULES}; received {rule!r}")
    _check_rate(at, "at")
    counts = ranked_counts(truth, scores)
    values, true, false = counts
    if values[0] > 1 or values[-1] < 0:
        raise ValueError(
            "`scores` must be probabilities of the positive class, 0..1; received "
            f"{values[-1]:g} to {values[0]:g}"
        )
    positives, negatives = true[-1], false[-1]
    if not positives or not negatives:
        raise ValueError(
            "a threshold needs validation examples of both classes; received "
            f"{int(positives)} positive and {int(negatives)} negative"
        )
    if rule == "sensitivity":
        index = int(np.argmax(true >= at * positives - _ROUNDING * positives))
    elif rule == "specificity":
        allowed = false <= (1 - at) * negatives + _ROUNDING * negatives
        if not allowed[0]:
            return 2.0
        index = int(np.argmax(np.where(allowed, true, -1.0)))
    elif rule == "f1":
        index = int(np.argmax(2 * true / (positives + true + false)))
    else:
        # Rounded, or equal indices would be told apart by their last bit.
        index = int(np.argmax(np.round(true / positives - false / negatives, 12)))
    below = values[index + 1] if index + 1 < len(values) else 0.0
    return float((values[index] + below) / 2)


def best_sensitivity(counts: RankedCounts, specificity: float) -> np.ndarray:
    """Finds the sensitivity at a specificity of one sample or of many, `(...,)`.

    Args:
        counts: of `ranked_counts`.
        specificity: 0..1.

    Returns:
        See `sensitivity_at_specificity`.
    """
    _check_rate(specificity, "specificity")
    true, false = counts.true_positives, counts.false_positives
    positives, negatives = true[..., -1], false[..., -1]
    allowed = false <= (1 - specificity + _ROUNDING) * negatives[..., None]
    best = np.where(allowed, true, 0.0).max(axis=-1)
    return ratio(np.where(negatives > 0, best, np.nan), positives)


def best_specificity(counts: RankedCounts, sensitivity: float) -> np.ndarray:
    """Finds the specificity at a sensitivity of one sample or of many, `(...,)`.

    Args:
        counts: of `ranked_counts`.
        sensitivity: 0..1.

    Returns:
        See `specificity_at_sensitivity`.
    """
    _check_rate(sensitivity, "sensitivity")
    true, false = counts.true_positives, counts.false_positives
    positives, negatives = true[..., -1:], false[..., -1]
    allowed = true >= (sensitivity - _ROUNDING) * positives
    fewest = np.where(allowed, false, np.inf).min(axis=-1)
    if sensitivity <= 0:
        fewest = np.zeros_like(fewest)  # above every score nothing is called positive
    return ratio(np.where(positives[..., 0] > 0, negatives - fewest, np.nan), negatives)


def _check_rate(value: float, name: str) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"`{name}` must lie in 0..1; received {value}")
