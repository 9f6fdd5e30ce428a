"""Padding that mirrors an image at its border."""

from __future__ import annotations

import keras
from keras import ops


@keras.saving.register_keras_serializable("kmed")
class ReflectionPadding(keras.layers.Layer):
    """Continue an image beyond each border by its mirror image, without repeating the border.

    One operation of TensorFlow and of TFLite (MirrorPad), in 2D and 3D.

    Reference: `torch.nn.ReflectionPad2d`.

    Args:
        padding: pixels at each end of every spatial axis; every axis must be longer.

    Example:
        >>> row = ops.reshape(ops.arange(3.0), (1, 3, 1))
        >>> ReflectionPadding(2)(row)[0, :, 0].numpy().tolist()
        [2.0, 1.0, 0.0, 1.0, 2.0, 1.0, 0.0]
    """

    def __init__(self, padding: int = 1, **kwargs):
        """Check the argument."""
        super().__init__(**kwargs)
        if padding < 1:
            raise ValueError(f"`padding` must be at least 1; received {padding}")
        self.padding = int(padding)

    def call(self, x):
        """Pad `x` (B, [D,] H, W, C)."""
        self._check(x.shape)
        spatial = [(self.padding, self.padding)] * (len(x.shape) - 2)
        return ops.pad(x, [(0, 0), *spatial, (0, 0)], mode="reflect")

    def compute_output_shape(self, input_shape):
        """Every known size with its margins."""
        self._check(input_shape)
        sizes = (None if n is None else n + 2 * self.padding for n in input_shape[1:-1])
        return (input_shape[0], *sizes, input_shape[-1])

    def get_config(self):
        """Arguments that rebuild the layer."""
        return super().get_config() | {"padding": self.padding}

    def _check(self, shape):
        if any(size is not None and size <= self.padding for size in shape[1:-1]):
            raise ValueError(
                f"reflection by {self.padding} pixels needs more than {self.padding} along every "
                f"spatial axis; received {tuple(shape)}"
            )
