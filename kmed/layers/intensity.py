"""From raw intensities to a network's and back, as layers that export."""

from __future__ import annotations

import math

import keras
from keras import ops


@keras.saving.register_keras_serializable("kmed")
class Window(keras.layers.Layer):
    """Clip to `center - width / 2` ... `center + width / 2` and scale that to [-1, 1].

    Args:
        center: middle of the window, in the image's units.
        width: width of the window, in the image's units.
    """

    def __init__(self, center: float, width: float, **kwargs):
        """Check the arguments."""
        # float32 under mixed precision too: half precision has no 16 bit pixel values.
        super().__init__(**({"dtype": "float32"} | kwargs))
        if not width > 0:
            raise ValueError(f"the width of a window must be positive; received {width}")
        self.center, self.width = float(center), float(width)

    def call(self, x):
        """Window `x` (B, ..., C)."""
        return ops.clip((x - self.center) * (2.0 / self.width), -1.0, 1.0)

    def compute_output_shape(self, input_shape):
        """The same shape."""
        return input_shape

    def get_config(self):
        """Arguments that rebuild the layer."""
        return super().get_config() | {"center": self.center, "width": self.width}


@keras.saving.register_keras_serializable("kmed")
class Standardize(keras.layers.Layer):
    """Bring each image and channel to mean 0 and deviation 1 over its spatial axes.

    The minimum is subtracted first and the deviation taken in a second pass, one axis after the
    other, so that float32 is enough for millions of 16 bit values and a constant image is 0.

    Args:
        nonzero: count nonzero voxels only, and leave the others 0.
    """

    def __init__(self, nonzero: bool = False, **kwargs):
        """Check the arguments."""
        super().__init__(**({"dtype": "float32"} | kwargs))
        self.nonzero = bool(nonzero)

    def call(self, x):
        """Standardise `x` (B, [D,] H, W, C)."""
        axes = tuple(range(1, len(x.shape) - 1))
        if not self.nonzero:
            x = x - ops.min(x, axis=axes, keepdims=True)
            x = x - over(ops.mean, x, axes)
            variance = over(ops.mean, ops.square(x), axes)
        else:
            inside = ops.not_equal(x, 0.0)
            weight = ops.cast(inside, "float32")
            count = ops.maximum(over(ops.sum, weight, axes), 1.0)
            low = ops.where(inside, x, ops.max(x, axis=axes, keepdims=True))
            x = (x - ops.min(low, axis=axes, keepdims=True)) * weight
            x = (x - over(ops.sum, x, axes) / count) * weight
            variance = over(ops.sum, ops.square(x), axes) / count
        deviation = ops.sqrt(variance)
        return x / ops.where(deviation > 0.0, deviation, ops.ones_like(deviation))

    def compute_output_shape(self, input_shape):
        """The same shape."""
        return input_shape

    def get_config(self):
        """Arguments that rebuild the layer."""
        return super().get_config() | {"nonzero": self.nonzero}


@keras.saving.register_keras_serializable("kmed")
class IntensityInverse(keras.layers.Layer):
    """Bring [-1, 1] back to `low` ... `high`: the inverse of `Window` inside of its range.

    Args:
        low: raw value of -1.
        high: raw value of 1.

    Raises:
        ValueError: if they are not finite numbers, `high` above `low`.

    Example:
        >>> IntensityInverse(0.0, 4000.0)(ops.array([-1.0, 0.5])).numpy().tolist()
        [0.0, 3000.0]
    """

    def __init__(self, low: float, high: float, **kwargs):
        """Check the arguments."""
        # float32 under mixed precision too: half precision has no 16 bit pixel values.
        super().__init__(**({"dtype": "float32"} | kwargs))
        check_range(low, high)
        self.low, self.high = float(low), float(high)

    def call(self, x):
        """Bring `x` back to raw units."""
        return x * ((self.high - self.low) / 2.0) + (self.high + self.low) / 2.0

    def compute_output_shape(self, input_shape):
        """The same shape."""
        return input_shape

    def get_config(self):
        """Arguments that rebuild the layer."""
        return super().get_config() | {"low": self.low, "high": self.high}


def check_range(low: float, high: float) -> None:
    """Refuse a range that is none.

    Args:
        low: its lower end.
        high: its upper end.

    Raises:
        ValueError: if they are not finite numbers, `high` above `low`.
    """
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(
            f"`low` and `high` must be finite, `high` above `low`; received {low} and {high}"
        )


def over(reduce, x, axes):
    """Reduce a tensor over several axes, one at a time, which are kept with length 1.

    A single float32 sum over a whole image would stop growing, in TFLite at the latest, and what
    it loses is made more of by whatever divides by a small deviation.

    Args:
        reduce: such as `keras.ops.mean`.
        x: the tensor.
        axes: rising.

    Returns:
        The reduced tensor.
    """
    for axis in reversed(axes):
        x = reduce(x, axis=axis, keepdims=True)
    return x
