"""Reading a functional model's graph, and rebuilding it with some layers replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import keras


def sources(model: keras.Model) -> dict[str, list[str]]:
    """Layers that feed each layer of a functional model.

    Args:
        model: a functional model.

    Returns:
        For each layer's name the names of its inputs, one for each tensor of each call. Layers
        come after what feeds them.

    Example:
        >>> image = keras.Input((4,), name="image")
        >>> model = keras.Model(image, keras.layers.Dense(2, name="dense")(image))
        >>> sources(model)
        {'image': [], 'dense': ['image']}
    """
    layers = model.get_config()["layers"]
    return {layer["name"]: list(_histories(layer["inbound_nodes"])) for layer in layers}


def called_once(model: keras.Model) -> set[str]:
    """Names of the layers that a functional model calls exactly once."""
    layers = model.get_config()["layers"]
    return {layer["name"] for layer in layers if len(layer["inbound_nodes"]) == 1}


def output_layers(model: keras.Model) -> set[str]:
    """Names of the layers whose tensors are outputs of a functional model."""
    return set(_names(model.get_config()["output_layers"]))


def operations(model: keras.Model) -> dict[str, keras.Operation]:
    """Layers and bare operations (of `keras.ops`) of a functional model by name."""
    return {operation.name: operation for operation in model.operations}


def reduction(model: keras.Model) -> int:
    """How much smaller than the image a network's coarsest feature map is, per axis.

    Args:
        model: a functional network; layers within nested models are not seen.

    Returns:
        The product of strides on the deepest path: 16 for a U-Net of five levels. Where axes
        differ, the largest.
    """
    factor: dict[str, float] = {}
    layers = operations(model)
    for name, inputs in sources(model).items():
        layer = layers[name]
        here = max((factor.get(source, 1.0) for source in inputs), default=1.0)
        if "UpSampling" in type(layer).__name__:
            here /= _largest(layer.size)
        elif "Transpose" in type(layer).__name__:
            here /= _largest(layer.strides)
        elif hasattr(layer, "strides"):
            here *= _largest(layer.strides)
        factor[name] = here
    return round(max(factor.values()))


def has_switches(model: keras.Model) -> bool:
    """Say whether a network chooses by comparison where values go, so that it is not continuous.

    Args:
        model: a functional network, nested models included.

    Returns:
        Whether a layer says so of itself by an attribute `switches`.
    """
    return any(getattr(layer, "switches", False) for layer in model._flatten_layers())


def rebuild(
    model: keras.Model,
    replace: Callable[[keras.layers.Layer], keras.layers.Layer | None] = lambda layer: None,
    input_shape: tuple[int | None, ...] | None = None,
    dtype: str | None = None,
) -> keras.Model:
    """Copy a functional model, some of its layers, its input shape or its precision replaced.

    Args:
        model: a functional model of one input.
        replace: gives a new layer of the same name in place of a layer, or None to copy it.
        input_shape: new shape of the input without batch axis.
        dtype: new dtype policy of every copied layer, for example "float32".

    Returns:
        A new model of the same layer names. Copied layers have the weights of the original;
        replaced ones keep what `replace` gives them once they are built.
    """
    replaced = set()

    def clone(layer):
        new = replace(layer)
        if new is None:
            changed = {} if dtype is None else {"dtype": dtype}
            return layer.__class__.from_config(layer.get_config() | changed)
        replaced.add(layer.name)
        return new

    def call(layer, *args, **kwargs):
        # Arguments such as batch normalisation's `mask` are the replaced layer's own.
        return layer(*args) if layer.name in replaced else layer(*args, **kwargs)

    shape = model.input_shape[1:] if input_shape is None else input_shape
    image = keras.Input(shape, dtype=model.inputs[0].dtype, name=model.inputs[0].name)
    copy = keras.models.clone_model(
        model, input_tensors=image, clone_function=clone, call_function=call
    )
    for layer in model.layers:
        if layer.name not in replaced and layer.get_weights():
            copy.get_layer(layer.name).set_weights(layer.get_weights())
    copy.name = model.name
    return copy


def _histories(structure) -> Iterator[str]:
    # Keras writes a tensor of the graph as {"keras_history": [layer, node, tensor]}.
    if isinstance(structure, dict):
        if "keras_history" in structure:
            yield structure["keras_history"][0]
        else:
            for value in structure.values():
                yield from _histories(value)
    elif isinstance(structure, (list, tuple)):
        for value in structure:
            yield from _histories(value)


def _names(structure) -> Iterator[str]:
    if isinstance(structure, str):
        yield structure
    elif isinstance(structure, dict):
        for value in structure.values():
            yield from _names(value)
    elif isinstance(structure, (list, tuple)):
        for value in structure:
            yield from _names(value)


def _largest(value) -> float:
    return float(max(value) if isinstance(value, (list, tuple)) else value)
