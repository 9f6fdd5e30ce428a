"""The ImageNet weights of keras.applications, made to take what `kmed.preprocessors.rgb` gives.

Keras' VGG and ResNet (version 1) files were trained on blue, green, red from 0 to 255, less
(103.939, 116.779, 123.68), without scaling. `kmed.preprocessors.rgb` gives red, green, blue in
[-1, 1]. The first convolution takes over the difference when the file is loaded (see
`kmed.weights.first_convolution`): one does not subtract these means any more. That is exact but
for the outermost pixels, where the network's zero padding now stands for the grey value 127.5
instead of the mean colour. ResNet version 2 was trained on RGB in [-1, 1]: nothing is changed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from kmed.weights.first_convolution import CAFFE, Normalization
from kmed.weights.fit import HEADS, Fit, assign_arrays

_URL = "https://storage.googleapis.com/tensorflow/keras-applications"
_RESNET_BLOCKS = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3), "resnet152": (3, 8, 36, 3)}
_TOP = ("fc1", "fc2", "predictions")
_HEAD_ALIASES = ("probs", "fc1000")  # what "predictions" was called before
# Keras' order within a layer, which its older file format keeps; the names there differ by file.
_ORDERS = {
    1: ("kernel",),
    2: ("kernel", "bias"),
    4: ("gamma", "beta", "moving_mean", "moving_variance"),
}


class File(NamedTuple):
    """Where a network's weights are, and how its layers are called there.

    Args:
        folder: last part of the address.
        md5: hash of the file with the dense layers.
        md5_without_top: hash of the file without them.
        names: {our layer: layer of keras.applications}.
        normalization: what the network was trained on; None for RGB in [-1, 1].
    """

    folder: str
    md5: str
    md5_without_top: str
    names: Mapping[str, str]
    normalization: Normalization | None


def _vgg_names(convolutions: Sequence[int]) -> dict[str, str]:
    layers = [
        f"block{block}_conv{i}"
        for block, count in enumerate(convolutions, start=1)
        for i in range(1, count + 1)
    ]
    return {name: name for name in [*layers, "fc1", "fc2"]} | {"logits": "predictions"}


def _resnet_names(blocks: Sequence[int], version: int) -> dict[str, str]:
    names = {"stem_conv": "conv1_conv", "logits": "predictions"}
    names |= {"stem_norm": "conv1_bn"} if version == 1 else {"final_norm": "post_bn"}
    for stage, count in enumerate(blocks, start=1):
        for block in range(count):
            ours, theirs = f"stage{stage}_block{block}", f"conv{stage + 1}_block{block + 1}"
            names |= {
                f"{ours}_pre_norm": f"{theirs}_preact_bn",
                f"{ours}_shortcut_conv": f"{theirs}_0_conv",
                f"{ours}_shortcut_norm": f"{theirs}_0_bn",
            }
            for i in (1, 2, 3):
                names |= {
                    f"{ours}_conv{i}": f"{theirs}_{i}_conv",
                    f"{ours}_norm{i}": f"{theirs}_{i}_bn",
                }
    return names


_HASHES = {
    "vgg16": ("64373286793e3c8b2b4e3219cbf3544b", "6d6bbae143d832006294945121d1f1fc"),
    "vgg19": ("cbe5617147190e668d6c5d5026f83318", "253f8cb515780f3b799900260a226db6"),
    "resnet50": ("2cb95161c43110f7111970584f804107", "4d473c1dd8becc155b73f8504c6f6626"),
    "resnet101": ("f1aeb4b969a6efcfb50fad2f0c20cfc5", "88cf7a10940856eca736dc7b7e228a21"),
    "resnet152": ("100835be76be38e30d865e96f2aaae62", "ee4c566cf9a93f14d82f913c2dc6dd0c"),
    "resnet50v2": ("3ef43a0b657b3be2300d5770ece849e0", "fac2f116257151a9d068a22e544a4917"),
    "resnet101v2": ("6343647c601c52e1368623803854d971", "c0ed64b8031c3730f411d2eb4eea35b5"),
    "resnet152v2": ("a49b44d1979771252814e80f8ec446f9", "ed17cf2e0169df9d443503ef94b23b33"),
}
FILES = {
    "vgg16": File("vgg16", *_HASHES["vgg16"], _vgg_names((2, 2, 3, 3, 3)), CAFFE),
    "vgg19": File("vgg19", *_HASHES["vgg19"], _vgg_names((2, 2, 4, 4, 4)), CAFFE),
}
for _name, _blocks in _RESNET_BLOCKS.items():
    FILES[_name] = File("resnet", *_HASHES[_name], _resnet_names(_blocks, 1), CAFFE)
    FILES[f"{_name}v2"] = File("resnet", *_HASHES[f"{_name}v2"], _resnet_names(_blocks, 2), None)


def load_imagenet(network: keras.Model, kind: str, *, heads: str = HEADS) -> Fit:
    """Download Keras' ImageNet weights, check their hash and load them.

    The file lies in Keras' cache, where keras.applications keeps it too (`~/.keras/models`).

    Args:
        network: a functional model; it is changed.
        kind: a key of `FILES`.
        heads: regular expression of the layers that may stay as initialised.

    Returns:
        What was loaded, left and adapted.

    Raises:
        ValueError: if the file cannot be had, or does not fit.
    """
    file = _file(kind)
    ours = {layer.name for layer in network.layers if layer.weights}
    top = any(file.names[name] in _TOP for name in ours & set(file.names))
    name = f"{kind}_weights_tf_dim_ordering_tf_kernels{'' if top else '_notop'}.h5"
    url = f"{_URL}/{file.folder}/{name}"
    md5 = file.md5 if top else file.md5_without_top
    try:
        path = keras.utils.get_file(name, url, cache_subdir="models", file_hash=md5)
    except Exception as error:  # Keras raises a bare Exception where there is no network
        raise ValueError(
            f'the "imagenet" weights could not be downloaded: {error}; without a network, get '
            f"{url} (MD5 {md5}) elsewhere and pass the file's path as `weights`"
        ) from error
    return load_keras_applications(network, path, kind, heads=heads)


def load_keras_applications(
    network: keras.Model,
    source: str | os.PathLike[str] | Mapping[str, Sequence[np.ndarray]],
    kind: str,
    *,
    heads: str = HEADS,
    as_trained: bool = False,
) -> Fit:
    """Load weights of a network of keras.applications.

    Args:
        network: a functional model; it is changed.
        source: a file of keras.applications (`.h5`), or {layer's name there: its arrays, as
            `get_weights` gives them}.
        kind: a key of `FILES`.
        heads: regular expression of the layers that may stay as initialised.
        as_trained: keep the first convolution as it is, so that the network expects what
            `keras.applications.*.preprocess_input` gives, and gives exactly what Keras' gives.

    Returns:
        What was loaded, left and adapted.

    Raises:
        ValueError: if the file is unreadable, or if anything but the heads and the number of
            input channels does not fit; the network is then unchanged.
        FileNotFoundError: if there is no such file.
    """
    file = _file(kind)
    if isinstance(source, Mapping):
        layers, title = source, f"keras.applications' {kind}"
    else:
        layers, title = _read_h5(Path(source)), str(source)
    arrays = {}
    for name, values in layers.items():
        if not values:
            continue
        if len(values) not in _ORDERS:
            raise ValueError(f'{title}: the layer "{name}" has {len(values)} arrays, not 1, 2 or 4')
        name = "predictions" if name in _HEAD_ALIASES else name
        for variable, array in zip(_ORDERS[len(values)], values, strict=True):
            arrays[f"{name}/{variable}"] = np.asarray(array)

    return assign_arrays(
        network,
        arrays,
        lambda layer, variable: f"{file.names[layer]}/{variable}" if layer in file.names else None,
        _reshape_dense,
        source=title,
        heads=heads,
        dispensable=rf"({'|'.join(_TOP)})/.*",
        normalization=None if as_trained else file.normalization,
    )


def _file(kind: str) -> File:
    if kind not in FILES:
        raise ValueError(f"ImageNet weights exist for {', '.join(FILES)}; received {kind!r}")
    return FILES[kind]


def _reshape_dense(layer, variable, array) -> np.ndarray:
    """Give a dense layer's kernel to a convolution as large as what it was flattened from."""
    shape = tuple(layer.kernel.shape) if variable == "kernel" else ()
    if array.ndim == 2 and len(shape) > 2 and array.shape == (np.prod(shape[:-1]), shape[-1]):
        return array.reshape(shape)
    return array


def _read_h5(path: Path) -> dict[str, list[np.ndarray]]:
    """Read the file format of Keras before version 3: a group for each layer."""
    if not path.is_file():
        raise FileNotFoundError(f"no file of weights: {path}")
    import h5py

    try:
        with h5py.File(path, "r") as file:
            root = file["model_weights"] if "model_weights" in file else file
            if "layer_names" not in root.attrs:
                raise ValueError("it is not in the format of keras.applications")
            layers = {}
            for name, group in root.items():
                keys = [
                    key.decode() if isinstance(key, bytes) else str(key)
                    for key in group.attrs.get("weight_names", ())
                ]
                layers[name] = [group[key][()] for key in keys]
            return layers
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise ValueError(f"{path} is unreadable: {error}") from error
