"""Average pooling to a fixed size, for dense layers behind an image of any size."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("kmed")
class AdaptiveAveragePooling(keras.layers.Layer):
    """Average over as many windows along each axis as the output has pixels.

    Window `i` of `m` along an axis of `n` pixels goes from `floor(i n / m)` to
    `ceil((i + 1) n / m)`, as in Torch's `AdaptiveAvgPool2d` and `AdaptiveAvgPool3d`. Unlike Keras'
    own layers it takes sizes that are known at run time only, and volumes go through TFLite's
    built-in operators.

    Args:
        size: output size of each spatial axis, in pixels.

    Example:
        >>> x = keras.ops.reshape(keras.ops.arange(5.0), (1, 1, 5, 1))
        >>> AdaptiveAveragePooling((1, 2))(x)[0, 0, :, 0].numpy().tolist()
        [1.0, 3.0]
    """

    def __init__(self, size: Sequence[int], **kwargs):
        """Check the argument."""
        super().__init__(**kwargs)
        self.size = tuple(int(n) for n in size)
        if len(self.size) not in (2, 3) or min(self.size) < 1:
            raise ValueError(f"`size` must be two or three positive numbers; received {size}")

    def call(self, x):
        """Pool `x` (B, [D,] H, W, C) to (B, *size, C)."""
        if len(x.shape) - 2 != len(self.size) or 0 in x.shape[1:]:
            raise ValueError(
                f"`size` {self.size} is for images of {len(self.size)} spatial axes of at least "
                f"one pixel; received a tensor of shape {tuple(x.shape)}: was the image too small?"
            )
        for axis, target in enumerate(self.size, start=1):
            if x.shape[axis] != target:
                x = _average(x, axis, target)
        return x

    def compute_output_shape(self, input_shape):
        """Shape (B, *size, C)."""
        return (input_shape[0], *self.size, input_shape[-1])

    def get_config(self):
        """Arguments that rebuild the layer."""
        return super().get_config() | {"size": self.size}


def _average(x, axis, target):
    # One matrix product along the axis: few pixels remain where dense layers follow.
    shape = ops.shape(x)
    length, after = shape[axis], 1
    for size in shape[axis + 1 :]:
        after = after * size
    if x.shape[axis] is None:
        pixels = ops.arange(length, dtype="int32")
        weights = _inside(pixels, length, ops.arange(target, dtype="int32")[:, None], target)
        weights = ops.cast(weights, "float32")
        weights = weights / ops.sum(weights, axis=1, keepdims=True)
    else:
        weights = _inside(np.arange(length), length, np.arange(target)[:, None], target)
        weights = weights / weights.sum(axis=1, keepdims=True)
    weights = ops.cast(weights, x.dtype)
    y = ops.matmul(weights, ops.reshape(x, (-1, length, after)))
    return ops.reshape(y, (*shape[:axis], target, *shape[axis + 1 :]))


def _inside(pixels, length, windows, target):
    # (target, length): whether the window holds the pixel; -(-a // b) is the ceiling of a / b.
    first, end = windows * length // target, -(-(windows + 1) * length // target)
    return (first <= pixels) & (pixels < end)
