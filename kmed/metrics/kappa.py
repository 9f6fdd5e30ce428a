"""Cohen's kappa: agreement beyond chance."""

from __future__ import annotations

import numpy as np

from kmed.metrics.weighting import plain, ratio

#: How much a confusion of the classes i and j counts: alike, |i - j|, or (i - j) squared.
WEIGHTINGS = (None, "linear", "quadratic")


def kappa(matrix: np.ndarray, weighting: str | None = None) -> float | np.ndarray:
    """Returns 1 - observed / expected disagreement, expected from the margins of the matrix.

    Reference:
        Cohen: A coefficient of agreement for nominal scales, Educ. Psychol. Meas. 20 (1960).
        Cohen: Weighted kappa, Psychological Bulletin 70 (1968).

    Args:
        matrix: `(..., K, K)` confusion matrix; see `kmed.metrics.confusion_matrix`.
        weighting: None for classes without an order; "linear" or "quadratic" for grades, where a
            confusion of neighbours is a smaller fault.

    Returns:
        A float or `(...,)`: 1 for full agreement, 0 for chance, below 0 for less. NaN where truth
        and prediction are all of one class: chance then agrees fully.

    Raises:
        ValueError: for another weighting, or a matrix that is not square.

    Example:
        >>> round(kappa([[20, 5], [10, 15]]), 3)
        0.4
        >>> round(kappa([[5, 1, 0], [1, 4, 1], [0, 1, 5]], "quadratic"), 3)
        0.833
    """
    if weighting not in WEIGHTINGS:
        raise ValueError(f"`weighting` must be one of {WEIGHTINGS}; received {weighting!r}")
    matrix = np.asarray(matrix, "float64")
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2]:
        raise ValueError(f"a confusion matrix must have shape (..., K, K); received {matrix.shape}")
    grades = np.arange(matrix.shape[-1])
    distance = np.abs(grades[:, None] - grades)
    power = {None: 0, "linear": 1, "quadratic": 2}[weighting]
    fault = np.where(distance > 0, distance**power, 0)
    total = matrix.sum(axis=(-2, -1))
    expected = matrix.sum(axis=-1)[..., :, None] * matrix.sum(axis=-2)[..., None, :]
    observed = (fault * matrix).sum(axis=(-2, -1))
    return plain(1 - ratio(observed * total, (fault * expected).sum(axis=(-2, -1))))
