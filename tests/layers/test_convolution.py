import keras
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
