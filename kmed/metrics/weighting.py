"""Rows that count several times: how a measure sees many bootstrap samples at once.

A bootstrap sample of N rows is N numbers, how often each row was drawn. A measure that takes these
numbers as weights computes R samples from an array `(R, N)` without copying a row, which is why
two thousand resamples of a whole report take seconds.
"""

from __future__ import annotations

import numpy as np


def row_weights(weights: np.ndarray | None, rows: int) -> np.ndarray:
    """Checks the weights of a measure's rows.

    Args:
        weights: None (every row counts once), `(N,)` or `(R, N)`, 0 or more.
        rows: number of rows N.

    Returns:
        `(N,)` or `(R, N)` float64.

    Raises:
        ValueError: if there is no row, or the weights do not belong to the rows.

    Example:
        >>> row_weights(None, 3).tolist()
        [1.0, 1.0, 1.0]
    """
    if rows == 0:
        raise ValueError("a measure needs at least one row; received none")
    if weights is None:
        return np.ones(rows)
    weights = np.asarray(weights, "float64")
    if weights.ndim not in (1, 2) or weights.shape[-1] != rows:
        raise ValueError(
            f"`weights` must have shape (N,) or (R, N) for the N = {rows} rows; "
            f"received {weights.shape}"
        )
    if not (weights >= 0).all() or not np.isfinite(weights).all():
        raise ValueError("`weights` must be finite and 0 or more")
    return weights


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divides; NaN where nothing is divided by nothing: a rate among no examples is not known.

    Args:
        numerator: any shape.
        denominator: the same.

    Returns:
        float64 of that shape.

    Example:
        >>> ratio(np.array([1.0, 0.0]), np.array([2.0, 0.0])).tolist()
        [0.5, nan]
    """
    numerator, denominator = np.broadcast_arrays(
        np.asarray(numerator, "float64"), np.asarray(denominator, "float64")
    )
    result = np.full(numerator.shape, np.nan)
    return np.divide(numerator, denominator, out=result, where=denominator != 0)


def plain(values: np.ndarray) -> float | np.ndarray:
    """Gives a float for one sample and the array `(R,)` for several.

    Args:
        values: any shape.

    Returns:
        A float if there is no axis.
    """
    values = np.asarray(values)
    return float(values) if values.ndim == 0 else values
