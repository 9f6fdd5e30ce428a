"""A class as numbers that layers can take."""

from __future__ import annotations

import keras
from keras import ops


@keras.saving.register_keras_serializable("kmed")
class OneHot(keras.layers.Layer):
    """Turn the index of a class into one number for each class, 1 for itself and 0 for all others.

    A dense layer behind it is an embedding whose gradient is dense, which replicas can add up.

    Args:
        classes: number of classes; an index outside of them gives zeros.

    Example:
        >>> OneHot(3)(ops.convert_to_tensor([2, 0])).numpy().tolist()
        [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """

    def __init__(self, classes: int, **kwargs):
        """Check the argument."""
        super().__init__(**kwargs)
        if classes < 1:
            raise ValueError(f"`classes` must be at least 1; received {classes}")
        self.classes = int(classes)

    def call(self, labels):
        """Encode `labels` (B,) of integers: (B, classes)."""
        return ops.one_hot(labels, self.classes, dtype=self.compute_dtype)

    def compute_output_spec(self, labels):
        """Shape (B, classes), of the layer's type."""
        return keras.KerasTensor((*labels.shape, self.classes), self.compute_dtype)

    def get_config(self):
        """Arguments that rebuild the layer."""
        return super().get_config() | {"classes": self.classes}
