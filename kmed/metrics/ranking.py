"""Places of what matches in the rankings of many queries, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy.special import gammaln

#: A table `(Q, G)`, or what gives some of its rows: of indices `(n,)` an array `(n, G)`.
Table = np.ndarray | Callable[[np.ndarray], np.ndarray]

_BLOCK = 1 << 22  # scores held at once: 16 MB, whatever the number of queries
# Sums of one vector's products differ by some 1e-7 with their place in a block. A network that
# gives every image one and the same vector must not be ranked by that.
_TIE = 1e-6


def ranked_blocks(
    queries: np.ndarray, gallery: np.ndarray | None, **tables: Table | None
) -> Iterator[tuple[np.ndarray, np.ndarray, dict[str, np.ndarray | None], float]]:
    """Computes the scores of all pairs, some queries at a time.

    Args:
        queries: embeddings `(Q, D)`; or scores `(Q, G)`, if there is no gallery.
        gallery: embeddings `(G, D)`, or None.
        **tables: further tables of the same pairs; None stays None.

    Yields:
        Indices of the queries `(n,)`, their scores `(n, G)` (inner products), the same rows of the
        tables, and the largest difference of two scores that is not told from a tie.

    Raises:
        ValueError: for arrays that do not fit one another, or values that are not finite.

    Example:
        >>> blocks = ranked_blocks(np.eye(2), np.eye(2), relevant=np.eye(2) == 1)
        >>> [(scores.tolist(), rows["relevant"].shape) for _, scores, rows, _ in blocks]
        [([[1.0, 0.0], [0.0, 1.0]], (2, 2))]
    """
    queries = _vectors("queries", queries)
    if gallery is not None:
        gallery = _vectors("gallery", gallery)
        if gallery.shape[1] != queries.shape[1]:
            raise ValueError(
                "`queries` (Q, D) and `gallery` (G, D) must have one length of embeddings; "
                f"received {queries.shape} and {gallery.shape}"
            )
    count = queries.shape[1] if gallery is None else len(gallery)
    tie = 0.0 if gallery is None else _TIE * _longest(queries) * _longest(gallery)
    for name, table in tables.items():
        if isinstance(table, np.ndarray | list) and np.shape(table) != (len(queries), count):
            raise ValueError(
                f"`{name}` must have one value for each of {len(queries)} queries and {count} of "
                f"the gallery; received shape {np.shape(table)}"
            )
    step = max(1, _BLOCK // count)
    for start in range(0, len(queries), step):
        rows = np.arange(start, min(start + step, len(queries)))
        scores = queries[rows] if gallery is None else queries[rows] @ gallery.T
        given = {name: _rows(name, table, rows, count) for name, table in tables.items()}
        yield rows, scores, given, tie


def places(
    scores: np.ndarray, gains: np.ndarray, tie: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Finds where one query's ranking has what is relevant, ties counted against the system.

    Of items with one score the least relevant come first: a system that gives everything the same
    score finds nothing.

    Args:
        scores: `(G,)`, larger is nearer.
        gains: `(G,)` 0 or more, above 0 where relevant.
        tie: items that score so little less than a relevant one still stand before it.

    Returns:
        Of the P relevant items, best score first: the place `(P,)`, 1 the first; the gain `(P,)`;
        and the number `(P,)` of irrelevant items that stand before it.

    Example:
        >>> scores, gains = np.array([0.9, 0.5, 0.5, 0.1]), np.array([0, 1, 0, 1])
        >>> places(scores, gains)[0].tolist()
        [3, 4]
    """
    relevant = gains > 0
    found = np.flatnonzero(relevant)
    found = found[np.lexsort((gains[found], -scores[found]))]
    # An irrelevant item counts from the first relevant one on that does not score more.
    begins = np.searchsorted(tie - scores[found], -scores[~relevant], side="left")
    before = np.cumsum(np.bincount(begins, minlength=len(found) + 1)[: len(found)])
    return before + 1 + np.arange(len(found)), gains[found], before


def chance_of_place(before: np.ndarray, others: np.ndarray, drawn: int, k: int) -> np.ndarray:
    """Computes how likely an item is among the first k of itself and some others drawn at random.

    This is what drawing again and again comes to, without its randomness.

    Reference:
        The distribution function of the hypergeometric distribution.

    Args:
        before: number of the others that stand before the item.
        others: number of all others, of the same shape.
        drawn: how many of them are drawn, without putting back.
        k: last place that counts, 1 or more.

    Returns:
        Probabilities of that shape; NaN where there are fewer others than are to be drawn.

    Example:
        >>> chance_of_place(np.array([0, 1, 2]), np.array([2, 2, 2]), 1, 1).tolist()
        [1.0, 0.5, 0.0]
    """
    before, others = (np.asarray(n, "float64")[..., None] for n in (before, others))
    drawn_before = np.arange(min(k, drawn + 1), dtype="float64")
    possible = (drawn_before <= before) & (drawn - drawn_before <= others - before)
    with np.errstate(invalid="ignore"):  # impossible ones, not a number, are left out below
        logarithm = (
            _choices(before, drawn_before)
            + _choices(others - before, drawn - drawn_before)
            - _choices(others, drawn)
        )
    total = np.exp(np.where(possible, logarithm, -np.inf)).sum(axis=-1)
    return np.where(others[..., 0] < drawn, np.nan, np.minimum(np.round(total, 12), 1.0))


def _choices(n, k):
    """Logarithm of the number of ways to choose k of n."""
    return gammaln(n + 1) - gammaln(k + 1) - gammaln(np.maximum(n - k, 0) + 1)


def _vectors(name, values):
    values = np.asarray(values)
    if values.ndim != 2 or 0 in values.shape or values.dtype.kind not in "fiub":
        raise ValueError(
            f"`{name}` must be an array of numbers with two axes, none of them empty; received "
            f"{values.dtype} {values.shape}"
        )
    wide = values.astype("float32") if values.dtype not in ("float32", "float64") else values
    unknown = len(wide) - int(np.isfinite(wide).all(axis=1).sum())
    if unknown:
        raise ValueError(
            f"`{name}` must be finite; {unknown} of {len(wide)} rows hold NaN or infinity: the "
            "network that gave them has diverged"
        )
    return wide


def _longest(vectors):
    return float(np.sqrt(np.einsum("nd,nd->n", vectors, vectors).max()))


def _rows(name, table, rows, count):
    if table is None:
        return None
    given = np.asarray(table(rows) if callable(table) else np.asarray(table)[rows])
    if given.shape != (len(rows), count):
        raise ValueError(
            f"`{name}` must give {(len(rows), count)} values, one for each of {len(rows)} queries "
            f"and {count} of the gallery; received shape {given.shape}"
        )
    return given
