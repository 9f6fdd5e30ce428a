"""From logits to a mask: the last step of a segmentation bundle."""

from __future__ import annotations

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("kmed")
class SegmentationDecoder(keras.layers.Layer):
    """Turn logits `(B, ..., K)` into class indices and probabilities.

    K > 1: softmax, and the class of the largest probability (the first of equals). K = 1:
    sigmoid, and class 1 where it is above one half. The labels are taken from the probabilities,
    so whoever recomputes them from the probabilities gets the same mask.

    Example:
        >>> decoded = SegmentationDecoder()(keras.ops.array([[[1.0, 3.0], [2.0, 2.0]]]))
        >>> decoded["labels"].numpy().tolist()
        [[1, 0]]
    """

    def __init__(self, **kwargs):
        """Decode in float32 under mixed precision too."""
        super().__init__(**({"dtype": "float32"} | kwargs))

    def call(self, logits):
        """Decode `logits` (B, ..., K) to a dictionary of labels (B, ...) and probabilities."""
        if logits.shape[-1] == 1:
            probabilities = keras.ops.sigmoid(logits)
            labels = keras.ops.cast(probabilities[..., 0] > 0.5, "int32")
        else:
            probabilities = keras.ops.softmax(logits, axis=-1)
            # Not keras.ops.argmax: it sorts out negative zeros bit by bit, which TFLite cannot.
            labels = tf.argmax(probabilities, axis=-1, output_type=tf.int32)
        return {"labels": labels, "probabilities": probabilities}

    def compute_output_spec(self, logits):
        """int32 labels (B, ...), float32 probabilities (B, ..., K)."""
        return {
            "labels": keras.KerasTensor(logits.shape[:-1], "int32"),
            "probabilities": keras.KerasTensor(logits.shape, "float32"),
        }
