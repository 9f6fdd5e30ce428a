"""Dropout that does not end with the training."""

from __future__ import annotations

import keras


@keras.saving.register_keras_serializable("kmed")
class DropoutAtTest(keras.layers.Dropout):
    """Dropout that is on whenever the network runs, as the only noise of a generator.

    Equal inputs then give different outputs. A SavedModel draws anew at every call; TFLite has no
    operator for it.

    Reference: Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial
    Networks", section 3.1.

    Example:
        >>> y = DropoutAtTest(0.5, seed=0)(keras.ops.ones((1, 1000)), training=False)
        >>> 0.4 < float(keras.ops.mean(keras.ops.equal(y, 0.0))) < 0.6
        True
    """

    def call(self, inputs, training=False):
        """Drop a share of `inputs`, whatever `training` says."""
        return super().call(inputs, training=True)
