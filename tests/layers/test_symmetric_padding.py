import keras
import numpy as np
import pytest
from scipy.ndimage import correlate, maximum_filter

from kmed.layers.symmetric_padding import padded_convolution, padded_pool


@pytest.mark.parametrize("shape", [(8, 8), (9, 12), (1, 5), (6, 7, 8)])
@pytest.mark.parametrize(("size", "stride"), [(3, 1), (3, 2), (7, 2), (1, 2), (5, 4)])
def test_windows_lie_as_scipys_around_every_stride(shape, size, stride):
    # scipy's windows are centred on each pixel, the first included, with zeros outside.
    image = keras.Input((*(None for _ in shape), 1))
    network = keras.Model(image, padded_convolution(image, 1, size, stride=stride, name="conv"))
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    kernel = network.get_layer("conv").kernel.numpy()[..., 0, 0]
    expected = correlate(x, kernel, mode="constant")[(slice(None, None, stride),) * x.ndim]
    np.testing.assert_allclose(network(x[None, ..., None])[0, ..., 0], expected, atol=1e-4)


@pytest.mark.parametrize("shape", [(8, 8), (9, 12), (1, 5), (6, 7, 8)])
def test_pooling_lies_as_scipys(shape):
    x = np.random.default_rng(0).uniform(size=shape).astype("float32")
    image = keras.Input((*(None for _ in shape), 1))
    network = keras.Model(image, padded_pool(image, 3, stride=2, padding=1, name="pool"))
    expected = maximum_filter(x, 3, mode="constant")[(slice(None, None, 2),) * x.ndim]
    np.testing.assert_array_equal(network(x[None, ..., None])[0, ..., 0], expected)


def test_a_padding_of_its_own():
    image = keras.Input((224, 227, 3))
    x = padded_convolution(image, 4, 11, stride=4, padding=2, name="conv")
    assert x.shape == (None, 55, 56, 4)
    assert padded_pool(x, 3, stride=2, name="pool").shape == (None, 27, 27, 4)
    assert padded_convolution(image, 4, 3, padding=0, name="valid").shape == (None, 222, 225, 4)


def test_dilation_reaches_further():
    image = keras.Input((9, 9, 1))
    network = keras.Model(image, padded_convolution(image, 1, 3, dilation_rate=2, name="conv"))
    x = np.zeros((1, 9, 9, 1), "float32")
    x[0, 4, 4] = 1
    rows, columns = np.nonzero(network(x).numpy()[0, ..., 0])
    assert set(rows) == set(columns) == {2, 4, 6}
