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
    # Without this the list of variables is a name in the file that nothing else reads.
    archive.track(model)
    archive.add_endpoint(
        "segment",
        lambda image: model(image, training=False),
        input_signature=[tf.TensorSpec(model.input_shape, tf.float32, name="image")],
    )
    archive.write_out(str(folder), verbose=False)
    return Path(folder)


def fixed_function(model: keras.Model, size: tuple[int, ...]):
    """Trace a model for batch 1 and one spatial size.

    Args:
        model: a functional model of one input.
        size: spatial size, in pixels.

    Returns:
        A concrete TensorFlow function of the argument "image".
    """
    spec = tf.TensorSpec((1, *size, model.input_shape[-1]), tf.float32, name="image")
    function = tf.function(lambda image: model(image, training=False), autograph=False)
    return function.get_concrete_function(spec)
