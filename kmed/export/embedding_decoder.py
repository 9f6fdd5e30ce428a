"""The last step of a tower: an embedding under its name."""

from __future__ import annotations

import keras


@keras.saving.register_keras_serializable("kmed")
class EmbeddingDecoder(keras.layers.Layer):
    """Hand on embeddings `(B, dimension)` in float32, under a name.

    Two embeddings are as similar as their inner product says, since both have unit length.

    Example:
        >>> EmbeddingDecoder()(keras.ops.array([[0.6, 0.8]]))["embedding"].shape
        TensorShape([1, 2])
    """

    dense = False
    located = False
    fits = ("resize", "letterbox")
    signature = "embed"
    outputs = {"embedding": "float32, of unit length; compare by the inner product"}

    def __init__(self, **kwargs):
        """Answer in float32 under mixed precision too."""
        super().__init__(**({"dtype": "float32", "name": "decoder"} | kwargs))

    def call(self, embedding):
        """Name the embedding."""
        return {"embedding": keras.ops.convert_to_tensor(embedding, "float32")}

    def compute_output_spec(self, embedding):
        """float32 (B, dimension)."""
        return {"embedding": keras.KerasTensor(embedding.shape, "float32")}

    def classes(self, embedding) -> int:
        """No classes."""
        return 0

    def probe(self, embedding):
        """Give the embedding."""
        return embedding
