"""Boxes as offsets from anchors, both ways."""

from __future__ import annotations

from collections.abc import Sequence

from keras import ops

from kmed.ops.boxes import to_center, to_corners


def encode_offsets(boxes, anchors, variances: Sequence[float] = (0.1, 0.1, 0.2, 0.2)):
    """Give boxes as offsets from anchors: shift by the anchor's side, logarithm of the scale.

    Reference: Girshick et al. 2014, appendix C; Liu et al. 2016, equation 2. The variances divide
    the offsets, as in both authors' code: (0.1, 0.1, 0.2, 0.2), in Faster R-CNN's head also
    written as weights (10, 10, 5, 5), and 1 in its proposals.

    Args:
        boxes: `(..., 4)` xyxy in pixels, with sides above 0.
        anchors: `(..., 4)` xyxy in pixels, broadcast against the boxes.
        variances: of x, y, width and height.

    Returns:
        `(..., 4)`.

    Example:
        >>> box, anchor = ops.array([2.0, 0.0, 6.0, 4.0]), ops.array([0.0, 0.0, 4.0, 4.0])
        >>> encode_offsets(box, anchor, (1, 1, 1, 1)).numpy().tolist()
        [0.5, 0.0, 0.0, 0.0]
    """
    boxes, anchors = to_center(boxes), to_center(anchors)
    shift = (boxes[..., :2] - anchors[..., :2]) / anchors[..., 2:]
    scale = ops.log(boxes[..., 2:] / anchors[..., 2:])
    return ops.concatenate([shift, scale], axis=-1) / ops.array(variances, dtype=shift.dtype)


def decode_offsets(
    offsets,
    anchors,
    variances: Sequence[float] = (0.1, 0.1, 0.2, 0.2),
    largest_log_scale: float | None = None,
):
    """Give the boxes that `encode_offsets` made offsets of.

    Args:
        offsets: `(..., 4)`.
        anchors: `(..., 4)` xyxy in pixels, broadcast against the offsets.
        variances: of x, y, width and height.
        largest_log_scale: logarithm of a side's largest growth, so that a wild network gives no
            infinite box; torchvision takes log(1000 / 16).

    Returns:
        `(..., 4)` xyxy in pixels.
    """
    anchors = to_center(anchors)
    offsets = offsets * ops.array(variances, dtype=offsets.dtype)
    log_scale = offsets[..., 2:]
    if largest_log_scale is not None:
        log_scale = ops.minimum(log_scale, largest_log_scale)
    center = anchors[..., :2] + offsets[..., :2] * anchors[..., 2:]
    return to_corners(ops.concatenate([center, anchors[..., 2:] * ops.exp(log_scale)], axis=-1))
