"""Instance normalisation without parameters."""

from __future__ import annotations

import keras
from keras import ops

from kmed.layers.intensity import over


@keras.saving.register_keras_serializable("kmed")
class InstanceNormalization(keras.layers.Layer):
    """Bring every channel of every image to mean 0 and variance 1, without scale and shift.

    Statistics are computed in float32 under mixed precision too. `GroupNormalization(groups=-1)`
    is the same with scale and shift, but reshapes the image for it.

    Reference: Ulyanov, Vedaldi and Lempitsky 2016, "Instance Normalization"; torch's
    `InstanceNorm2d` with its defaults, as CycleGAN has it.

    Args:
        epsilon: added to the variance.

    Example:
        >>> x = ops.reshape(ops.convert_to_tensor([1.0, 3.0, 5.0, 7.0]), (1, 2, 2, 1))
        >>> [round(float(v), 2) for v in ops.reshape(InstanceNormalization()(x), (-1,))]
        [-1.34, -0.45, 0.45, 1.34]
    """

    def __init__(self, epsilon: float = 1e-5, **kwargs):
        """Check the argument."""
        super().__init__(**kwargs)
        if not epsilon > 0:
            raise ValueError(f"`epsilon` must be above 0; received {epsilon}")
        self.epsilon = float(epsilon)

    def call(self, x):
        """Normalise `x` (B, [D,] H, W, C)."""
        # Squares of half-precision features overflow at 256.
        x = ops.cast(x, "float32")
        axes = list(range(1, len(x.shape) - 1))
        # A constant channel, as of a slice of air, becomes exactly 0: what rounding leaves of its
        # mean would be divided by the root of `epsilon`, layer after layer, into a pattern.
        x = x - ops.stop_gradient(ops.min(x, axis=axes, keepdims=True))
        x = x - over(ops.mean, x, axes)
        variance = over(ops.mean, ops.square(x), axes)
        return ops.cast(x * ops.rsqrt(variance + self.epsilon), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        """The input's shape."""
        return input_shape

    def get_config(self):
        """Arguments that rebuild the layer."""
        return super().get_config() | {"epsilon": self.epsilon}
