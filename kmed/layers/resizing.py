"""Layers that resize images and volumes, at sizes known before or only at run time.

Made of matrix products and gathers, which SavedModel, TFLite's built-in operators and ONNX all
have; one implementation serves `(B, H, W, C)` and `(B, D, H, W, C)`.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import ops


@keras.saving.register_keras_serializable("kmed")
class ResizeTo(keras.layers.Layer):
    """Resize every image to one fixed size, half-pixel centres, without aliasing.

    Reference: the triangle filter, widened by the scale where the image shrinks, as in Pillow's
    `BILINEAR` and `tf.image.resize(antialias=True)` (whose operator TFLite lacks).

    Args:
        size: target size of each spatial axis, in pixels.
        interpolation: "bilinear", or "nearest" (for label images).
        antialias: average over the pixels that one target pixel covers; bilinear only.

    Example:
        >>> tuple(ResizeTo((4, 6))(ops.ones((1, 9, 5, 2))).shape)
        (1, 4, 6, 2)
    """

    def __init__(
        self,
        size: Sequence[int],
        interpolation: str = "bilinear",
        antialias: bool = True,
        **kwargs,
    ):
        """Check the arguments."""
        super().__init__(**kwargs)
        if interpolation not in ("bilinear", "nearest"):
            raise ValueError(
                f'`interpolation` must be "bilinear" or "nearest"; received {interpolation!r}'
            )
        self.size = tuple(int(n) for n in size)
        if len(self.size) not in (2, 3) or min(self.size) < 1:
            raise ValueError(f"`size` must be two or three positive numbers; received {size}")
        self.interpolation = interpolation
        self.antialias = bool(antialias)

    def call(self, x):
        """Resize `x` (B, [D,] H, W, C) to (B, *size, C)."""
        if len(x.shape) - 2 != len(self.size):
            raise ValueError(
                f"`size` {self.size} is for images of {len(self.size)} spatial axes; "
                f"received a tensor of shape {tuple(x.shape)}"
            )
        # The axis that shrinks most goes first, so that the later products are small.
        axes = range(1, len(self.size) + 1)
        for axis in sorted(axes, key=lambda a: self.size[a - 1] / (x.shape[a] or float("inf"))):
            target = self.size[axis - 1]
            if x.shape[axis] == target:
                continue
            length = ops.shape(x)[axis]
            if self.interpolation == "nearest":
                x = ops.take(x, _nearest(length, target), axis=axis)
            else:
                x = along(x, triangle_weights(length, target, self.antialias, x.dtype), axis)
        return x

    def compute_output_shape(self, input_shape):
        """Shape (B, *size, C)."""
        return (input_shape[0], *self.size, input_shape[-1])

    def get_config(self):
        """Arguments that rebuild the layer."""
        return super().get_config() | {
            "size": self.size,
            "interpolation": self.interpolation,
            "antialias": self.antialias,
        }


@keras.saving.register_keras_serializable("kmed")
class ResizeLike(keras.layers.Layer):
    """Resize a tensor to the spatial size of a reference, bilinearly with half-pixel centres.

    Called on `[x, reference]`. It does not average where it shrinks: it is meant for logits and
    probabilities, which are smooth, and mostly grow back to a larger raw image.
    """

    def call(self, inputs):
        """Resize `inputs[0]` (B, [D,] H, W, C) to the spatial size of `inputs[1]`."""
        x, reference = inputs
        if tuple(x.shape[1:-1]) == tuple(reference.shape[1:-1]) and None not in x.shape[1:-1]:
            return x
        # The inner axes first: there are the fewest rows to gather small pieces from.
        for axis in reversed(range(1, len(x.shape) - 1)):
            x = _linear(x, axis, ops.shape(reference)[axis])
        return x

    def compute_output_shape(self, input_shape):
        """Spatial size of the reference, channels of the tensor."""
        x, reference = input_shape
        return (x[0], *reference[1:-1], x[-1])


def _centres(length, target):
    # Where the centre of each target pixel lies, counted in source pixels and multiplied by
    # `2 * target`: (2 i + 1) length - target. Whole numbers, since float32 would be off by 1e-4 of
    # a pixel at the far end of a radiograph, and differently in each exported format.
    return (2 * ops.arange(target, dtype="int32") + 1) * length - target


def _nearest(length, target):
    return ops.clip((_centres(length, target) + target) // (2 * target), 0, length - 1)


def _linear(x, axis, target):
    # Interpolate one axis between the two nearest pixels by two gathers.
    length = ops.shape(x)[axis]
    centres = ops.clip(_centres(length, target), 0, 2 * target * (length - 1))
    lower = centres // (2 * target)
    fraction = ops.cast(centres - lower * 2 * target, "float32") / ops.cast(2 * target, "float32")
    shape = [1] * len(x.shape)
    shape[axis] = -1
    fraction = ops.cast(ops.reshape(fraction, shape), x.dtype)
    first = ops.take(x, lower, axis=axis)
    second = ops.take(x, ops.minimum(lower + 1, length - 1), axis=axis)
    return first + (second - first) * fraction


def triangle_weights(length, target, antialias: bool, dtype):
    """Weights of a resize along one axis.

    Args:
        length: pixels of the source; a number or a scalar int32 tensor.
        target: pixels of the result, likewise.
        antialias: whether a target pixel averages over all source pixels that it covers.
        dtype: of the result.

    Returns:
        `(target, length)`: how much each source pixel gives to each target pixel.
    """
    centres = _centres(length, target)
    if not antialias:
        # Beyond the outermost pixel centres the border repeats.
        centres = ops.clip(centres, 0, 2 * target * (length - 1))
    pixels = 2 * target * ops.arange(length, dtype="int32")
    distance = ops.cast(ops.abs(pixels[None, :] - centres[:, None]), "float32")
    width = ops.cast(2 * (ops.maximum(length, target) if antialias else target), "float32")
    weights = ops.maximum(1.0 - distance / width, 0.0)
    return ops.cast(weights / ops.sum(weights, axis=1, keepdims=True), dtype)


def along(x, weights, axis: int):
    """Contract one axis of a tensor with the second axis of a matrix.

    Args:
        x: `(B, ..., C)`.
        weights: `(target, length)`, as long as the axis.
        axis: which.

    Returns:
        `x` with `target` in place of the axis' length.
    """
    shape = list(ops.shape(x))
    before, after = _product(shape[:axis]), _product(shape[axis + 1 :])
    if axis == len(shape) - 2 and shape[-1] == 1:
        # One matrix product instead of one for each image row.
        y = ops.matmul(ops.reshape(x, (before, shape[axis])), ops.transpose(weights))
        return ops.reshape(y, (*shape[:axis], weights.shape[0], 1))
    y = ops.matmul(weights, ops.reshape(x, (before, shape[axis], after)))
    return ops.reshape(y, (*shape[:axis], weights.shape[0], *shape[axis + 1 :]))


def _product(sizes):
    total = 1
    for size in sizes:
        total = total * size
    return total
