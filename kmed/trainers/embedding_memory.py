"""A memory of past embeddings, as further examples beside those of the batch."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import tensorflow as tf

# What a memory keeps of an item beside its embedding (`kmed.ops.relations`).
KEY_TYPES = {
    "key": "int32",
    "patient": "int32",
    "study": "int32",
    "label": "int32",
    "position": "float32",
}


@keras.saving.register_keras_serializable("kmed")
class EmbeddingMemory(keras.layers.Layer):
    """The last embeddings of one modality, with the keys of their items; first in, first out.

    Every replica holds the same, since each is given the rows of all. What is held is part of the
    weights, so that a checkpoint has it.

    Reference: Wang et al. 2020, "Cross-Batch Memory for Embedding Learning", section 3.3.

    Args:
        size: number of embeddings held.
        dimension: of an embedding.
        name: name of the layer.

    Raises:
        ValueError: if a number is not positive.

    Example:
        >>> memory = EmbeddingMemory(3, 2)
        >>> keys = {name: tf.zeros(2, type_) for name, type_ in KEY_TYPES.items()}
        >>> memory.append(tf.eye(2), keys)
        >>> vectors, _, known = memory.read()
        >>> known.numpy().tolist()
        [False, True, True]
    """

    def __init__(self, size: int, dimension: int, *, name: str = "memory"):
        """Make room for `size` items."""
        super().__init__(name=name, dtype="float32", trainable=False)
        if size < 1 or dimension < 1:
            raise ValueError(
                f"`size` and `dimension` must be at least 1; received {size} and {dimension}"
            )
        self.size, self.dimension = int(size), int(dimension)

        def zeros(what, shape, type_):
            # All replicas assign the same value, so that any one's will do.
            return self.add_weight(
                name=what, shape=shape, dtype=type_, initializer="zeros", trainable=False,
                aggregation="only_first_replica",
            )  # fmt: skip

        self.vectors = zeros("vectors", (self.size, self.dimension), "float32")
        self.known = zeros("known", (self.size,), "int32")
        self.keys = {what: zeros(what, (self.size,), type_) for what, type_ in KEY_TYPES.items()}
        self.built = True

    def read(self) -> tuple:
        """What is held, the oldest first.

        Returns:
            Vectors `(size, dimension)`; their keys, each `(size,)`; and `(size,)` bool, which rows
            hold an item.
        """
        keys = {what: tf.convert_to_tensor(held.value) for what, held in self.keys.items()}
        return tf.convert_to_tensor(self.vectors.value), keys, self.known.value > 0

    def append(self, vectors, keys: Mapping) -> None:
        """Hold a batch and forget as many of the oldest.

        Args:
            vectors: `(N, dimension)`. A vector that is not finite, as a step of float16 may give
                one, is not held.
            keys: of the same N items, each `(N,)`.
        """
        finite = tf.reduce_all(tf.math.is_finite(vectors), axis=-1)
        self._push(self.vectors, tf.where(finite[:, None], vectors, 0.0))
        self._push(self.known, tf.cast(finite, "int32"))
        for what, held in self.keys.items():
            self._push(held, keys[what])

    def _push(self, held, new):
        both = tf.concat([held.value, tf.cast(new, held.value.dtype)], axis=0)
        held.assign(tf.ensure_shape(both[-self.size :], held.shape))

    def get_config(self):
        """Arguments that rebuild an empty memory."""
        return {"size": self.size, "dimension": self.dimension, "name": self.name}
