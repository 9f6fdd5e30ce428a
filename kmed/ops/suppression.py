"""Non-maximum suppression: from many scored boxes to detections.

The one place among the tensor functions that calls TensorFlow: Keras has no such operation, and
`NonMaxSuppressionV5` is what both SavedModel and TFLite (NON_MAX_SUPPRESSION_V5) compute natively.
"""

from __future__ import annotations

import tensorflow as tf
from keras import ops

from kmed.ops.boxes import area

_APART = 1.0  # pixels between the groups


def suppress(
    boxes,
    scores,
    max_boxes: int,
    *,
    iou_threshold: float,
    score_threshold: float = 0.0,
    soft_sigma: float = 0.0,
    groups=None,
):
    """Keep the best of overlapping boxes, greedily by score; none without area.

    Reference: Bodla et al. 2017, "Soft-NMS", for `soft_sigma`.

    Args:
        boxes: `(B, N, 4)` xyxy in pixels.
        scores: `(B, N)`.
        max_boxes: how many to keep at most.
        iou_threshold: a box that overlaps a kept one by more is left out.
        score_threshold: boxes need more than this score.
        soft_sigma: above 0, an overlapping box is not left out: its score is multiplied by
            `exp(-iou**2 / soft_sigma)` for each kept box. Boxes that overlap by more than
            `iou_threshold` are left out still; 1 keeps them all.
        groups: `(B, N)` integers; boxes of different groups do not suppress each other.

    Returns:
        Indices `(B, max_boxes)` int32 in falling order of score (0 where there are no more), their
        number `(B,)` int32, and their scores `(B, max_boxes)` (changed by `soft_sigma`; 0 where
        there are no more).

    Example:
        >>> boxes = ops.array([[[0.0, 0, 4, 4], [0, 0, 4, 5], [8, 8, 9, 9]]])
        >>> kept, count, _ = suppress(boxes, ops.array([[0.7, 0.9, 0.8]]), 3, iou_threshold=0.5)
        >>> kept.numpy().tolist(), count.numpy().tolist()
        ([[1, 2, 0]], [2])
    """
    if groups is not None:
        # Shifted so that no two groups meet: one run of the kernel instead of one for each group.
        lowest = ops.min(boxes, axis=(1, 2), keepdims=True)
        span = ops.max(boxes, axis=(1, 2), keepdims=True) - lowest + _APART
        boxes = boxes - lowest + ops.cast(groups, boxes.dtype)[..., None] * span
    # TFLite's kernel finds a box without area again and again: it does not even overlap itself.
    scores = ops.where(area(boxes) > 0, scores, -1.0)

    def one_image(arguments):
        indices, kept_scores, count = tf.raw_ops.NonMaxSuppressionV5(
            boxes=arguments[0],
            scores=arguments[1],
            max_output_size=max_boxes,
            iou_threshold=float(iou_threshold),
            score_threshold=float(score_threshold),
            soft_nms_sigma=float(soft_sigma) / 2,  # the kernel's is exp(-iou**2 / (2 sigma))
            pad_to_max_output_size=True,
        )
        return indices, kept_scores, count

    if boxes.shape[0] == 1:  # a TFLite file: no loop
        indices, kept_scores, count = (x[None] for x in one_image((boxes[0], scores[0])))
    else:
        types = (tf.int32, tf.float32, tf.int32)
        indices, kept_scores, count = tf.map_fn(
            one_image, (boxes, scores), fn_output_signature=types
        )
    indices = tf.ensure_shape(indices, (None, max_boxes))
    kept_scores = tf.ensure_shape(kept_scores, (None, max_boxes))
    real = ops.arange(max_boxes) < count[:, None]
    zero = ops.zeros_like(kept_scores)
    return ops.where(real, indices, 0), count, ops.where(real, kept_scores, zero)


def select_detections(
    boxes,
    scores,
    *,
    score_threshold: float,
    iou_threshold: float,
    candidates: int = 400,
    max_detections: int = 200,
    soft_sigma: float = 0.0,
    class_agnostic: bool = False,
) -> dict:
    """Turn the scored boxes of a detector into its detections.

    The best `candidates` of each class, non-maximum suppression within each class, the best
    `max_detections` of all.

    Reference: Liu et al. 2016, section 2.2 (inference).

    Args:
        boxes: `(B, N, 4)` xyxy in pixels, or `(B, N, K, 4)` with a box for each class.
        scores: `(B, N, K)` of each class, background not among them.
        score_threshold: boxes need more than this score.
        iou_threshold: of overlap, see `suppress`.
        candidates: boxes of each class that enter suppression, at most.
        max_detections: M.
        soft_sigma: see `suppress`.
        class_agnostic: whether boxes of one class suppress those of others.

    Returns:
        "boxes" `(B, M, 4)` float32, "scores" `(B, M)` float32 falling, "labels" `(B, M)` int32
        indices of classes, and "count" `(B,)` int32; beyond the count boxes and scores are 0 and
        labels -1.

    Example:
        >>> boxes = ops.array([[[0.0, 0, 4, 4], [0, 0, 4, 5]]])
        >>> scores = ops.array([[[0.9, 0.0], [0.8, 0.6]]])
        >>> found = select_detections(boxes, scores, score_threshold=0.1, iou_threshold=0.5)
        >>> found["labels"].numpy()[0, :3].tolist()
        [0, 1, -1]
    """
    count, classes = scores.shape[1], scores.shape[2]
    per_class = ops.transpose(scores, (0, 2, 1))  # (B, K, N)
    kept = candidates if count is None else min(candidates, count)
    best_scores, best = ops.top_k(per_class, kept)  # (B, K, C)
    class_index = ops.broadcast_to(ops.arange(classes)[None, :, None], ops.shape(best))
    flat = (-1, classes * kept)
    if len(boxes.shape) == 4:
        best = best * classes + class_index
        boxes = ops.reshape(boxes, (-1, count * classes, 4))
    best_boxes = _take(boxes, ops.reshape(best, flat))  # (B, K C, 4)
    best_scores = ops.reshape(best_scores, flat)
    labels = ops.reshape(class_index, flat)
    # No candidate below the threshold spreads the classes: their boxes may be wild.
    best_boxes = ops.where((best_scores > score_threshold)[..., None], best_boxes, 0.0)
    indices, number, best_scores = suppress(
        best_boxes,
        best_scores,
        max_detections,
        iou_threshold=iou_threshold,
        score_threshold=score_threshold,
        soft_sigma=soft_sigma,
        groups=None if class_agnostic else labels,
    )
    real = ops.arange(max_detections) < number[:, None]
    return {
        "boxes": ops.where(real[..., None], _take(best_boxes, indices), 0.0),
        "scores": best_scores,
        "labels": ops.where(real, _take(labels, indices), -1),
        "count": number,
    }


def _take(values, indices):
    # (B, N, ...) and (B, M) to (B, M, ...).
    return tf.gather(values, indices, batch_dims=1)
