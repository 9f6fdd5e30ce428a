"""Torchvision's checkpoints in Keras' layout."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import keras
import numpy as np

from kmed.weights.first_convolution import Normalization
from kmed.weights.fit import HEADS, Fit, assign_arrays
from kmed.weights.pth import read_pth

Names = Mapping[str, str] | Sequence[tuple[str, str]]

_VARIABLES = {
    "kernel": ".weight",
    "bias": ".bias",
    "gamma": ".weight",
    "beta": ".bias",
    "moving_mean": ".running_mean",
    "moving_variance": ".running_var",
}
# A backbone has no head, and our segmenters have no auxiliary one.
_HEADS_THERE = r"(fc|classifier|aux_classifier)\..*"
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
_FLATTENING = (keras.layers.Flatten, keras.layers.Reshape)


def load_torchvision(
    network: keras.Model,
    source: str | os.PathLike[str] | Mapping[str, np.ndarray],
    names: Names,
    *,
    heads: str = HEADS,
    normalization: Normalization | None = None,
) -> Fit:
    """Load a checkpoint of torchvision, or of any PyTorch network of the same structure.

    Convolutions (also grouped, transposed, depthwise, 3D), dense layers and normalisations are
    brought to Keras' layout; a dense layer behind `Flatten` or `Reshape` is reordered from
    (channel, row, column) to (row, column, channel). Torchvision's networks expect RGB from 0 to 1,
    less (0.485, 0.456, 0.406), divided by (0.229, 0.224, 0.225); unless `normalization` says
    that the first convolution shall take over this, so does the network.

    Args:
        network: a functional model; it is changed.
        source: a `.pth`, `.pt` or `.safetensors` file, or its arrays by name.
        names: {our layer: torch prefix}, or pairs (regular expression of the whole of our layer's
            name, replacement), of which the first that fits counts. For a variable that torch
            keeps in no layer of its own (SSD's `scale_weight`), the prefix is its whole name.
        heads: regular expression of our layers that may stay as initialised, with a warning,
            where they are missing or of another shape.
        normalization: `kmed.weights.first_convolution.TORCHVISION` makes the network take what
            `kmed.preprocessors.rgb` gives, up to the padding at the image's border.

    Returns:
        What was loaded, left and adapted.

    Raises:
        ValueError: if the file is unreadable, or if anything but the heads and the number of
            input channels does not fit; the network is then unchanged.
        FileNotFoundError: if there is no such file.

    Example:
        >>> image = keras.Input((8, 8, 3))
        >>> network = keras.Model(image, keras.layers.Conv2D(2, 3, name="conv1")(image))
        >>> arrays = {"stem.0.weight": np.ones((2, 3, 3, 3)), "stem.0.bias": np.zeros(2)}
        >>> load_torchvision(network, arrays, {"conv1": "stem.0"}).loaded
        ('conv1/kernel', 'conv1/bias')
    """
    if isinstance(source, Mapping):
        arrays, title = dict(source), "the checkpoint"
    else:
        arrays, title = read_checkpoint(source), str(source)
    if all(name.startswith("module.") for name in arrays):  # of torch's DataParallel
        arrays = {name.removeprefix("module."): array for name, array in arrays.items()}
    arrays = {n: array for n, array in arrays.items() if not n.endswith("num_batches_tracked")}

    return assign_arrays(
        network,
        arrays,
        partial(torch_name, names),
        to_keras,
        source=title,
        heads=heads,
        dispensable=_HEADS_THERE,
        normalization=normalization,
    )


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read a checkpoint's arrays by name, whichever of the two formats it has.

    Args:
        path: a `.safetensors` file, or one that `torch.save` wrote.

    Returns:
        {name: array}.

    Raises:
        ValueError: if the file is unreadable.
        FileNotFoundError: if there is no such file.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        return read_pth(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file of weights: {path}")
    import safetensors
    import safetensors.numpy

    try:
        return safetensors.numpy.load_file(path)
    except (safetensors.SafetensorError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is unreadable: {error}") from error


def torch_name(names: Names, layer: str, variable: str) -> str | None:
    r"""Name a layer's variable as torch does.

    Args:
        names: a dictionary or pairs, as `load_torchvision` takes them.
        layer: our layer's name.
        variable: the variable's name, for example "kernel".

    Returns:
        The name in a checkpoint, or None where the table does not have the layer.

    Example:
        >>> torch_name([(r"stage(\d)_norm(\d)", r"layer\1.bn\2")], "stage1_norm2", "moving_mean")
        'layer1.bn2.running_mean'
    """
    if isinstance(names, Mapping):
        prefix = names.get(layer)
    else:
        matches = ((re.fullmatch(pattern, layer), to) for pattern, to in names)
        prefix = next((match.expand(to) for match, to in matches if match), None)
    return None if prefix is None else prefix + _VARIABLES.get(variable, "")


def to_keras(layer: keras.layers.Layer, variable: str, array: np.ndarray) -> np.ndarray:
    """Bring a torch array to the layout of a layer's variable.

    Args:
        layer: a layer of a functional model.
        variable: the variable's name, for example "kernel".
        array: torch's array: (out, in, ...) of convolutions and dense layers, (in, out, ...) of
            transposed convolutions, (channels * multiplier, 1, ...) of depthwise ones.

    Returns:
        The array in Keras' layout, or as it came where its rank is not torch's.
    """
    if variable != "kernel":
        return array
    shape = tuple(layer.kernel.shape)
    if isinstance(layer, keras.layers.Dense):
        if array.ndim != 2:
            return array
        unflattened = _flattened_shape(layer)
        if unflattened is not None and array.shape[1] == shape[0]:
            *size, channels = unflattened
            array = array.reshape(len(array), channels, *size)
            array = np.moveaxis(array, 1, -1).reshape(len(array), -1)  # (out, rows, columns, in)
        return array.T
    if array.ndim == 2 and array.size == np.prod(shape) and len(array) == shape[-1]:
        array = array.reshape(shape[-1], shape[-2], *shape[:-2])  # dense there, convolution here
    if array.ndim != len(shape):
        return array
    spatial = range(2, array.ndim)
    if isinstance(layer, _DEPTHWISE):
        if array.shape[1] != 1 or len(array) != shape[-2] * shape[-1]:
            return array
        array = array.reshape(shape[-2], shape[-1], *array.shape[2:])
        return array.transpose(*spatial, 0, 1)
    # Keras' transposed kernel is (..., out, in) for torch's (in, out, ...): the same reversal.
    return array.transpose(*spatial, 1, 0)


def _flattened_shape(layer: keras.layers.Dense) -> tuple[int, ...] | None:
    """Size of what was flattened to the layer's input, (rows, columns, channels), or None."""
    wanted = layer.kernel.shape[0]
    tensor = layer.input
    while True:
        before = tensor._keras_history.operation
        if isinstance(before, _FLATTENING):
            sizes = list(before.input.shape)
            for start in range(len(sizes) - 2, 0, -1):
                tail = sizes[start:]
                if None not in tail and np.prod(tail) == wanted:
                    return tuple(tail)
            return None
        if isinstance(before, keras.layers.InputLayer) or getattr(before, "weights", None):
            return None
        if not isinstance(before.input, keras.KerasTensor):
            return None
        tensor = before.input
