"""Rows of a batch by each example's own indices."""

from __future__ import annotations

from keras import ops


def take_rows(values, indices):
    """Give the rows of each example that its indices name.

    One gather on the flattened batch, which every backend and TFLite compute as one operator.

    Args:
        values: `(B, N, ...)`, N known.
        indices: `(B, M)` integers in [0, N).

    Returns:
        `(B, M, ...)`.

    Example:
        >>> values = ops.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
        >>> take_rows(values, ops.array([[2, 0], [0, 0]])).numpy().tolist()
        [[3.0, 1.0], [4.0, 4.0]]
    """
    start = ops.arange(ops.shape(values)[0], dtype="int32")[:, None] * values.shape[1]
    flat = ops.reshape(values, (-1, *values.shape[2:]))
    return ops.take(flat, ops.cast(indices, "int32") + start, axis=0)
