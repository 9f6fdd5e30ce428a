"""Where an image of any size lies in the frame that a network sees, and boxes between the two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from keras import ops


class Placement(NamedTuple):
    """Where an image lies in a frame: `frame = image * scale + start` along each axis.

    Attributes:
        height: of the resized image, in pixels of the frame.
        width: of the resized image.
        top: row of the frame at which it begins.
        left: column of the frame at which it begins.
        scale_y: pixels of the frame for one of the image, downwards.
        scale_x: the same, sideways.
    """

    height: object
    width: object
    top: object
    left: object
    scale_y: object
    scale_x: object


def placement(height, width, size: Sequence[int], *, letterbox: bool) -> Placement:
    """Place an image in a frame.

    Reference: Redmon and Farhadi 2018 (the authors' `letterbox_image`).

    Args:
        height: of the image in pixels; a number or a scalar int32 tensor.
        width: of the image, likewise.
        size: height and width of the frame, in pixels.
        letterbox: whether the image keeps its aspect ratio and is centred; otherwise it is
            stretched over the whole frame.

    Returns:
        Where it lies, whole pixels; scales are float32.

    Example:
        >>> wide = placement(240, 320, (416, 416), letterbox=True)
        >>> int(wide.height), int(wide.width), int(wide.top), int(wide.left)
        (312, 416, 52, 0)
    """
    height, width = ops.cast(height, "int32"), ops.cast(width, "int32")
    rows, columns = size
    new_height, new_width = ops.ones_like(height) * rows, ops.ones_like(width) * columns
    if letterbox:
        # Whole numbers: float32 would round sizes differently in each exported format.
        wide = width * rows >= height * columns
        new_height = ops.where(wide, (2 * height * columns + width) // (2 * width), new_height)
        new_width = ops.where(wide, new_width, (2 * width * rows + height) // (2 * height))
        new_height, new_width = ops.maximum(new_height, 1), ops.maximum(new_width, 1)
    return Placement(
        height=new_height,
        width=new_width,
        top=(rows - new_height) // 2,
        left=(columns - new_width) // 2,
        scale_y=ops.cast(new_height, "float32") / ops.cast(height, "float32"),
        scale_x=ops.cast(new_width, "float32") / ops.cast(width, "float32"),
    )


def boxes_to_frame(boxes, place: Placement):
    """Move boxes from the image into the frame.

    Args:
        boxes: `(..., 4)` xyxy in pixels of the image.
        place: where the image lies.

    Returns:
        `(..., 4)` xyxy in pixels of the frame.
    """
    scale, start = _scale_and_start(place)
    return boxes * scale + start


def boxes_from_frame(boxes, place: Placement):
    """Move boxes from the frame into the image.

    Args:
        boxes: `(..., 4)` xyxy in pixels of the frame.
        place: where the image lies.

    Returns:
        `(..., 4)` xyxy in pixels of the image; boxes in the frame's margin lie outside of it.

    Example:
        >>> place = placement(240, 320, (416, 416), letterbox=True)
        >>> box = boxes_from_frame(ops.array([0.0, 52.0, 416.0, 364.0]), place)
        >>> box.numpy().round(3).tolist()
        [0.0, 0.0, 320.0, 240.0]
    """
    scale, start = _scale_and_start(place)
    return (boxes - start) / scale


def _scale_and_start(place):
    left, top = ops.cast(place.left, "float32"), ops.cast(place.top, "float32")
    scale = ops.stack([place.scale_x, place.scale_y, place.scale_x, place.scale_y])
    return scale, ops.stack([left, top, left, top])
