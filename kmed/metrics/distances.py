"""Euclidean distances between many rows, a block at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_NUMBERS = 1 << 21  # float64 held of each side: 16 MB
_ROWS = 1024  # of a block; its distances are 8 MB


def distance_blocks(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Yields the distances between all rows of two tables in blocks, so that memory stays flat.

    Equal rows are 0 apart only up to rounding (1e-7 of their size): the squares are expanded, so
    that the work is one matrix product.

    Args:
        a: `(N, ...)` numbers, such as features or images; also memory-mapped.
        b: `(M, ...)` of the same shape otherwise.

    Yields:
        Rows of `a`, rows of `b`, and their distances float64 `(rows of a, rows of b)`. All blocks
        of some rows of `a` come one after the other.

    Raises:
        ValueError: for shapes that differ, tables without a row, or values that are not finite.

    Example:
        >>> blocks = list(distance_blocks(np.array([[0.0, 0.0], [3.0, 4.0]]), np.zeros((1, 2))))
        >>> blocks[0][2].tolist()
        [[0.0], [5.0]]
    """
    if a.ndim < 2 or a.shape[1:] != b.shape[1:] or 0 in a.shape or 0 in b.shape:
        raise ValueError(
            f"both tables must be (rows, ...) of the same shape otherwise and not empty; received "
            f"{a.shape} and {b.shape}"
        )
    rows = int(np.clip(_NUMBERS // np.prod(a.shape[1:]), 1, _ROWS))
    origin = _block(b, slice(0, min(rows, len(b))), 0).mean(
        axis=0
    )  # near the rows: less is lost to rounding
    for i in range(0, len(a), rows):
        of_a = slice(i, min(i + rows, len(a)))
        left = _block(a, of_a, origin)
        for j in range(0, len(b), rows):
            of_b = slice(j, min(j + rows, len(b)))
            right = _block(b, of_b, origin)
            squares = -2 * left @ right.T
            squares += np.square(left).sum(axis=1)[:, None]
            squares += np.square(right).sum(axis=1)
            yield of_a, of_b, np.sqrt(np.maximum(squares, 0, out=squares), out=squares)


def _block(table, rows, origin):
    block = np.asarray(table[rows], "float64").reshape(rows.stop - rows.start, -1)
    if not np.isfinite(block).all():
        raise ValueError(
            f"values must be finite; received others in rows {rows.start} to {rows.stop - 1}"
        )
    return block - origin
