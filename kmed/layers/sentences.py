"""What a sentence of padded word ids needs: which positions count, where they stand, their mean."""

from __future__ import annotations

import keras
from keras import ops


@keras.saving.register_keras_serializable("kmed")
class WordMask(keras.layers.Layer):
    """Say which positions of a sentence hold a word: True where the id is not 0.

    Of an empty sentence the first position counts, so that it has a meaning of its own that can be
    learnt, and attention something to attend to.

    Example:
        >>> WordMask()(ops.array([[7, 1, 0], [0, 0, 0]])).numpy().tolist()
        [[True, True, False], [True, False, False]]
    """

    def call(self, ids):
        """Mask of `ids` (B, L)."""
        words = ops.not_equal(ids, 0)
        empty = ops.logical_not(ops.any(words, axis=-1, keepdims=True))
        first = ops.equal(ops.arange(ids.shape[-1], dtype="int32"), 0)
        return ops.logical_or(words, ops.logical_and(empty, first))

    def compute_output_spec(self, ids):
        """Booleans of the shape of `ids`."""
        return keras.KerasTensor(ids.shape, "bool")


@keras.saving.register_keras_serializable("kmed")
class LearntPositions(keras.layers.Layer):
    """Add a learnt vector to each position of a sequence.

    Reference: Gehring et al. 2017, "Convolutional Sequence to Sequence Learning", section 3.1.

    Example:
        >>> LearntPositions()(ops.zeros((2, 5, 3))).shape
        TensorShape([2, 5, 3])
    """

    def build(self, input_shape):
        """Make one vector for each position."""
        self.positions = self.add_weight(
            name="positions",
            shape=tuple(input_shape[1:]),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
        )

    def call(self, x):
        """Add to `x` (B, L, C)."""
        return x + ops.cast(self.positions, x.dtype)

    def compute_output_shape(self, input_shape):
        """The input's shape."""
        return input_shape


@keras.saving.register_keras_serializable("kmed")
class MaskedMean(keras.layers.Layer):
    """Mean over the positions of a sequence that a mask keeps; 0 where it keeps none.

    In float32, under mixed precision too.

    Example:
        >>> x, mask = ops.array([[[1.0], [3.0], [9.0]]]), ops.array([[True, True, False]])
        >>> MaskedMean()([x, mask]).numpy().tolist()
        [[2.0]]
    """

    def __init__(self, **kwargs):
        """Compute in float32 under mixed precision too."""
        super().__init__(**({"dtype": "float32"} | kwargs))
        self.supports_masking = True

    def call(self, inputs):
        """Average `x` (B, L, C) where `mask` (B, L) is True."""
        x, mask = inputs
        weights = ops.expand_dims(ops.cast(mask, x.dtype), -1)
        return ops.sum(x * weights, axis=1) / ops.maximum(ops.sum(weights, axis=1), 1.0)

    def compute_mask(self, inputs, previous_mask=None):
        """None: no positions are left."""
        return None

    def compute_output_shape(self, input_shape):
        """Shape (B, C)."""
        shape, _ = input_shape
        return (shape[0], shape[-1])
