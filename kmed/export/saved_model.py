"""SavedModel with named signatures, as TensorFlow Serving loads it."""

from __future__ import annotations

from pathlib import Path

import keras
import tensorflow as tf


def export_saved_model(model: keras.Model, folder: str | Path, signature: str = "segment") -> Path:
    """Write a model as SavedModel with the signature "serving_default" and one that says more.

    Both take the model's input under its name ("image", float32 `(B, [D,] H, W, C)` of any size
    that the model takes; "text", strings `(B,)`; of several inputs each under its own), and give
    the model's outputs by name. Nothing of Keras or kmed is needed to load it.

    Args:
        model: a functional model of one input, or a dictionary of them, and a dictionary of
            outputs.
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
    named = isinstance(model.input, dict)

    def respond(**inputs):
        given = inputs if named else inputs[model.input.name]
        return model(given, training=False)

    module.answer = tf.function(respond, autograph=False)
    answer = module.answer.get_concrete_function(**input_specs(model))
    signatures = {"serving_default": answer, signature: answer}
    tf.saved_model.save(module, str(folder), signatures)
    return Path(folder)


def input_specs(model: keras.Model, batch: int | None = None) -> dict[str, tf.TensorSpec]:
    """Describe a model's inputs by name.

    Args:
        model: a functional model of one input, or a dictionary of them.
        batch: its size; None for any.

    Returns:
        For each name the shape, the batch included, and the type.
    """
    inputs = model.input if isinstance(model.input, dict) else {model.input.name: model.input}
    return {
        name: tf.TensorSpec((batch, *one.shape[1:]), one.dtype, name=name)
        for name, one in inputs.items()
    }


def _tables(model):
    """Give the vocabularies within a model, which are no variables."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.StringLookup):
            yield layer.lookup_table
