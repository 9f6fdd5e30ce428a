"""How well queries find what matches them in a gallery of another modality."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kmed.metrics.ranking import Table, chance_of_place, places, ranked_blocks


class QueryScores(NamedTuple):
    """What each query found; NaN where it could not be asked for.

    Attributes:
        first: `(Q,)` place of the first relevant item, 1 the best.
        map_r: `(Q,)` average precision at R.
        ndcg: `(Q,)` normalised discounted cumulative gain.
        error_mm: `(Q,)` distance of the item found first.
        among: `(Q, len(ks))` probability of a place among the first k of `among` items.
    """

    first: np.ndarray
    map_r: np.ndarray
    ndcg: np.ndarray
    error_mm: np.ndarray
    among: np.ndarray


def query_scores(
    queries: np.ndarray,
    gallery: np.ndarray | None,
    relevant: Table,
    *,
    grades: Table | None = None,
    errors_mm: Table | None = None,
    among: int | None = None,
    ks: Sequence[int] = (1, 5, 10),
    k: int | None = None,
) -> QueryScores:
    """Ranks the gallery for each query and looks where the relevant items are.

    Embeddings are compared by their inner product, the cosine of unit vectors. Memory grows with
    the gallery, not with the number of pairs: 100,000 queries of 100,000 need some 100 MB beside
    the embeddings, if `relevant` is a function.

    Ties count against the system: of items with one score the least relevant stand first, and of
    several at the first place the farthest is the one found. Scores of embeddings that differ by
    rounding alone (1e-6 of unit vectors) are ties.

    Args:
        queries: embeddings `(Q, D)`; or scores `(Q, G)` of any method, larger is nearer, if
            `gallery` is None.
        gallery: embeddings `(G, D)`, or None.
        relevant: `(Q, G)` bool, or a function that gives its rows: indices `(n,)` -> `(n, G)`.
            A query without a relevant item has NaN.
        grades: `(Q, G)` or a function, 0 or more: how relevant for the NDCG; None takes `relevant`.
        errors_mm: `(Q, G)` or a function: distance of query and item, NaN where there is none and
            infinite where it shall count as the largest error.
        among: retrieval among so many: one relevant item, each of them as often as the others, and
            `among - 1` irrelevant ones drawn at random. What is computed is the mean over all
            draws, so that none has to be drawn. None leaves it out.
        ks: places of the retrieval among `among`.
        k: places that the NDCG looks at; None for all.

    Returns:
        A value for each query.

    Raises:
        ValueError: for arrays that do not fit one another or values outside of their range.

    Example:
        >>> queries, gallery = np.eye(3), np.eye(3)[[1, 0, 2]]
        >>> query_scores(queries, gallery, lambda rows: rows[:, None] == [0, 1, 2]).first.tolist()
        [3.0, 3.0, 1.0]
    """
    if among is not None and among < 2 or any(place < 1 for place in ks):
        raise ValueError(
            f"`among` must be 2 or more and `ks` 1 or more; received {among} and {tuple(ks)}"
        )
    parts: list[QueryScores] = []
    tables = {"relevant": relevant, "grades": grades, "errors_mm": errors_mm}
    for _, scores, rows, tie in ranked_blocks(queries, gallery, **tables):
        parts.append(_block(scores, rows, tie, among, ks, k))
    return QueryScores(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def recall_at(
    queries: np.ndarray, gallery: np.ndarray | None, relevant: Table, k: int = 1
) -> float:
    """Returns the share of the queries that find a relevant item among their first k.

    Args:
        queries: as `query_scores`.
        gallery: as `query_scores`.
        relevant: as `query_scores`; queries without a relevant item are left out.
        k: number of items looked at.

    Returns:
        0..1; NaN if no query has a relevant item.

    Raises:
        ValueError: as `query_scores`, and for a k below 1.

    Example:
        >>> scores = np.array([[0.9, 0.1, 0.3], [0.8, 0.2, 0.3]])
        >>> relevant = np.array([[True, False, False], [False, True, False]])
        >>> recall_at(scores, None, relevant), recall_at(scores, None, relevant, k=3)
        (0.5, 1.0)
    """
    if k < 1:
        raise ValueError(f"`k` must be 1 or more; received {k}")
    first = _known(query_scores(queries, gallery, relevant).first)
    return float(np.mean(first <= k)) if len(first) else float("nan")


def median_rank(queries: np.ndarray, gallery: np.ndarray | None, relevant: Table) -> float:
    """Returns the median over the queries of the place of their first relevant item.

    Args:
        queries: as `query_scores`.
        gallery: as `query_scores`.
        relevant: as `query_scores`; queries without a relevant item are left out.

    Returns:
        1 or more; NaN if no query has a relevant item.

    Raises:
        ValueError: as `query_scores`.
    """
    first = _known(query_scores(queries, gallery, relevant).first)
    return float(np.median(first)) if len(first) else float("nan")


def mean_average_precision_at_r(
    queries: np.ndarray, gallery: np.ndarray | None, relevant: Table
) -> float:
    """Returns the mean average precision at R.

    Of a query with R relevant items the first R places count: the precision at each of them that
    has a relevant item, added up and divided by R.

    Reference:
        Musgrave, Belongie, Lim: A metric learning reality check, ECCV 2020, section 3.2.

    Args:
        queries: as `query_scores`.
        gallery: as `query_scores`.
        relevant: as `query_scores`; queries without a relevant item are left out.

    Returns:
        0..1; NaN if no query has a relevant item.

    Raises:
        ValueError: as `query_scores`.

    Example:
        >>> scores = np.array([[0.9, 0.8, 0.7, 0.6]])
        >>> mean_average_precision_at_r(scores, None, np.array([[False, True, True, False]]))
        0.25
    """
    values = _known(query_scores(queries, gallery, relevant).map_r)
    return float(values.mean()) if len(values) else float("nan")


def ndcg(
    queries: np.ndarray, gallery: np.ndarray | None, grades: Table, k: int | None = None
) -> float:
    """Returns the mean normalised discounted cumulative gain: graded relevance.

    An item at place i gains its grade divided by log2(i + 1); the sum is divided by that of the
    best order. For gains that grow with a power of two give `2**grades - 1`.

    Reference:
        Järvelin, Kekäläinen: Cumulated gain-based evaluation of IR techniques, ACM Transactions on
        Information Systems 20 (2002), with the discount of scikit-learn's `ndcg_score`.

    Args:
        queries: as `query_scores`.
        gallery: as `query_scores`.
        grades: `(Q, G)` or a function that gives its rows, 0 (irrelevant) or more; queries without
            a grade above 0 are left out.
        k: places that count; None for all.

    Returns:
        0..1; NaN if no query has a relevant item.

    Raises:
        ValueError: as `query_scores`, and for a k below 1.
    """
    if k is not None and k < 1:
        raise ValueError(f"`k` must be 1 or more; received {k}")
    relevant = _graded(grades) if callable(grades) else np.asarray(grades) > 0
    values = _known(query_scores(queries, gallery, relevant, grades=grades, k=k).ndcg)
    return float(values.mean()) if len(values) else float("nan")


def _graded(grades):
    return lambda rows: np.asarray(grades(rows)) > 0


def _known(values):
    return values[~np.isnan(values)]


def _block(scores, rows, tie, among, ks, k):
    """`QueryScores` of some queries."""
    relevant, grades, errors = rows["relevant"], rows["grades"], rows["errors_mm"]
    if relevant.dtype != bool:
        raise ValueError(f"`relevant` must be bool; received {relevant.dtype}")
    if grades is not None and not (np.isfinite(grades).all() and (grades >= 0).all()):
        raise ValueError(f"`grades` must be finite and 0 or more; received {grades.min()}")
    first, map_r, gain, error = np.full((4, len(scores)), np.nan)
    before, owner, others = [], [], (~relevant).sum(axis=1)
    for i, row in enumerate(scores):
        place, binary, better = places(row, relevant[i], tie)
        graded = (place, binary) if grades is None else places(row, grades[i], tie)[:2]
        gain[i] = _normalised_gain(*graded, k)
        if errors is not None:
            error[i] = _largest(errors[i][row >= row.max() - tie])
        if len(place):
            first[i] = place[0]
            precision = np.arange(1, len(place) + 1) / place
            map_r[i] = precision[place <= len(place)].sum() / len(place)
        before.append(better)
        owner.append(np.full(len(place), i))
    chances = np.full((len(scores), len(ks)), np.nan)
    if among is not None:
        before, owner = np.concatenate(before), np.concatenate(owner)
        count = np.bincount(owner, minlength=len(scores))
        for j, last in enumerate(ks):
            chance = chance_of_place(before, others[owner], among - 1, last)
            total = np.bincount(owner, chance, minlength=len(scores))
            np.divide(total, count, out=chances[:, j], where=count > 0)
    return QueryScores(first, map_r, gain, error, chances)


def _normalised_gain(place, gains, k):
    if not len(place):
        return np.nan
    best = np.sort(gains)[::-1].astype("float64")[:k]
    ideal = np.sum(best / np.log2(np.arange(2, len(best) + 2)))
    seen = place <= (place[-1] if k is None else k)
    return np.sum(gains[seen] / np.log2(place[seen] + 1)) / ideal


def _largest(distances):
    known = distances[~np.isnan(distances)]
    return known.max() if len(known) else np.nan
