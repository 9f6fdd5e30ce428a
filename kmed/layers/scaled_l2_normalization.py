"""Normalisation of each pixel's channels to a learnt length."""

from __future__ import annotations

import keras
from keras import ops


@keras.saving.register_keras_serializable("kmed")
class ScaledL2Normalization(keras.layers.Layer):
    """Bring each pixel's channels to length 1, then multiply each channel by a learnt scale.

    Levels of a network that differ in the size of their features can then share detection heads of
    one learning rate.

    Reference: Liu, Rabinovich and Berg 2015, "ParseNet", section 3.3; Liu et al. 2016, section 3.1
    (scale 20, on conv4_3).

    Args:
        scale: value of all scales before training, above 0.

    Example:
        >>> y = ScaledL2Normalization(scale=10.0)(ops.array([[[[3.0, 4.0]]]]))
        >>> [round(float(value), 4) for value in y[0, 0, 0]]
        [6.0, 8.0]
    """

    def __init__(self, scale: float = 20.0, **kwargs):
        """Check the argument."""
        super().__init__(**kwargs)
        if scale <= 0:
            raise ValueError(f"`scale` must be above 0; received {scale}")
        self.initial_scale = scale

    def build(self, input_shape):
        """Make one scale for each channel."""
        self.scale = self.add_weight(
            name="scale",
            shape=(input_shape[-1],),
            initializer=keras.initializers.Constant(self.initial_scale),
        )

    def call(self, x):
        """Normalise `x` (B, ..., C) along its last axis."""
        # Squares of half-precision features overflow at 256.
        wide = ops.cast(x, "float32")
        squares = ops.sum(ops.square(wide), axis=-1, keepdims=True)
        # A pixel of zeros stays so, and its gradient is finite: 1e-24 is torch's length of 1e-12.
        unit = wide * ops.rsqrt(ops.maximum(squares, 1e-24))
        return ops.cast(unit * ops.cast(self.scale, "float32"), x.dtype)

    def compute_output_shape(self, input_shape):
        """The input's shape."""
        return input_shape

    def get_config(self):
        """Arguments that rebuild the layer."""
        return super().get_config() | {"scale": self.initial_scale}
