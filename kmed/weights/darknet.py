"""Darknet's own weight files: a header, then the numbers of each convolution one after another."""

from __future__ import annotations

import os
import re
from pathlib import Path

import keras
import numpy as np

from kmed.weights.first_convolution import RGB
from kmed.weights.fit import Fit, assign_arrays

_NUMBER = re.compile(r"conv(\d+)(_head)?")
_CUT = re.compile(r"\.conv\.\d+$")  # darknet53.conv.74: the beginning of a file
# A convolution's numbers in the file's order, by the names of our variables.
_NORMALIZED = ("beta", "gamma", "moving_mean", "moving_variance")


def is_darknet(path: str | os.PathLike[str]) -> bool:
    """Tell Darknet's files by their names.

    Args:
        path: of a file of weights.

    Returns:
        Whether it ends in `.weights`, or as `darknet53.conv.74` does.

    Example:
        >>> is_darknet("yolov3.weights"), is_darknet("yolov3.weights.h5")
        (True, False)
    """
    name = Path(path).name
    return name.endswith(".weights") or _CUT.search(name) is not None


def load_darknet(
    network: keras.Model, path: str | os.PathLike[str], *, heads: str = r"conv\d+_head"
) -> Fit:
    """Give a network the weights of a file that Darknet wrote.

    The file has no names: convolutions "conv0", "conv1" ... of the network take its numbers in
    this order, each with its normalisation "conv0_norm". A head for other classes is left as
    initialised, with a warning, and a first convolution over RGB adapted to other channels. A file
    whose name ends as `darknet53.conv.74` does may stop early; what follows is left as initialised.

    Reference: Darknet, `src/parser.c`, `load_weights_upto`.

    Args:
        network: of `kmed.applications.yolov3` or `yolov3_tiny`.
        path: of the file.
        heads: regular expression of the names of the layers that may have other classes.

    Returns:
        What was loaded, left and adapted.

    Raises:
        ValueError: if the file's length is not that of the network's weights.
        FileNotFoundError: if there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file of weights: {path}")
    numbers = read_numbers(path)
    shapes = _shapes(network, heads)
    arrays = None
    for channels in dict.fromkeys((shapes[0][1][2], RGB)):  # as the network, or as the original
        arrays = arrays or _parted(numbers, shapes, channels, _CUT.search(path.name) is not None)
    if arrays is None:
        raise ValueError(
            f'{path} does not fit "{network.name}": it holds {len(numbers):,} numbers, the network '
            f"{sum(_count(shape, kinds) for _, shape, kinds, _ in shapes):,}"
        )
    left = [name for name, *_ in shapes if f"{name}/kernel" not in arrays]
    may_stay = "|".join([heads, *(rf"{name}(_norm)?" for name in left)])
    return assign_arrays(
        network,
        arrays,
        lambda layer, variable: f"{layer}/{variable}",
        lambda layer, variable, array: array,
        source=str(path),
        heads=may_stay,
    )


def read_numbers(path: str | os.PathLike[str]) -> np.ndarray:
    """Read the weights of one of Darknet's files.

    Args:
        path: of the file.

    Returns:
        `(n,)` float32, all that follows the header.

    Raises:
        ValueError: if the file is too short, not of whole numbers, or transposed.
    """
    data = Path(path).read_bytes()
    if len(data) < 16:
        raise ValueError(f"{path} is too short for a file of Darknet's weights")
    major, minor, _ = np.frombuffer(data, "<i4", 3)
    if not (0 <= major < 1000 and 0 <= minor < 1000):
        raise ValueError(f"{path} is no file of Darknet's weights: its version is {major}.{minor}")
    # The number of images seen in training has 8 bytes since version 0.2.
    start = 20 if major * 10 + minor >= 2 else 16
    if (len(data) - start) % 4:
        raise ValueError(f"{path} is cut off: its {len(data)} bytes end within a number")
    return np.frombuffer(data, "<f4", offset=start)


def _shapes(network, heads):
    """Name, kernel's shape, kinds of other numbers, whether a head; of each convolution."""
    found = {}
    for layer in network.layers:
        match = _NUMBER.fullmatch(layer.name)
        if match:
            found[int(match[1])] = layer
    if not found or sorted(found) != list(range(len(found))):
        raise ValueError(f'"{network.name}" has no convolutions conv0, conv1 ... as Darknet orders')
    names = {layer.name for layer in network.layers}
    rows = []
    for number in range(len(found)):
        layer = found[number]
        normalized = f"{layer.name}_norm" in names
        kinds = _NORMALIZED if normalized else ("bias",)
        rows.append(
            (layer.name, tuple(layer.kernel.shape), kinds, bool(re.fullmatch(heads, layer.name)))
        )
    return rows


def _count(shape, kinds):
    return shape[-1] * len(kinds) + int(np.prod(shape))


def _parted(numbers, shapes, channels, cut):
    """The file's numbers by our names, or None if they are not as many as there should be."""
    first = shapes[0][1]
    shapes = [(shapes[0][0], (*first[:2], channels, first[3]), *shapes[0][2:]), *shapes[1:]]
    body = sum(_count(shape, kinds) for _, shape, kinds, head in shapes if not head)
    # Numbers of all heads for each of their filters: they tell how many filters the file's have.
    per_filter = sum(int(np.prod(shape[:-1])) + 1 for _, shape, _, head in shapes if head)
    filters, rest = divmod(len(numbers) - body, per_filter) if per_filter else (0, 0)
    if not cut and (rest or filters < 1):
        return None
    arrays, start = {}, 0
    for name, shape, kinds, head in shapes:
        if cut and start == len(numbers):
            break
        if head and not cut:
            shape = (*shape[:-1], filters)
        if start + _count(shape, kinds) > len(numbers):
            return None
        for kind in kinds:
            owner = name if kind == "bias" else f"{name}_norm"
            arrays[f"{owner}/{kind}"] = numbers[start : start + shape[-1]]
            start += shape[-1]
        size = int(np.prod(shape))
        kernel = numbers[start : start + size].reshape(shape[3], shape[2], *shape[:2])
        arrays[f"{name}/kernel"] = kernel.transpose(2, 3, 1, 0)  # (rows, columns, in, out)
        start += size
    return arrays if start == len(numbers) else None
