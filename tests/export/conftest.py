"""Small bundles that several tests of the export share: saved once, never changed."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from kmed import preprocessors
from kmed.applications.unet import unet
from kmed.export import Bundle


def trained(network: keras.Model, seed: int = 0) -> keras.Model:
    """Give a network weights and batch statistics as if it had been trained."""
    random = np.random.default_rng(seed)
    for layer in network.layers:
        weights = layer.get_weights()
        if isinstance(layer, keras.layers.BatchNormalization):
            weights = [random.uniform(0.5, 1.5, w.shape) for w in weights]
        elif weights and layer.name.startswith("logits"):
            weights = [4 * random.normal(size=w.shape) for w in weights]
        elif weights:
            weights = [random.normal(0, w.std() + 0.05, w.shape) for w in weights]
        layer.set_weights(weights)
    return network


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    network = trained(unet(input_shape=(32, 48, 1), classes=3, filters=(4, 8)))
    names = ("background", "liver", "lesion")
    return Bundle("liver", preprocessors.ct(), network, labels=names, fit="resize")


@pytest.fixture(scope="session")
def volume_bundle() -> Bundle:
    network = trained(unet(input_shape=(8, 16, 16, 1), classes=1, filters=(4, 8)), seed=1)
    spacing = (3.0, 1.0, 1.0)
    return Bundle("brain", preprocessors.mr(rank=3), network, fit="pad", spacing_mm=spacing)


@pytest.fixture(scope="session")
def saved(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory):
    random = np.random.default_rng(0)
    images = [random.uniform(-1000, 1000, (32, 48, 1)) for _ in range(4)]
    root = tmp_path_factory.mktemp("saved_models")
    quantize = ("float16", "int8")
    return bundle.save(root, quantize=quantize, representative=images, card={"seed": 3})


@pytest.fixture(scope="session")
def saved_volume(volume_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory):
    return volume_bundle.save(tmp_path_factory.mktemp("saved_models"))
