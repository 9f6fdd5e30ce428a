"""Checkpoints of the CycleGAN and Pix2Pix authors' programs (`latest_net_G.pth`)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from kmed.weights import load
from kmed.weights.fit import Fit
from kmed.weights.torchvision import Names, load_torchvision, read_checkpoint

_CHECKPOINTS = (".pth", ".pt", ".safetensors")
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def load_cyclegan_pix2pix(
    network: keras.Model,
    weights: str | os.PathLike[str] | Mapping[str, np.ndarray] | None,
    names: Names | None,
    *,
    heads: str = "image_conv",
) -> Fit | None:
    """Give a generator or discriminator the weights that its builder's argument `weights` names.

    The authors' older checkpoints hold running statistics of instance normalisations, which
    nothing reads; they are passed over, as the authors' program does.

    Reference: Zhu et al. 2017 and Isola et al. 2017, the authors' PyTorch program,
    `models/networks.py`.

    Args:
        network: what was just built.
        weights: None, the path of a `.pth`, `.pt` or `.safetensors` checkpoint of the authors'
            program, or of a `.weights.h5` or `.keras` file of the same network, or the arrays of
            a checkpoint by name.
        names: names of the layers there, as `kmed.weights.load` takes them; None where there is
            no such network.
        heads: regular expression of our layers that may stay as initialised, with a warning,
            where they do not fit, because the images have other channels.

    Returns:
        What was loaded, left and adapted; None for the network's own files and for no weights.

    Raises:
        ValueError: if the weights do not fit or are of no known kind.
        FileNotFoundError: if there is no such file.

    Example:
        >>> image = keras.Input((8, 8, 3))
        >>> network = keras.Model(image, keras.layers.Conv2D(2, 3, name="conv0")(image))
        >>> arrays = {"module.model.0.weight": np.ones((2, 3, 3, 3)),
        ...           "module.model.0.bias": np.zeros(2), "module.model.1.running_mean": np.ones(2)}
        >>> load_cyclegan_pix2pix(network, arrays, {"conv0": "model.0"}).loaded
        ('conv0/kernel', 'conv0/bias')
    """
    if weights is None:
        return None
    given = isinstance(weights, Mapping)
    if not given and Path(weights).suffix not in _CHECKPOINTS:
        return load(network, weights)
    if names is None:
        raise ValueError(
            "the authors' program has no network of the structure of "
            f'"{network.name}" as it was built here, so its weights cannot be loaded'
        )
    arrays = dict(weights) if given else read_checkpoint(weights)
    return load_torchvision(network, _read(arrays), names, heads=heads)


def _read(arrays):
    """Leave out the statistics of normalisations without scale, which are instance ones."""
    kept = {}
    for name, array in arrays.items():
        layer, _, variable = name.rpartition(".")
        if variable not in _STATISTICS or f"{layer}.weight" in arrays:
            kept[name] = array
    return kept
