import keras
import numpy as np
import pytest

from kmed.layers.adversarial_convolution import normal_kernel, normal_scale, strided_convolution
from kmed.layers.spectral_normalization import SpectralNormalization


def test_weights_start_as_in_the_papers():
    kernel, scale = (np.array(f()((100, 1000))) for f in (normal_kernel, normal_scale))
    for values, mean in ((kernel, 0.0), (scale, 1.0)):
        assert abs(values.mean() - mean) < 5e-4
        assert abs(values.std() - 0.02) < 5e-4


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", [(8, 6, 2), (9, 7, 2), (6, 7, 8, 1)])
def test_pads_as_torch(shape, stride):
    image = keras.Input(shape)
    network = keras.Model(image, strided_convolution(image, 3, stride=stride, name="conv"))
    x = np.random.default_rng(0).normal(size=(1, *shape)).astype("float32")
    kernel = network.get_layer("conv").kernel.numpy()
    rank = len(shape) - 1
    padded = np.pad(x, [(0, 0), *[(1, 1)] * rank, (0, 0)])
    sizes = [(size - 2) // stride + 1 for size in shape[:-1]]
    expected = np.zeros((*sizes, 3))
    for place in np.ndindex(*sizes):
        window = padded[0][tuple(slice(stride * p, stride * p + 4) for p in place)]
        expected[place] = np.tensordot(window, kernel, rank + 1)
    np.testing.assert_allclose(network(x)[0], expected, atol=1e-5)


def test_open_sizes_are_padded_as_known_ones():
    known, unknown = keras.Input((8, 8, 2)), keras.Input((None, None, 2))
    networks = [
        keras.Model(image, strided_convolution(image, 3, stride=2, name="conv"))
        for image in (known, unknown)
    ]
    networks[1].set_weights(networks[0].get_weights())
    x = np.random.default_rng(0).normal(size=(1, 8, 8, 2)).astype("float32")
    np.testing.assert_allclose(networks[0](x), networks[1](x), atol=1e-6)


def test_spectral():
    image = keras.Input((8, 8, 2))
    network = keras.Model(
        image, strided_convolution(image, 3, stride=2, spectral=True, name="conv")
    )
    assert isinstance(network.get_layer("conv"), SpectralNormalization)
