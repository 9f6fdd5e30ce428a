import keras
import numpy as np
import pytest

from kmed.layers.convolution import convolution, crop, pool, transposed_convolution


@pytest.mark.parametrize("shape", [(8, 6, 2), (4, 8, 6, 2)])
def test_rank_follows_the_tensor(shape):
    image = keras.Input(shape)
    spatial = shape[:-1]
    assert convolution(image, 5, 3, name="a").shape == (None, *spatial, 5)
    assert transposed_convolution(image, 5, name="b").shape == (None, *(2 * n for n in spatial), 5)
    assert pool(image, name="c").shape == (None, *(n // 2 for n in spatial), 2)
    assert crop(image, 1, name="d").shape == (None, *(n - 2 for n in spatial), 2)


def test_transposed_convolution_starts_with_the_variance_of_its_input():
    # Stride equals kernel, so each output is a sum over the channels of one input alone.
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 64))
    network = keras.Model(image, transposed_convolution(image, 64, name="up"))
    x = np.random.default_rng(0).normal(size=(4, 16, 16, 64)).astype("float32")
    assert 0.5 < np.var(network(x)) < 4
