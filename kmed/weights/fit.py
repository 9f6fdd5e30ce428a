"""Arrays of a foreign checkpoint put into a network's variables, or a list of what does not fit."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import keras
import numpy as np

from kmed.weights.first_convolution import RGB, Normalization, adapt_channels, fold_normalization

# Layers that may stay as initialised, because other data have other classes.
HEADS = r"logits.*"
_LISTED = 8  # names of each kind in a message


class Fit(NamedTuple):
    """What became of a checkpoint.

    Args:
        loaded: our variables that have the file's values, as "layer/variable".
        missing: variables of heads that the file does not have, left as initialised.
        unexpected: names in the file that the network has no use for.
        mismatched: variables of heads whose shape is another in the file, left as initialised.
        adapted: sentences about what was changed to fit.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    mismatched: tuple[str, ...] = ()
    adapted: tuple[str, ...] = ()


def assign_arrays(
    network: keras.Model,
    arrays: Mapping[str, np.ndarray],
    name_of: Callable[[str, str], str | None],
    convert: Callable[[keras.layers.Layer, str, np.ndarray], np.ndarray],
    *,
    source: str,
    heads: str = HEADS,
    dispensable: str = "",
    normalization: Normalization | None = None,
) -> Fit:
    """Set a network's variables from a checkpoint's arrays: all that it should have, or none.

    Args:
        network: a functional model.
        arrays: the checkpoint's arrays by name.
        name_of: gives the checkpoint's name for a layer's name and a variable's name, or None.
        convert: gives an array in Keras' layout for a layer, a variable's name and the
            checkpoint's array; an array that it cannot convert it gives back.
        source: what messages call the checkpoint.
        heads: regular expression of the layers that may stay as initialised, with a warning.
        dispensable: regular expression of the checkpoint's names that may be left over.
        normalization: what the checkpoint's network expects of RGB; if given, the first
            convolution is changed to take what `kmed.preprocessors.rgb` gives.

    Returns:
        What was loaded, left and adapted.

    Raises:
        ValueError: if anything but that does not fit; the network is then unchanged.
    """
    layers = list(_weighted(network))
    values = {}  # layer's name -> variable's name -> array in Keras' layout
    origin, missing = {}, {}
    for layer in layers:
        values[layer.name] = {}
        for variable in layer.weights:
            name = name_of(layer.name, variable.name)
            if name not in arrays:
                missing[f"{layer.name}/{variable.name}"] = (
                    f"(there {name})" if name else "(unnamed)"
                )
                continue
            origin[f"{layer.name}/{variable.name}"] = name
            values[layer.name][variable.name] = convert(layer, variable.name, arrays[name])
    adapted = _adapt(layers, values, normalization)

    loaded, mismatched = {}, {}
    for layer in layers:
        for variable in layer.weights:
            label, array = f"{layer.name}/{variable.name}", values[layer.name].get(variable.name)
            if array is None:
                continue
            if array.shape == tuple(variable.shape) and label not in loaded:
                loaded[label] = (variable, array)
            else:
                there = f"{origin[label]} {arrays[origin[label]].shape}"
                mismatched[label] = f"{tuple(variable.shape)}, there {there}"
    unexpected = [name for name in arrays if name not in set(origin.values())]

    left = {}  # name of a head -> why it stays as initialised
    for label, text in (missing | mismatched).items():
        layer, _, variable = label.rpartition("/")
        if re.fullmatch(heads, layer):
            left.setdefault(layer, []).append(f"{variable} {text}")
    _refuse(
        network.name,
        source,
        [f"{label} {text}" for label, text in missing.items() if not _of(left, label)],
        [f"{label} {text}" for label, text in mismatched.items() if not _of(left, label)],
        [name for name in unexpected if not re.fullmatch(dispensable, name)],
    )
    loaded = {label: pair for label, pair in loaded.items() if not _of(left, label)}
    for variable, array in loaded.values():
        variable.assign(array)
    for layer, reasons in left.items():
        _say(f'"{layer}" stays as initialised, as {source} does not fit it: {", ".join(reasons)}')
    for text in adapted:
        _say(text)
    return Fit(tuple(loaded), tuple(missing), tuple(unexpected), tuple(mismatched), tuple(adapted))


def _of(layers, label) -> bool:
    return label.rpartition("/")[0] in layers


def _weighted(network: keras.Model) -> Iterator[keras.layers.Layer]:
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from _weighted(layer)
        elif layer.weights:
            yield layer


def _adapt(layers, values, normalization) -> list[str]:
    """Change the first convolution's arrays in place; say so."""
    first = next((i for i, layer in enumerate(layers) if hasattr(layer, "kernel")), None)
    if first is None:
        return []
    layer, arrays = layers[first], values[layers[first].name]
    kernel = arrays.get("kernel")
    if kernel is None:
        return []
    colour = kernel.ndim >= 3 and kernel.shape[-2] == RGB
    if normalization is not None:
        if not colour:
            raise ValueError(
                f'`normalization` needs a first convolution over RGB; "{layer.name}" has a kernel '
                f"of shape {kernel.shape}"
            )
        kernel, shift = fold_normalization(kernel, normalization)
        if "bias" in arrays:
            arrays["bias"] = arrays["bias"] + shift
        elif first + 1 < len(layers) and "moving_mean" in values[layers[first + 1].name]:
            after = values[layers[first + 1].name]
            after["moving_mean"] = after["moving_mean"] - shift
        else:
            raise ValueError(
                f'the normalisation cannot go into "{layer.name}": it has no bias, and no batch '
                "normalisation follows it"
            )
        arrays["kernel"] = kernel
    channels = layer.kernel.shape[-2]
    if not colour or channels == RGB or kernel.ndim != len(layer.kernel.shape):
        return []
    arrays["kernel"] = adapt_channels(kernel, channels)
    return [
        f'"{layer.name}" was adapted from RGB to {channels} channels: each takes the sum over red, '
        "green and blue, divided by the number of channels"
    ]


def _refuse(network, source, missing, mismatched, unexpected) -> None:
    kinds = {
        "missing there": missing,
        "left over there": unexpected,
        "of another shape": mismatched,
    }
    texts = []
    for kind, names in kinds.items():
        if names:
            more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
            texts.append(f"{len(names)} {kind}: {', '.join(names[:_LISTED])}{more}")
    if texts:
        raise ValueError(
            f'{source} does not fit the network "{network}", which is unchanged; {"; ".join(texts)}'
        )


def _say(text: str) -> None:
    warnings.warn(text, UserWarning, stacklevel=2)
