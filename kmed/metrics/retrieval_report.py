"""All measures of a retrieval system in one direction, with intervals from resampling patients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kmed.metrics.bootstrap import Interval, bootstrap_statistics
from kmed.metrics.ranking import Table
from kmed.metrics.retrieval import query_scores
from kmed.metrics.weighting import ratio

_KS = (1, 5, 10)
# Stands for an infinite error while resampling, which leaves out what is not finite.
_INFINITE = 1e250


def retrieval_report(
    queries: np.ndarray,
    gallery: np.ndarray | None,
    relevant: Table,
    *,
    patients: Sequence[str] | None = None,
    errors_mm: Table | None = None,
    grades: Table | None = None,
    among: int | None = 100,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Returns every measure of one direction with its bootstrap interval over patients.

    `recall_1`, `recall_5` and `recall_10`: share of the queries with a relevant item among the
    first so many of the whole gallery. `recall_1_among_100` and so on: the same among 100, one
    relevant item and 99 others drawn at random, in the mean over all draws. `median_rank` of the
    first relevant item; `map_r`, the mean average precision at R; `ndcg` of the whole ranking;
    `error_mm`, the median distance of the item found first. See `query_scores` for ties.

    Queries with nothing relevant in the gallery cannot be answered: they are left out and counted
    in `omitted`, as are those with fewer irrelevant items than `among` needs, and for `error_mm`
    those whose first item has no distance. That last number belongs beside the error, which does
    not show them; or give an infinite distance where an item of another study shall count as an
    error.

    Args:
        queries: embeddings `(Q, D)` of one modality; or scores `(Q, G)` of any method, larger is
            nearer, if `gallery` is None.
        gallery: embeddings `(G, D)` of the other modality, or None.
        relevant: `(Q, G)` bool, or a function that gives its rows: indices `(n,)` -> `(n, G)`.
        patients: the patient of each query, or None if each is another patient.
        errors_mm: `(Q, G)` or a function that gives its rows: distance of query and item in mm, NaN
            where there is none; None leaves the measure out.
        grades: `(Q, G)` or a function that gives its rows, 0 or more: how relevant for the NDCG;
            None takes `relevant`.
        among: number of items of the retrieval among few; None leaves it out.
        level: of confidence, between 0 and 1.
        resamples: number of bootstrap samples.
        seed: of the resampling.

    Returns:
        `{measure: Interval}`; `n` is the number of patients with a query that counts.

    Raises:
        ValueError: for arrays that do not fit one another or values outside of their range.

    Example:
        >>> angles = np.arange(120) * 3.0  # degrees
        >>> ct, mr = (np.stack([np.cos(a), np.sin(a)], axis=1) for a in np.radians(
        ...     [angles, angles + np.where(angles < 90, 4, 0)]  # some are found at their neighbour
        ... ))
        >>> report = retrieval_report(
        ...     ct, mr, lambda rows: rows[:, None] == np.arange(120), patients=np.arange(120) // 5
        ... )
        >>> print(report["recall_1"])
        0.750 (0.583 to 0.917), n = 24
        >>> report["recall_5"].value, report["median_rank"].value
        (1.0, 1.0)
    """
    count = len(queries)
    if patients is not None and len(patients) != count:
        raise ValueError(
            f"`patients` must name the patient of each of {count} queries; received {len(patients)}"
        )
    scores = query_scores(
        queries, gallery, relevant, grades=grades, errors_mm=errors_mm, among=among, ks=_KS
    )
    known = np.where(np.isnan(scores.first), np.nan, 1.0)
    values = {f"recall_{k}": (scores.first <= k) * known for k in _KS}
    if among is not None:
        parts = zip(_KS, scores.among.T, strict=True)
        values |= {f"recall_{k}_among_{among}": column for k, column in parts if k < among}
    values |= {"median_rank": scores.first, "map_r": scores.map_r, "ndcg": scores.ndcg}
    if errors_mm is not None:
        values["error_mm"] = np.minimum(scores.error_mm, _INFINITE)
    medians = {"median_rank", "error_mm"}

    def statistic(weights):
        columns = [
            (_median if name in medians else _mean)(column, weights)
            for name, column in values.items()
        ]
        return np.stack(columns, axis=1)

    intervals = bootstrap_statistics(
        statistic, count, patients=patients, level=level, resamples=resamples, seed=seed
    )
    names = np.arange(count) if patients is None else np.asarray(patients)
    report = {}
    for (name, column), interval in zip(values.items(), intervals, strict=True):
        counted = ~np.isnan(column)
        limits = (float("inf") if x > 1e-9 * _INFINITE else x for x in interval[:3])
        patients_behind = len(np.unique(names[counted]))
        report[name] = Interval(*limits, patients_behind, int((~counted).sum()))
    return report


def _mean(values, weights):
    known = ~np.isnan(values)
    return ratio(weights[:, known] @ values[known], weights[:, known].sum(axis=1))


def _median(values, weights):
    """Median of each sample, as if every value stood there as often as its weight says."""
    order = np.argsort(values, kind="stable")
    order = order[: np.count_nonzero(~np.isnan(values))]  # NaN is sorted last
    if not len(order):
        return np.full(len(weights), np.nan)
    up_to = np.cumsum(weights[:, order], axis=1)
    total = up_to[:, -1]
    middle = [
        values[order][(up_to > place[:, None]).argmax(axis=1)]
        for place in ((total - 1) // 2, total // 2)
    ]
    return np.where(total > 0, (middle[0] + middle[1]) / 2, np.nan)
