"""Search that compares with every vector, and the comparison with a few."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import faiss
import numpy as np

_CHUNK = 65_536  # vectors compared at a time: 32 MiB of 128 dimensions


def nearest(
    queries: np.ndarray, parts: Sequence[np.ndarray], k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Find the largest inner products among all vectors.

    Args:
        queries: (Q, D) float32.
        parts: vectors (N, D) float32, whose positions follow one another.
        k: how many, at most all vectors.

    Returns:
        Inner products (Q, k) float32, largest first, and positions (Q, k) int64; of equal ones
        the earlier position is first.

    Example:
        >>> vectors = np.eye(3, dtype=np.float32)
        >>> nearest(vectors[:1] + vectors[1:2] / 2, [vectors[:1], vectors[1:]], 2)[1]
        array([[0, 1]])
    """
    scores, positions, start = [], [], 0
    for part in parts:
        found, places = faiss.knn(queries, part, min(k, len(part)), faiss.METRIC_INNER_PRODUCT)
        scores.append(found)
        positions.append(places + start)
        start += len(part)
    if not k:
        empty = (len(queries), 0)
        return np.empty(empty, np.float32), np.empty(empty, np.int64)
    all_scores, all_positions = np.concatenate(scores, 1), np.concatenate(positions, 1)
    order = np.lexsort((all_positions, -all_scores))[:, :k]
    return np.take_along_axis(all_scores, order, 1), np.take_along_axis(all_positions, order, 1)


def products(
    queries: np.ndarray, positions: np.ndarray, gather: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Compare each query with vectors of its own.

    Args:
        queries: (Q, D) float32.
        positions: (Q, K) int64, -1 for none.
        gather: gives the vectors (N, D) of positions (N,).

    Returns:
        Inner products (Q, K) float32, minus infinity for none.

    Example:
        >>> vectors = np.eye(2, dtype=np.float32)
        >>> products(vectors, np.array([[0, 1], [1, -1]]), vectors.__getitem__)
        array([[  1.,   0.],
               [  1., -inf]], dtype=float32)
    """
    scores = np.empty(positions.shape, np.float32)
    step = max(1, _CHUNK // max(1, positions.shape[1]))
    for start in range(0, len(queries), step):
        places = positions[start : start + step]
        different, where = np.unique(np.maximum(places, 0), return_inverse=True)
        vectors = gather(different)[where.reshape(places.shape)]
        here = np.einsum("qd,qkd->qk", queries[start : start + step], vectors)
        scores[start : start + step] = np.where(places < 0, -np.inf, here)
    return scores
