"""Local response normalisation, of the networks before batch normalisation."""

from __future__ import annotations

import keras
from keras import ops


@keras.saving.register_keras_serializable("kmed")
class LocalResponseNormalization(keras.layers.Layer):
    """Divide each channel by the activity of its neighbouring channels at the same pixel.

    `y_i = x_i / (k + alpha * sum_j x_j**2) ** beta`, over the channels `j` from `i - size // 2` to
    `i + size // 2` that exist. Caffe and Torch call `alpha` what is `alpha * size` here.

    Reference: Krizhevsky, Sutskever and Hinton 2012, section 3.3, whose constants are the
    defaults.

    Args:
        size: number of channels in the sum, odd.
        alpha: weight of the sum.
        beta: exponent.
        k: constant added to the sum; above 0.

    Example:
        >>> y = LocalResponseNormalization(3, alpha=1.0, beta=1.0, k=1.0)(ops.ones((1, 1, 1, 4)))
        >>> [round(float(value), 3) for value in y[0, 0, 0]]
        [0.333, 0.25, 0.25, 0.333]
    """

    def __init__(
        self,
        size: int = 5,
        *,
        alpha: float = 1e-4,
        beta: float = 0.75,
        k: float = 2.0,
        **kwargs,
    ):
        """Check the arguments."""
        super().__init__(**kwargs)
        if size < 1 or size % 2 == 0:
            raise ValueError(f"`size` must be odd and at least 1; received {size}")
        if k <= 0 or alpha < 0:
            raise ValueError(
                f"`k` must be above 0 and `alpha` not below it; received {k} and {alpha}"
            )
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def call(self, x):
        """Normalise `x` (B, ..., C) along its last axis."""
        channels, margin = x.shape[-1], self.size // 2
        # Squares of half-precision activations overflow at 256.
        wide = ops.cast(x, "float32")
        squares = ops.pad(ops.square(wide), [(0, 0)] * (len(x.shape) - 1) + [(margin, margin)])
        total = sum(squares[..., i : i + channels] for i in range(self.size))
        return ops.cast(wide * ops.power(self.k + self.alpha * total, -self.beta), x.dtype)

    def compute_output_shape(self, input_shape):
        """The input's shape."""
        return input_shape

    def get_config(self):
        """Arguments that rebuild the layer."""
        return super().get_config() | {
            "size": self.size,
            "alpha": self.alpha,
            "beta": self.beta,
            "k": self.k,
        }
