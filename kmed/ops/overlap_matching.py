"""Which object each default box is trained to find."""

from __future__ import annotations

from keras import ops

_TOUCHING = 1e-6  # an overlap that is more than rounding


def match_by_overlap(overlaps, threshold: float):
    """Match boxes with objects: first every object gets a box, then every box that overlaps one.

    The pair of the largest overlap goes first and leaves both to no other, until every object that
    touches a free box has one of its own. Of the boxes left, each that overlaps an object by more
    than `threshold` gets the one that it overlaps most.

    Reference: Liu et al. 2016, section 2.2 (matching strategy); Erhan et al. 2014, "Scalable Object
    Detection using Deep Neural Networks", section 3.2 (its first step).

    Args:
        overlaps: `(B, M, N)` IoU of M objects and N boxes; 0 in the rows of objects that are none.
        threshold: in (0, 1).

    Returns:
        `(B, N)` int32: the object of each box, -1 for background.

    Example:
        >>> match_by_overlap(ops.array([[[0.3, 0.2, 0.0], [0.6, 0.4, 0.7]]]), 0.5).numpy().tolist()
        [[0, -1, 1]]
    """
    own = _own_boxes(overlaps)
    boxes = ops.arange(overlaps.shape[2], dtype="int32")
    objects = ops.arange(ops.shape(overlaps)[1], dtype="int32")[None, :, None]
    first = ops.max(ops.where(own[..., None] == boxes, objects, -1), axis=1)  # (B, N)
    best = ops.cast(ops.argmax(overlaps, axis=1), "int32")
    best = ops.where(ops.max(overlaps, axis=1) > threshold, best, -1)
    return ops.where(first >= 0, first, best)


def _own_boxes(overlaps):
    """Index of the box that each object gets first, -1 for none: `(B, M, N)` to `(B, M)`.

    The M best boxes of an object are enough: the others cannot take more than M - 1 of them.
    """
    objects = ops.shape(overlaps)[1]
    kept = overlaps.shape[1] if overlaps.shape[1] is not None else overlaps.shape[2]
    kept = min(kept, overlaps.shape[2])
    values, boxes = ops.top_k(overlaps, kept)  # (B, M, C)
    boxes = ops.cast(boxes, "int32")
    numbers = ops.arange(objects, dtype="int32")

    def step(_, state):
        values, own = state
        best = ops.max(values, axis=2)  # (B, M)
        winner = ops.cast(ops.argmax(best, axis=1), "int32")[:, None]
        won = (numbers == winner) & (best > _TOUCHING)  # (B, M), at most one
        place = ops.cast(ops.argmax(values, axis=2), "int32")[..., None]
        box = ops.take_along_axis(boxes, place, axis=2)[..., 0]
        own = ops.where(won, box, own)
        taken = ops.max(ops.where(won, box, -1), axis=1)[:, None, None]
        values = ops.where(won[..., None] | (boxes == taken), 0.0, values)
        return values, own

    own = ops.zeros_like(boxes[..., 0]) - 1
    return ops.fori_loop(0, objects, step, (values, own))[1]
