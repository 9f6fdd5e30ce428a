"""Copying a network's graph onto another model's tensors, nested models laid open."""

from __future__ import annotations

import re
from collections.abc import Callable

import keras
from keras import tree


def image_of(network: keras.Model):
    """Make a new input like a network's own.

    Args:
        network: a functional model of one input.

    Returns:
        A keras.Input of the same shape, type and name.

    Raises:
        ValueError: if the model is not functional or has several inputs.
    """
    if not isinstance(network, keras.Model) or not getattr(network, "inputs", None):
        raise ValueError(
            "`network` must be a functional or built sequential keras.Model; received "
            f"{network if not isinstance(network, keras.Model) else type(network).__name__!r}"
        )
    if len(network.inputs) != 1:
        raise ValueError(
            f'`network` must take one image; "{network.name}" takes {len(network.inputs)} inputs'
        )
    (image,) = network.inputs
    return keras.Input(image.shape[1:], dtype=image.dtype, name=image.name)


def copy_onto(
    image,
    network: keras.Model,
    *,
    rename: Callable[[str], str] = lambda name: name,
    replace: Callable[[keras.Operation], keras.Operation | None] = lambda layer: None,
    call: Callable = lambda layer, *args, **kwargs: layer(*args, **kwargs),
):
    """Copy a network's layers, with their weights, onto an image.

    The layers of nested models are copied one by one, as NESTED_LAYER, so that what rewrites
    graphs later (folding, other input sizes) sees all of them.

    Args:
        image: the keras.Input that the copy takes.
        network: a functional model of one input. It is not changed.
        rename: gives the copy of a layer its name.
        replace: gives another layer in place of a layer, or None to copy it.
        call: how a copied layer is called: layer, positional and named arguments.

    Returns:
        The logits of the copy: its output, or "logits" of a dictionary.

    Raises:
        ValueError: if the network's outputs are neither a tensor nor a dictionary with "logits".
    """
    network, copies = lay_open(network), {}

    def clone(layer):
        copy = replace(layer)
        if copy is None:
            copies[layer.name] = copy = _unbuilt(layer)
        copy.name = rename(layer.name)
        return copy

    inputs = tree.map_structure(lambda _: image, network.input)
    copied = keras.models.clone_model(
        network, input_tensors=inputs, clone_function=clone, call_function=call
    )
    for layer in network.layers:
        if layer.name in copies and layer.get_weights():
            copies[layer.name].set_weights(layer.get_weights())
    outputs = copied.output
    if isinstance(outputs, dict) and "logits" in outputs:
        outputs = outputs["logits"]
    if not isinstance(outputs, keras.KerasTensor):
        raise ValueError(
            '`network` must give logits, or a dictionary with "logits"; "'
            f'{network.name}" gives {tree.map_structure(lambda x: x.shape, outputs)}'
        )
    return outputs


def inner_name(name: str) -> str:
    """Rename a layer whose name the wrapper around it takes: "logits" to "logits_each".

    Args:
        name: the layer's name in the network.

    Returns:
        Its name in the wrapped network; that of most layers stays.
    """
    # Wrapped again, "logits_each" makes room as well.
    return f"{name}_each" if re.fullmatch("(logits|mirror|unmirror)(_each)*", name) else name


def lay_open(network: keras.Model) -> keras.Model:
    """Put the layers of nested models in their place.

    Args:
        network: a functional model. It is not changed.

    Returns:
        The network itself where no model is nested in it, else a copy without nested models.
    """
    if isinstance(network, keras.Sequential):
        network = keras.Model(network.inputs, network.outputs, name=network.name)
    while any(isinstance(layer, keras.Model) for layer in network.layers):
        copies = {}

        def clone(layer, copies=copies):
            if isinstance(layer, keras.Model):
                copy = keras.models.clone_model(layer)
                for inner in copy.layers:
                    inner.name = f"{layer.name}_{inner.name}"
            else:
                copy = _unbuilt(layer)
            copies[layer.name] = copy
            return copy

        def call(layer, *args, **kwargs):
            # A model's `call` runs its layers on these tensors, one by one; calling the model
            # itself would make it one node of the graph.
            return layer.call(*args) if isinstance(layer, keras.Model) else layer(*args, **kwargs)

        opened = keras.models.clone_model(network, clone_function=clone, call_function=call)
        for layer in network.layers:
            if layer.name in copies and layer.get_weights():
                copies[layer.name].set_weights(layer.get_weights())
        network = opened
    return network


def _unbuilt(layer):
    return type(layer).from_config(layer.get_config())
