"""Batch normalisation that takes each image's own statistics at test."""

from __future__ import annotations

import keras
from keras import ops

from kmed.layers.intensity import over


@keras.saving.register_keras_serializable("kmed")
class ImageStatisticsBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation in training; at test every image is normalised by its own statistics.

    Pix2Pix is run on batches of one image with the statistics of that batch. Here these are each
    image's own, so that an image's answer does not depend on its company. The moving statistics
    are kept as ever, but nothing reads them.

    Reference: Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial
    Networks", section 3.3.

    Example:
        >>> layer = ImageStatisticsBatchNormalization(epsilon=1e-5)
        >>> x = ops.reshape(ops.convert_to_tensor([0.0, 2.0, 10.0, 14.0]), (2, 1, 2, 1))
        >>> [round(float(v), 2) for v in ops.reshape(layer(x, training=False), (-1,))]
        [-1.0, 1.0, -1.0, 1.0]
    """

    def call(self, inputs, training=None, mask=None):
        """Normalise `inputs` (B, [D,] H, W, C)."""
        if training:
            return super().call(inputs, training=True, mask=mask)
        x = ops.cast(inputs, "float32")
        axes = list(range(1, len(x.shape) - 1))
        x = x - over(ops.mean, x, axes)
        x = x * ops.rsqrt(over(ops.mean, ops.square(x), axes) + self.epsilon)
        if self.scale:
            x = x * ops.cast(self.gamma, "float32")
        if self.center:
            x = x + ops.cast(self.beta, "float32")
        return ops.cast(x, self.compute_dtype)
