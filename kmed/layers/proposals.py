"""Region proposals: the best anchors of every level, moved by their offsets, without doubles."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from kmed.ops.anchors import anchor_grid
from kmed.ops.box_offsets import decode_offsets
from kmed.ops.boxes import clip
from kmed.ops.rows import take_rows
from kmed.ops.suppression import suppress

LARGEST_LOG_SCALE = math.log(1000 / 16)


@keras.saving.register_keras_serializable("kmed")
class Proposals(keras.layers.Layer):
    """Turn objectness and offsets of all anchors into scored boxes.

    The best `before` anchors of each level; their boxes, cut off at the image; non-maximum
    suppression within each level; the best `after` of all levels together.

    References:
        Ren et al. 2015, "Faster R-CNN", section 3.3 (implementation details).
        torchvision.models.detection.rpn.RegionProposalNetwork: the same steps, order and limits.

    Args:
        image_size: (height, width) at which boxes are cut off, in pixels.
        padded_size: (height, width) of what the network's first convolution sees, in pixels.
        feature_sizes: (height, width) of each level.
        anchor_sizes: square roots of the anchors' areas on each level, in pixels.
        anchor_ratios: height divided by width.
        before: anchors of each level that enter suppression, at most.
        after: boxes of the image that leave it, at most.
        iou_threshold: a box that overlaps a better one by more is left out.
        smallest: side below which a box is left out, in pixels.

    Raises:
        ValueError: if an argument is outside of what is said above.
    """

    def __init__(
        self,
        image_size: Sequence[int],
        padded_size: Sequence[int],
        feature_sizes: Sequence[Sequence[int]],
        anchor_sizes: Sequence[Sequence[float]],
        anchor_ratios: Sequence[float] = (0.5, 1.0, 2.0),
        before: int = 1000,
        after: int = 1000,
        iou_threshold: float = 0.7,
        smallest: float = 1e-3,
        **kwargs,
    ):
        """Make the anchors."""
        super().__init__(**kwargs)
        if before < 1 or after < 1:
            raise ValueError(
                f"`before` and `after` must be at least 1; received {before} and {after}"
            )
        self.image_size, self.padded_size = tuple(image_size), tuple(padded_size)
        self.feature_sizes = tuple(tuple(size) for size in feature_sizes)
        self.anchor_sizes = tuple(tuple(sizes) for sizes in anchor_sizes)
        self.anchor_ratios = tuple(anchor_ratios)
        self.before, self.after = int(before), int(after)
        self.iou_threshold, self.smallest = float(iou_threshold), float(smallest)
        self.anchors = anchor_grid(
            self.padded_size, self.feature_sizes, self.anchor_sizes, self.anchor_ratios
        )
        self.supports_jit = False  # NonMaxSuppressionV5 has no XLA kernel

    @property
    def count(self) -> int:
        """Number of boxes of the output, at most `after`."""
        return min(self.after, sum(min(self.before, len(level)) for level in self.anchors))

    def call(self, objectness, offsets):
        """Give "boxes" `(B, count, 4)`, zeros beyond "count" `(B,)` int32, from `(B, A[, 4])`."""
        objectness, offsets = ops.stop_gradient(objectness), ops.stop_gradient(offsets)
        boxes, scores, groups, start = [], [], [], 0
        for group, anchors in enumerate(self.anchors):
            stop = start + len(anchors)
            score, offset = objectness[:, start:stop], offsets[:, start:stop]
            if len(anchors) > self.before:
                score, best = ops.top_k(score, self.before)  # (B, before)
                offset, anchors = take_rows(offset, best), ops.take(anchors, best, axis=0)
            boxes.append(
                decode_offsets(
                    offset, anchors, (1.0, 1.0, 1.0, 1.0), largest_log_scale=LARGEST_LOG_SCALE
                )
            )
            scores.append(ops.sigmoid(score))
            groups.append(np.full(score.shape[1], group, "int32"))
            start = stop
        boxes = clip(ops.concatenate(boxes, axis=1), *self.image_size)  # (B, N, 4)
        sides = boxes[..., 2:] - boxes[..., :2]
        large = ops.min(sides, axis=-1) >= self.smallest
        scores = ops.where(large, ops.concatenate(scores, axis=1), -1.0)
        indices, count, _ = suppress(
            boxes,
            scores,
            self.count,
            iou_threshold=self.iou_threshold,
            groups=np.concatenate(groups)[None],
        )
        real = ops.arange(self.count) < count[:, None]
        boxes = ops.where(real[..., None], take_rows(boxes, indices), 0.0)
        return {"boxes": boxes, "count": count}

    def compute_output_spec(self, objectness, offsets):
        """Shapes of the two outputs."""
        batch = objectness.shape[0]
        return {
            "boxes": keras.KerasTensor((batch, self.count, 4), "float32"),
            "count": keras.KerasTensor((batch,), "int32"),
        }

    def get_config(self):
        """Arguments that rebuild the layer."""
        names = (
            "image_size padded_size feature_sizes anchor_sizes anchor_ratios before after "
            "iou_threshold smallest"
        ).split()
        return super().get_config() | {name: getattr(self, name) for name in names}
