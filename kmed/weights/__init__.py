"""Weights from elsewhere: torchvision checkpoints and the ImageNet files of keras.applications."""

from __future__ import annotations

import os
from pathlib import Path

import keras

from kmed.weights.darknet import load_darknet
from kmed.weights.fit import HEADS, Fit
from kmed.weights.keras_applications import FILES, load_imagenet, load_keras_applications
from kmed.weights.torchvision import Names, load_torchvision

__all__ = [
    "Fit",
    "load",
    "load_darknet",
    "load_imagenet",
    "load_keras_applications",
    "load_torchvision",
]


def load(
    network: keras.Model,
    weights: str | os.PathLike[str] | None,
    *,
    torchvision: Names | None = None,
    imagenet: str | None = None,
    heads: str = HEADS,
) -> Fit | None:
    r"""Give a network the weights that its builder's argument `weights` names.

    After "imagenet" and keras.applications' files the network takes what `kmed.preprocessors.rgb`
    gives (`kmed.weights.keras_applications` says how exactly). After a torchvision checkpoint it
    takes what torchvision's does, RGB from 0 to 1 less (0.485, 0.456, 0.406), divided by (0.229,
    0.224, 0.225); `load_torchvision` can change that. A first convolution over RGB is adapted to
    other channels, and a head for other classes is left as initialised, with warnings that say so.

    Args:
        network: what was just built; its layers' names are matched.
        weights: None (nothing is done), the path of a `.weights.h5` or `.keras` file of the same
            network, of a torchvision checkpoint (`.pth`, `.pt`, `.safetensors`), of a
            keras.applications file (`.h5`), or "imagenet" (that file, downloaded).
        torchvision: names of the layers in torchvision: a dictionary {our layer: torch prefix},
            or pairs (regular expression of the whole of our layer's name, replacement), the first
            that fits, as in `(r"stage(\d)_block(\d+)_conv(\d)", r"layer\1.\2.conv\3")`.
            None where torchvision has no such network.
        imagenet: which of Keras' files fits, for example "vgg16" (the keys of
            `kmed.weights.keras_applications.FILES`); None where there is none.
        heads: regular expression of the names of the layers that may be left as initialised
            (with a warning) where they do not fit, because the classes are others.

    Returns:
        What was loaded, left and adapted; None for the network's own files and for no weights.

    Raises:
        ValueError: if the weights do not fit or are of no known kind.
        FileNotFoundError: if there is no such file.
    """
    if weights is None:
        return None
    if str(weights) == "imagenet":
        if imagenet is None:
            raise ValueError(
                f'`weights`="imagenet" is not to be had for "{network.name}" as it was built '
                f"here, only for keras.applications' {', '.join(FILES)} (VGG without batch "
                'normalisation, ResNet with `version` "keras" or "v2"); a checkpoint of '
                "torchvision is loaded by its path"
            )
        return load_imagenet(network, imagenet, heads=heads)
    path = Path(weights)
    kinds = {".pth": torchvision, ".pt": torchvision, ".safetensors": torchvision, ".h5": imagenet}
    own = path.name.endswith((".weights.h5", ".keras"))
    if not own and path.suffix not in kinds:
        raise ValueError(
            '`weights` must be None, "imagenet", or the path of a .weights.h5, .keras, .pth, .pt, '
            f".safetensors or (from keras.applications) .h5 file; received {str(weights)!r}"
        )
    if not path.is_file():
        raise FileNotFoundError(f"no file of weights: {path}")
    if own:
        network.load_weights(path)
        return None
    names = kinds[path.suffix]
    if names is None:
        origin = "keras.applications" if path.suffix == ".h5" else "torchvision"
        raise ValueError(
            f'{origin} has no network of the structure of "{network.name}" as it was built here, '
            f"so {path} cannot be loaded"
        )
    if path.suffix == ".h5":
        return load_keras_applications(network, path, names, heads=heads)
    return load_torchvision(network, path, names, heads=heads)
