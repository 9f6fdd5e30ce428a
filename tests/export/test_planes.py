"""Pooling in planes against Keras' own 3D pooling."""

import keras
import numpy as np
import pytest

from kmed.export.planes import pool_in_planes


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("layer", [keras.layers.MaxPooling3D, keras.layers.AveragePooling3D])
@pytest.mark.parametrize(("size", "strides"), [((2, 2, 2), None), ((3, 2, 1), (2, 1, 1))])
def test_planes_give_what_volumes_give(layer, size, strides, padding):
    image = keras.Input((None, None, None, 2))
    network = keras.Model(image, layer(size, strides, padding, name="pool")(image))
    planar = pool_in_planes(network)
    assert type(planar.get_layer("pool")).__name__ == "PlanarPooling3D"
    x = np.random.default_rng(0).normal(size=(2, 7, 8, 9, 2)).astype("float32")
    np.testing.assert_allclose(planar(x), network(x), atol=1e-6)
    assert planar.compute_output_shape(x.shape) == network.compute_output_shape(x.shape)


def test_networks_without_3d_pooling_are_left():
    image = keras.Input((8, 8, 2))
    network = keras.Model(image, keras.layers.MaxPooling2D()(image))
    assert pool_in_planes(network) is network
