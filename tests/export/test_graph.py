"""Graph reading against networks whose strides and links are known."""

import keras
import numpy as np
import pytest

from kmed.applications.unet import unet
from kmed.export.graph import called_once, output_layers, rebuild, reduction, sources


def residual():
    image = keras.Input((16, 16, 2), name="image")
    conv = keras.layers.Conv2D(2, 3, padding="same", name="conv")
    x = conv(conv(image))
    x = keras.layers.Add(name="add")([x, image])
    return keras.Model(image, {"sum": x, "half": keras.layers.MaxPooling2D(name="half")(x)})


def test_links_of_a_small_graph():
    model = residual()
    assert sources(model) == {
        "image": [],
        "conv": ["image", "conv"],
        "add": ["conv", "image"],
        "half": ["add"],
    }
    assert called_once(model) == {"add", "half"}
    assert output_layers(model) == {"add", "half"}


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("levels", [2, 3, 5])
def test_reduction_of_a_unet_is_two_to_the_poolings(rank, levels):
    shape = (*[None] * rank, 1)
    assert reduction(unet(input_shape=shape, filters=[2] * levels)) == 2 ** (levels - 1)


def test_reduction_of_a_network_without_strides_is_one():
    image = keras.Input((8, 8, 1))
    assert reduction(keras.Model(image, keras.layers.Conv2D(1, 3)(image))) == 1


def test_rebuild_keeps_weights_and_takes_another_size():
    network = unet(input_shape=(16, 16, 1), filters=(2, 4))
    free = rebuild(network, input_shape=(None, None, 1))
    assert free.input_shape == (None, None, None, 1)
    assert free.name == network.name
    assert [layer.name for layer in free.layers] == [layer.name for layer in network.layers]
    x = np.random.default_rng(0).normal(size=(1, 16, 16, 1)).astype("float32")
    np.testing.assert_allclose(free(x), network(x), atol=1e-6)
    assert free(np.zeros((1, 20, 34, 1))).shape == (1, 20, 34, 2)
    assert free.layers[1] is not network.layers[1]
