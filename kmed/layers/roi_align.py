"""RoIAlign: features of boxes, sampled bilinearly from the level of a pyramid that fits each."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
from keras import ops


@keras.saving.register_keras_serializable("kmed")
class RoIAlign(keras.layers.Layer):
    """Pool each box to a grid of fixed size, each bin the mean of bilinear samples.

    Made of one gather for each sample and corner on the flattened levels, summed up as they come:
    TFLite's built-in operators have all of it, and no tensor has the samples as an axis.

    References:
        He, Gkioxari, Dollar and Girshick 2017, "Mask R-CNN", section 3 (RoIAlign).
        Lin et al. 2017, "Feature Pyramid Networks", equation 1 (which level).
        torchvision.ops.MultiScaleRoIAlign with `aligned=False`, as its Faster R-CNN: a box keeps
        its coordinates when it is scaled (no shift by half a pixel), and is at least one pixel of
        its level large.

    Args:
        strides: of the levels in pixels, rising.
        size: bins along each axis.
        samples: along each axis of a bin.
        canonical_size: side of the square box that belongs to the level of stride 16, in pixels.
    """

    def __init__(
        self,
        strides: Sequence[int],
        size: int = 7,
        samples: int = 2,
        canonical_size: float = 224.0,
        **kwargs,
    ):
        """Check the arguments."""
        # Half-precision features must not take the boxes' precision along.
        super().__init__(**kwargs | {"autocast": False})
        if not len(strides) or list(strides) != sorted(set(strides)) or min(strides) < 1:
            raise ValueError(f"`strides` must be rising positive numbers; received {strides}")
        if size < 1 or samples < 1 or canonical_size <= 0:
            raise ValueError(
                "`size`, `samples` and `canonical_size` must be positive; received "
                f"{size}, {samples} and {canonical_size}"
            )
        self.strides = tuple(int(stride) for stride in strides)
        self.size, self.samples, self.canonical_size = int(size), int(samples), canonical_size

    def call(self, inputs):
        """Pool `inputs`, the levels (B, H, W, C) and then the boxes (B, R, 4) xyxy in pixels.

        Returns `(B, R, size, size, C)`.
        """
        *features, boxes = inputs
        if len(features) != len(self.strides):
            raise ValueError(f"{len(self.strides)} levels are due; received {len(features)}")
        boxes = ops.stop_gradient(ops.cast(boxes, "float32"))
        channels = features[0].shape[-1]
        flat = [ops.reshape(x, (-1, x.shape[1] * x.shape[2], channels)) for x in features]
        table = ops.concatenate(flat, axis=1)  # (B, S, C)
        rows = table.shape[1]
        table = ops.reshape(table, (-1, channels))
        reached = self._reached(boxes)
        heights, widths = ([x.shape[axis] for x in features] for axis in (1, 2))
        starts = [sum(x.shape[1] for x in flat[:i]) for i in range(len(flat))]
        columns = (heights, widths, starts, self.strides)
        height, width, start, stride = (_of_level(n, reached) for n in columns)  # (B, R)
        start = start + ops.arange(ops.shape(boxes)[0], dtype="int32")[:, None] * rows
        boxes = boxes / ops.cast(stride, "float32")[..., None]
        result = 0.0
        for i in range(self.samples):
            top, bottom = self._axis(boxes[..., 1], boxes[..., 3], height, i)
            for j in range(self.samples):
                left, right = self._axis(boxes[..., 0], boxes[..., 2], width, j)
                for y, y_share in (top, bottom):
                    line = start[..., None] + y * width[..., None]  # (B, R, size)
                    for x, x_share in (left, right):
                        index = line[..., :, None] + x[..., None, :]  # (B, R, size, size)
                        share = y_share[..., :, None] * x_share[..., None, :]
                        share = ops.cast(share / self.samples**2, table.dtype)
                        result = result + ops.take(table, index, axis=0) * share[..., None]
        return result

    def _reached(self, boxes):
        """Give for each level whether boxes are large enough for it: `(B, R)` of 0 and 1."""
        # (B, R)
        side = ops.sqrt((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1]))
        reached = [ops.ones_like(side, dtype="int32")]
        for stride in self.strides[1:]:
            # floor(4 + log2(side / canonical) + 1e-6) reaches log2(stride)
            least = self.canonical_size * 2.0 ** (math.log2(stride) - 4 - 1e-6)
            reached.append(ops.cast(side >= least, "int32"))
        return reached

    def _axis(self, lower, upper, length, sample):
        """Give the two pixels next to each bin's sample, and each one's share: `(B, R, size)`."""
        step = ops.maximum(upper - lower, 1.0) / self.size  # (B, R)
        place = ops.arange(self.size, dtype="float32") + (sample + 0.5) / self.samples
        at = lower[..., None] + place * step[..., None]  # (B, R, size)
        last = length[..., None] - 1
        # A sample more than a pixel outside counts as zero; nearer ones take the border's pixel.
        edge = ops.cast(last, "float32")
        inside = ops.cast((at >= -1.0) & (at <= edge + 1.0), "float32")
        at = ops.minimum(ops.maximum(at, 0.0), edge)
        first = ops.cast(at, "int32")
        share = at - ops.cast(first, "float32")
        second = ops.minimum(first + 1, last)
        return (first, inside * (1.0 - share)), (second, inside * share)

    def compute_output_shape(self, input_shape):
        """Shape (B, R, size, size, C)."""
        *features, boxes = input_shape
        return (*boxes[:2], self.size, self.size, features[0][-1])

    def get_config(self):
        """Arguments that rebuild the layer."""
        return super().get_config() | {
            "strides": self.strides,
            "size": self.size,
            "samples": self.samples,
            "canonical_size": self.canonical_size,
        }


def _of_level(values, reached):
    """Look a number up for each box's level, as a sum of the steps from level to level."""
    steps = [new - old for new, old in zip(values, (0, *values), strict=False)]
    return sum(step * flag for step, flag in zip(steps, reached, strict=True))
