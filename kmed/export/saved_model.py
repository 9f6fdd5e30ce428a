"""SavedModel with named signatures, as TensorFlow Serving loads it."""

from __future__ import annotations

from pathlib import Path

import keras
import tensorflow as tf


def export_saved_model(model: keras.Model, folder: str | Path, signature: str = "segment") -> Path:
    """Write a model as SavedModel with the signature "serving_default" and one that says more.

    Both take the model's input under its name ("image", float32 `(B, [D,] H, W, C)` of any size
    that the model takes; "text", strings `(B,)`), and give the model's outputs by name. Nothing of
    Keras or kmed is needed to load it.

    Args:
        model: a functional model of one input and a dictionary of outputs.
        folder: where saved_model.pb and variables/ are written.
        signature: the second name, such as "segment", "classify" or "embed".

    Returns:
        The folder.
    """
    # keras.export.ExportArchive saves every variable twice (once as the model's and once as the
    # endpoint's), which doubles the folder and the server's memory.
    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    module.tables = [*_tables(model)]
    module.answer = tf.function(
        lambda inputs: model(inputs, training=False),
        input_signature=[
            tf.TensorSpec(model.input_shape, model.input.dtype, name=model.input.name)
        ],
        autograph=False,
    )
    answer = module.answer.get_concrete_function()
    signatures = {"serving_default": answer, signature: answer}
    tf.saved_model.save(module, str(folder), signatures)
    return Path(folder)


def _tables(model):
    """Give the vocabularies within a model, which are no variables."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.StringLookup):
            yield layer.lookup_table
