"""Grouped convolution that runs and exports wherever a plain convolution does."""

from __future__ import annotations

import keras
from keras import ops


@keras.saving.register_keras_serializable("kmed")
class GroupedConv2D(keras.layers.Conv2D):
    """Keras' Conv2D with `groups`, convolved group by group.

    TensorFlow has no grouped convolution on a CPU, where Keras goes through XLA; a SavedModel then
    needs a runtime with XLA. Splitting the channels gives the same numbers with plain operators.
    Weights, arguments and configuration are those of `keras.layers.Conv2D`.

    Reference: Krizhevsky, Sutskever and Hinton 2012, section 3.2.

    Example:
        >>> layer = GroupedConv2D(4, 3, groups=2)
        >>> layer(ops.ones((1, 5, 5, 6))).shape[-1], tuple(layer.kernel.shape)
        (4, (3, 3, 3, 4))
    """

    def convolution_op(self, inputs, kernel):
        """Convolve each group of `inputs` (B, H, W, C) with its part of the kernel."""
        channels = -1 if self.data_format == "channels_last" else 1
        pairs = zip(
            ops.split(inputs, self.groups, axis=channels),
            ops.split(kernel, self.groups, axis=-1),
            strict=True,
        )
        convolve = super().convolution_op
        return ops.concatenate([convolve(x, part) for x, part in pairs], axis=channels)
