"""Bilinear upsampling as a transposed convolution whose kernel can be trained."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("kmed")
class BilinearKernel(keras.initializers.Initializer):
    """Kernel of a transposed convolution that interpolates each channel by itself.

    Along each axis a triangle of height 1 that reaches to the neighbouring pixel; zero between
    different channels.

    Reference: Long, Shelhamer and Darrell 2015, section 3.3; its code's `upsample_filt`.

    Example:
        >>> ops.convert_to_numpy(BilinearKernel()((4, 4, 1, 1)))[1, :, 0, 0].tolist()
        [0.1875, 0.5625, 0.5625, 0.1875]
    """

    def __call__(self, shape, dtype=None):
        """Compute a kernel of shape (height, width, output channels, input channels)."""
        *size, outputs, inputs = shape
        kernel = np.eye(outputs, inputs)
        for length in reversed(size):
            kernel = _triangle(length).reshape(-1, *[1] * kernel.ndim) * kernel
        return ops.convert_to_tensor(kernel, dtype or keras.config.floatx())


@keras.saving.register_keras_serializable("kmed")
class BilinearConv2DTranspose(keras.layers.Conv2DTranspose):
    """Enlarge an image by a whole factor, at first bilinearly.

    As it is initialised, it gives what a bilinear resize with half-pixel centres gives: pixel `i`
    of the input has its centre at `factor * (i + 0.5)`, and beyond the outermost centres the
    border repeats (a transposed convolution alone would fade to zero there).

    Reference: Long, Shelhamer and Darrell 2015, section 3.3.

    Args:
        filters: number of channels of the input and of the output.
        factor: how many times larger the output is, along both axes; an even number.
        **kwargs: `name`, `dtype`, and `trainable` (False keeps the interpolation as it is).

    Raises:
        ValueError: if the factor is odd or below 2.

    Example:
        >>> x = ops.reshape(ops.convert_to_tensor([0.0, 1.0]), (1, 1, 2, 1))
        >>> ops.convert_to_numpy(BilinearConv2DTranspose(1, 2)(x))[0, 0, :, 0].tolist()
        [0.0, 0.25, 0.75, 1.0]
    """

    def __init__(self, filters: int, factor: int, **kwargs):
        """Check the arguments."""
        if factor < 2 or factor % 2:
            raise ValueError(f"`factor` must be an even number, 2 or more; received {factor}")
        self.factor = int(factor)
        super().__init__(
            filters,
            2 * self.factor,
            strides=self.factor,
            padding="same",
            use_bias=False,
            kernel_initializer=BilinearKernel(),
            **kwargs,
        )

    def call(self, inputs):
        """Enlarge `inputs` (B, H, W, C) to (B, factor * H, factor * W, C)."""
        # One pixel more on every side, and what comes of it cut off again.
        x = ops.pad(inputs, [(0, 0), (1, 1), (1, 1), (0, 0)], mode="symmetric")
        x = super().call(x)
        return x[:, self.factor : -self.factor, self.factor : -self.factor]

    def get_config(self):
        """Arguments that rebuild the layer."""
        config = keras.layers.Layer.get_config(self)
        return config | {"filters": self.filters, "factor": self.factor}


def _triangle(length: int) -> np.ndarray:
    half = (length + 1) // 2  # the distance at which the triangle reaches zero
    centre = half - 1 if length % 2 else half - 0.5
    return 1 - np.abs(np.arange(length) - centre) / half
