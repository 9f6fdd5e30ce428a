"""Geometry of boxes, `(x1, y1, x2, y2)` in pixels with `x1 <= x2` and `y1 <= y2`.

Coordinates are continuous: the left edge of an image is 0 and its right edge its width.
"""

from __future__ import annotations

import keras
from keras import ops


def area(boxes):
    """Give the area of each box.

    Args:
        boxes: `(..., 4)` xyxy in pixels; a box whose ends are swapped has area 0.

    Returns:
        `(...)` in square pixels.

    Example:
        >>> float(area(ops.array([1.0, 1.0, 4.0, 3.0])))
        6.0
    """
    width, height = boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]
    return ops.maximum(width, 0.0) * ops.maximum(height, 0.0)


def iou(first, second):
    """Give the intersection over union of every pair of boxes.

    Args:
        first: `(N, 4)` or `(B, N, 4)` xyxy in pixels.
        second: `(M, 4)` or `(B, M, 4)`.

    Returns:
        `(N, M)` or `(B, N, M)`, in [0, 1]; 0 for two boxes without area.

    Example:
        >>> pair = iou(ops.array([[0.0, 0.0, 2.0, 2.0]]), ops.array([[1.0, 0.0, 3.0, 2.0]]))
        >>> round(float(pair[0, 0]), 4)
        0.3333
    """
    return keras.utils.bounding_boxes.compute_iou(first, second, "xyxy")


def generalized_iou(first, second):
    """Give the generalised IoU of boxes pair by pair.

    Reference: Rezatofighi et al. 2019, "Generalized Intersection over Union", algorithm 1.

    Args:
        first: `(..., 4)` xyxy in pixels.
        second: of the same shape.

    Returns:
        `(...)` in [-1, 1].

    Example:
        >>> box = ops.array([0.0, 0.0, 1.0, 1.0])
        >>> float(generalized_iou(box, box + ops.array([3.0, 0.0, 3.0, 0.0])))
        -0.5
    """
    lower = ops.maximum(first[..., :2], second[..., :2])
    upper = ops.minimum(first[..., 2:], second[..., 2:])
    sides = ops.maximum(upper - lower, 0.0)
    intersection = sides[..., 0] * sides[..., 1]
    union = area(first) + area(second) - intersection
    hull_lower = ops.minimum(first[..., :2], second[..., :2])
    hull_upper = ops.maximum(first[..., 2:], second[..., 2:])
    hull = area(ops.concatenate([hull_lower, hull_upper], axis=-1))
    overlap = ops.divide_no_nan(intersection, union)
    return overlap - ops.divide_no_nan(hull - union, hull)


def complete_iou(first, second):
    """Give the complete IoU of boxes pair by pair: overlap, distance of centres, aspect ratio.

    Reference: Zheng et al. 2020, "Distance-IoU Loss", equations 9 to 11.

    Args:
        first: `(..., 4)` xyxy in pixels.
        second: of the same shape.

    Returns:
        `(...)`, at most 1.
    """
    return keras.utils.bounding_boxes.compute_ciou(first, second, "xyxy")


def clip(boxes, height, width):
    """Cut boxes off at the edges of the image.

    Args:
        boxes: `(..., 4)` xyxy in pixels.
        height: of the image, in pixels; a number or a scalar tensor.
        width: of the image, in pixels.

    Returns:
        `(..., 4)`.

    Example:
        >>> clip(ops.array([-1.0, 2.0, 9.0, 5.0]), 4, 8).numpy().tolist()
        [0.0, 2.0, 8.0, 4.0]
    """
    limits = ops.stack([width, height, width, height])
    return ops.minimum(ops.maximum(boxes, 0.0), ops.cast(limits, boxes.dtype))


def to_center(boxes):
    """Turn corners into centres and sides.

    Args:
        boxes: `(..., 4)` xyxy in pixels.

    Returns:
        `(..., 4)`: x and y of the centre, width, height.

    Example:
        >>> to_center(ops.array([0.0, 2.0, 4.0, 4.0])).numpy().tolist()
        [2.0, 3.0, 4.0, 2.0]
    """
    lower, upper = boxes[..., :2], boxes[..., 2:]
    return ops.concatenate([(lower + upper) / 2, upper - lower], axis=-1)


def to_corners(boxes):
    """Turn centres and sides into corners.

    Args:
        boxes: `(..., 4)`: x and y of the centre, width, height.

    Returns:
        `(..., 4)` xyxy in pixels.

    Example:
        >>> to_corners(ops.array([2.0, 3.0, 4.0, 2.0])).numpy().tolist()
        [0.0, 2.0, 4.0, 4.0]
    """
    center, half = boxes[..., :2], boxes[..., 2:] / 2
    return ops.concatenate([center - half, center + half], axis=-1)
