"""Boxes of a detector whose every cell has anchors of its own, over several levels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from keras import ops

_INSIDE = 1.0 - 1e-6  # of the image's side: a centre on its right edge is in the last cell


def cell_grid(
    size: tuple, strides: Sequence[int], sides: Sequence[Sequence[Sequence[float]]]
) -> tuple:
    """List the boxes of all levels, ordered by level, row, column and anchor.

    Args:
        size: (height, width) of the image in pixels, numbers or scalar tensors.
        strides: distance of each level's cells in pixels.
        sides: of each level, (width, height) of its anchors in pixels.

    Returns:
        Of every box, float32: column and row of its cell `(N, 2)`, stride `(N, 1)` and width and
        height of its anchor `(N, 2)`.

    Example:
        >>> cells, strides, anchors = cell_grid((8, 16), (8,), [[(3, 4)]])
        >>> cells.numpy().tolist(), anchors.numpy().tolist()
        ([[0.0, 0.0], [1.0, 0.0]], [[3.0, 4.0], [3.0, 4.0]])
    """
    # Constants where the size is known: they are then part of an exported file.
    xp = np if all(isinstance(n, int) for n in size) else ops
    parts = []
    for stride, anchors in zip(strides, sides, strict=True):
        rows, columns = size[0] // stride, size[1] // stride
        x, y = xp.meshgrid(xp.arange(columns), xp.arange(rows))
        cells = xp.repeat(xp.reshape(xp.stack([x, y], axis=-1), (-1, 2)), len(anchors), axis=0)
        repeated = xp.tile(np.array(anchors, "float32"), (rows * columns, 1))
        parts.append((cells, xp.ones_like(cells[:, :1]) * stride, repeated))
    joined = (xp.concatenate(part, axis=0) for part in zip(*parts, strict=True))
    return tuple(ops.cast(part, "float32") for part in joined)


def best_anchor(sides, anchors):
    """Tell which anchor's shape overlaps each box most, as if all had one centre.

    Args:
        sides: `(..., 2)` width and height of boxes in pixels.
        anchors: `(A, 2)` width and height in pixels.

    Returns:
        `(...)` int32, the first of equals.

    Example:
        >>> int(best_anchor(ops.array([10.0, 20.0]), ops.array([[8.0, 8.0], [9.0, 25.0]])))
        1
    """
    sides = ops.maximum(sides, 0.0)[..., None, :]
    common = ops.prod(ops.minimum(sides, anchors), axis=-1)  # (..., A)
    union = ops.prod(sides, axis=-1) + ops.prod(anchors, axis=-1) - common
    return ops.cast(ops.argmax(common / union, axis=-1), "int32")


def cell_matches(
    centers, anchors, size: tuple, strides: Sequence[int], masks: Sequence[Sequence[int]]
):
    """Tell which of `cell_grid`'s boxes each object belongs to.

    Args:
        centers: `(B, M, 2)` x and y in pixels of the image.
        anchors: `(B, M)` int32 index of each object's anchor, -1 for an object to leave out; one
            whose centre is off the image is left out too.
        size: (height, width) of the image in pixels.
        strides: distance of each level's cells in pixels.
        masks: of each level, the indices of its anchors.

    Returns:
        `(B, M, N)` bool.

    Example:
        >>> centers, anchors = ops.array([[[9.0, 3.0]]]), ops.array([[1]])
        >>> cell_matches(centers, anchors, (8, 16), (8,), [(0, 1)]).numpy().tolist()
        [[[False, False, False, True]]]
    """
    limits = ops.cast(ops.stack([size[1], size[0]]), "float32")  # width, height
    on_image = ops.all((centers >= 0) & (centers <= limits), axis=-1)
    centers = ops.minimum(centers, limits * _INSIDE)
    parts = []
    for stride, mask in zip(strides, masks, strict=True):
        rows, columns = size[0] // stride, size[1] // stride
        cell = ops.cast(ops.floor(centers / stride), "int32")
        first = (cell[..., 1] * columns + cell[..., 0]) * len(mask)
        index = ops.full_like(first, -1)
        for place, anchor in enumerate(mask):
            index = ops.where(on_image & (anchors == anchor), first + place, index)
        parts.append(index[..., None] == ops.arange(rows * columns * len(mask), dtype="int32"))
    return ops.concatenate(parts, axis=-1)


def square_size(boxes, strides: Sequence[int], anchors_per_cell: int):
    """Tell the size of a square image from the number of its boxes.

    Args:
        boxes: N of `cell_grid`; a number or a scalar int32 tensor.
        strides: distance of each level's cells in pixels; the largest is a multiple of each.
        anchors_per_cell: of every level.

    Returns:
        (height, width) in pixels.

    Raises:
        ValueError: if a number is not that of any square.

    Example:
        >>> square_size(10647, (32, 16, 8), 3)
        (416, 416)
    """
    largest = max(strides)
    # Boxes of an image that is one cell of the coarsest level.
    unit = anchors_per_cell * sum((largest // stride) ** 2 for stride in strides)
    if ops.is_tensor(boxes):
        cells = ops.cast(boxes // unit, "float32")
        side = largest * ops.cast(ops.round(ops.sqrt(cells)), "int32")
        return side, side
    cells = round((boxes / unit) ** 0.5)
    if unit * cells * cells != boxes:
        raise ValueError(
            f"{boxes} boxes are not those of a square image, which are {unit} times a square; "
            "give the codec its `size`"
        )
    return cells * largest, cells * largest


def anchor_masks(masks: Sequence[Sequence[int]] | None, anchors: int, levels: int) -> tuple:
    """Check which anchors each level has.

    Args:
        masks: of each level, the indices of its anchors; None deals them out evenly, the last, and
            so largest, to the first level.
        anchors: how many there are.
        levels: how many there are.

    Returns:
        The masks, tuples of integers.

    Raises:
        ValueError: if they are not as many for each level, or no indices.

    Example:
        >>> anchor_masks(None, 6, 2)
        ((3, 4, 5), (0, 1, 2))
    """
    if masks is None:
        if anchors % levels:
            raise ValueError(
                f"`anchors` must be as many for each of {levels} levels, or `masks` be given; "
                f"received {anchors}"
            )
        masks = np.arange(anchors).reshape(levels, -1)[::-1].tolist()
    masks = tuple(tuple(int(i) for i in mask) for mask in masks)
    wrong = any(not 0 <= i < anchors or mask.count(i) > 1 for mask in masks for i in mask)
    if wrong or len(masks) != levels or len({len(mask) for mask in masks}) != 1 or not masks[0]:
        raise ValueError(
            f"`masks` must be {levels} lists of equal length, one for each stride, of different "
            f"indices of {anchors} anchors; received {masks}"
        )
    return masks


def interpolate_anchors(anchors: Sequence[Sequence[float]], count: int) -> list:
    """Give another number of anchors, evenly along the given ones in the logarithms of their sides.

    Args:
        anchors: (width, height) in pixels, from small to large.
        count: how many.

    Returns:
        `count` pairs (width, height), rounded to hundredths of a pixel.

    Example:
        >>> interpolate_anchors([(10, 10), (40, 90)], 3)
        [(10.0, 10.0), (20.0, 30.0), (40.0, 90.0)]
    """
    places = np.linspace(0, len(anchors) - 1, count)
    logs = np.log(np.array(anchors, "float64")).T
    sides = np.exp([np.interp(places, range(len(anchors)), side) for side in logs]).T
    return [tuple(np.round(side, 2).tolist()) for side in sides]
