"""Confidence intervals by resampling patients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

NOT_FINITE = ("omit", "keep", "refuse")

_CHUNK = 1 << 21  # weights held at once: 16 MB
# A class that one patient has is missing from 37 % of the resamples, one that two have from 14 %.
_DEFINED = 0.7


class Interval(NamedTuple):
    """A statistic with its confidence interval.

    Attributes:
        value: the statistic of all values; NaN if there are none.
        low: lower limit; NaN with fewer than two patients.
        high: upper limit; NaN with fewer than two patients.
        n: number of patients behind it.
        omitted: number of values (not patients) left out because they were NaN or infinite.
    """

    value: float
    low: float
    high: float
    n: int
    omitted: int = 0

    def __str__(self) -> str:
        """Returns, say, `0.912 (0.894 to 0.927), n = 20`."""
        text = f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f}), n = {self.n}"
        return text + (f", {self.omitted} not finite" if self.omitted else "")


def bootstrap_interval(
    values: Sequence[float],
    *,
    patients: Sequence[str] | None = None,
    statistic: Callable[[np.ndarray], float] = np.mean,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    not_finite: str = "omit",
) -> Interval:
    """Returns a statistic with its percentile bootstrap interval over patients.

    Images of one patient resemble each other, so patients are drawn with replacement, each with all
    of its values; drawing images would make the interval too narrow.

    A distance to a structure that was missed altogether is infinite, and one infinity makes every
    mean infinite. By default such values and NaN are left out and counted in `omitted`: report
    that number beside the mean, for it is the number of failures that the mean does not show.

    Reference:
        Efron, Tibshirani: An introduction to the bootstrap, 1993, chapter 13.
        Field, Welsh: Bootstrapping clustered data, J. R. Stat. Soc. B 69 (2007).

    Args:
        values: one number per image.
        patients: the patient of each value; None if every value is a patient's only one.
        statistic: of a one-dimensional array.
        level: of confidence, between 0 and 1.
        resamples: number of bootstrap samples.
        seed: of the resampling.
        not_finite: "omit" leaves NaN and infinities out, "keep" lets the statistic see them,
            "refuse" raises.

    Returns:
        Interval.

    Raises:
        ValueError: for lengths that differ, a level outside (0, 1), or refused values.

    Example:
        >>> print(bootstrap_interval([0.8, 0.9, 0.7, 0.95], patients=["a", "a", "b", "c"]))
        0.838 (0.700 to 0.950), n = 3
    """
    values = np.asarray(values, dtype="float64")
    if values.ndim != 1:
        raise ValueError(f"`values` must be one-dimensional; received shape {values.shape}")
    names = np.arange(len(values)) if patients is None else np.asarray(patients)
    if names.shape != values.shape:
        raise ValueError(
            f"`patients` must name one patient per value; received {names.shape[0]} for "
            f"{len(values)} values"
        )
    _check_sampling(level, resamples)
    if not_finite not in NOT_FINITE:
        raise ValueError(f"`not_finite` must be one of {NOT_FINITE}; received {not_finite!r}")
    finite = np.isfinite(values)
    if not_finite == "refuse" and not finite.all():
        raise ValueError(f"`values` must be finite; received {int((~finite).sum())} that are not")
    omitted = 0
    if not_finite == "omit":
        omitted = int((~finite).sum())
        values, names = values[finite], names[finite]
    if len(values) == 0:
        return Interval(float("nan"), float("nan"), float("nan"), 0, omitted)
    _, index = np.unique(names, return_inverse=True)
    count = int(index.max()) + 1
    value = float(statistic(values))
    if count < 2:
        return Interval(value, float("nan"), float("nan"), count, omitted)
    drawn = np.random.default_rng(seed).integers(0, count, (resamples, count))
    with np.errstate(invalid="ignore"):  # infinity minus infinity, where infinities are kept
        if statistic is np.mean:
            total, size = np.bincount(index, values), np.bincount(index)
            samples = total[drawn].sum(axis=1) / size[drawn].sum(axis=1)
        else:
            groups = [values[index == patient] for patient in range(count)]
            samples = np.array(
                [statistic(np.concatenate([groups[i] for i in row])) for row in drawn]
            )
        low, high = _limits(samples, level)
    return Interval(value, low, high, count, omitted)


def bootstrap_statistics(
    statistic: Callable[[np.ndarray], np.ndarray],
    rows: int,
    *,
    patients: Sequence[str] | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> list[Interval]:
    """Returns statistics of whole tables with their percentile bootstrap intervals over patients.

    `bootstrap_interval` resamples one value per image; the area under a ROC curve has none. Here a
    resample is the number of times that each row counts, so that a statistic computes many of them
    at once from arrays that are sorted and checked one time: a classifier's whole report of
    2000 resamples of 624 images takes a second.

    A statistic may be NaN for a resample (a class that none of the patients drawn has): such
    resamples are left out. Where more than 30 % of them are, as for a class that a single patient
    has, the limits are NaN: they would only be the spread of what is left.

    Reference:
        Efron, Tibshirani: An introduction to the bootstrap, 1993, chapter 13.
        Field, Welsh: Bootstrapping clustered data, J. R. Stat. Soc. B 69 (2007).

    Args:
        statistic: takes weights `(R, N)` float64, how often each row counts in each of R samples,
            and gives `(R, M)`.
        rows: number of rows N.
        patients: the patient of each row; None if every row is another patient.
        level: of confidence, between 0 and 1.
        resamples: number of bootstrap samples.
        seed: of the resampling.

    Returns:
        M intervals; `n` is the number of patients, `omitted` 1 if the value itself is NaN.

    Raises:
        ValueError: for no row, patients that are not one per row, or a level outside (0, 1).

    Example:
        >>> values = np.array([[0.8, 1.0], [0.9, 2.0], [0.7, 3.0]])
        >>> intervals = bootstrap_statistics(
        ...     lambda weights: weights @ values / weights.sum(axis=1, keepdims=True), 3
        ... )
        >>> print(intervals[0])
        0.800 (0.700 to 0.900), n = 3
    """
    names = np.arange(rows) if patients is None else np.asarray(patients)
    if rows < 1 or names.shape != (rows,):
        raise ValueError(
            f"`patients` must name one patient for each of at least one row; received "
            f"{len(names)} for {rows} rows"
        )
    _check_sampling(level, resamples)
    _, index = np.unique(names, return_inverse=True)
    count = int(index.max()) + 1
    values = np.asarray(statistic(np.ones((1, rows))), "float64")[0]
    samples = np.full((1, len(values)), np.nan)
    if count > 1:
        rng = np.random.default_rng(seed)
        size = max(1, min(resamples, _CHUNK // rows))
        parts = [min(size, resamples - start) for start in range(0, resamples, size)]
        samples = np.concatenate([statistic(_drawn(rng, part, count)[:, index]) for part in parts])
    limits = []
    for column in samples.T:
        known = column[np.isfinite(column)]
        enough = len(known) >= _DEFINED * len(column)
        limits.append(_limits(known, level) if enough else (float("nan"),) * 2)
    return [
        Interval(float(value), *pair, count, int(not np.isfinite(value)))
        for value, pair in zip(values, limits, strict=True)
    ]


def _drawn(rng, resamples, count):
    """How often each of `count` patients is drawn, `(resamples, count)` float64."""
    drawn = rng.integers(0, count, (resamples, count))
    drawn += count * np.arange(resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=resamples * count)
    return counts.reshape(resamples, count).astype("float64")


def _limits(samples, level):
    low, high = np.percentile(samples, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)


def _check_sampling(level, resamples):
    if not 0 < level < 1 or resamples < 1:
        raise ValueError(
            "`level` must lie between 0 and 1 and `resamples` be at least 1; "
            f"received {level} and {resamples}"
        )
