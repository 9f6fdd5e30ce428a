"""Vectors of length 1, whatever comes in."""

from __future__ import annotations

import keras
from keras import ops

_SMALLEST = 1e-24  # square of torch's smallest length, 1e-12; what is shorter has no direction


@keras.saving.register_keras_serializable("kmed")
class UnitLength(keras.layers.Layer):
    """Bring each vector to length 1.

    A vector of zeros has no direction. It becomes the one whose components are all equal, so that
    every output has length 1 and an index of inner products takes it; its gradient is 0.

    Computed in float32, and given back in the layer's own type, which is float32 under mixed
    precision too unless `dtype` says otherwise.

    Reference: Schroff, Kalenichenko and Philbin 2015, "FaceNet", section 3.

    Example:
        >>> y = UnitLength()(ops.array([[3.0, 4.0], [0.0, 0.0]]))
        >>> [[round(float(value), 4) for value in row] for row in y]
        [[0.6, 0.8], [0.7071, 0.7071]]
    """

    def __init__(self, **kwargs):
        """Answer in float32 under mixed precision too."""
        super().__init__(**({"dtype": "float32"} | kwargs))

    def call(self, x):
        """Normalise `x` (B, ..., D) along its last axis."""
        # Squares of half-precision features overflow at 256.
        x = ops.cast(x, "float32")
        squares = ops.sum(ops.square(x), axis=-1, keepdims=True)
        # Selected before the root, so that no gradient is multiplied by an infinite one.
        found = squares > _SMALLEST
        x = ops.where(found, x, ops.ones_like(x))
        squares = ops.where(found, squares, float(x.shape[-1]) * ops.ones_like(squares))
        return ops.cast(x * ops.rsqrt(squares), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        """The input's shape."""
        return input_shape
