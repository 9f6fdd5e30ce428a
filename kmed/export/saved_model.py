"""SavedModel with named signatures, as TensorFlow Serving loads it."""

from __future__ import annotations

from pathlib import Path

import keras
import tensorflow as tf


def export_saved_model(model: keras.Model, folder: str | Path) -> Path:
    """Write a model as SavedModel with the signatures "serving_default" and "segment".

    Both take "image", float32 `(B, [D,] H, W, C)` of any size that the model takes, and give the
    model's outputs by name. Nothing of Keras or kmed is needed to load it.

    Args:
        model: a functional model of one input and a dictionary of outputs.
        folder: where saved_model.pb and variables/ are written.

    Returns:
        The folder.
    """
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "segment",
        lambda image: model(image, training=False),
        input_signature=[tf.TensorSpec(model.input_shape, tf.float32, name="image")],
    )
    archive.write_out(str(folder), verbose=False)
    return Path(folder)
