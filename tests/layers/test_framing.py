"""Padding and cropping layers against numpy's own padding and the paper's sizes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.layers.framing import CropLike, MirrorTile, PadToMultiple


def volume(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def dynamic(layer, *images):
    """Call a layer through a functional model traced without any spatial size."""
    inputs = [keras.Input((*[None] * (i.ndim - 2), i.shape[-1])) for i in images]
    model = keras.Model(inputs, layer(inputs if len(inputs) > 1 else inputs[0]))
    assert model.compute_output_shape([i.shape for i in images])[1:-1] is not None
    signature = [tf.TensorSpec((None, *[None] * (i.ndim - 2), i.shape[-1])) for i in images]
    return tf.function(lambda *x: model(list(x)), input_signature=signature)(*images).numpy()


@pytest.mark.parametrize("mode", ["edge", "reflect", "constant"])
@pytest.mark.parametrize("shape", [(2, 13, 22, 3), (1, 5, 13, 16, 2)])
def test_pad_to_multiple_is_numpys_pad_and_crop_like_undoes_it(mode, shape):
    x = volume(*shape)
    margins = [-n % 8 for n in shape[1:-1]]
    width = [(0, 0), *((m // 2, m - m // 2) for m in margins), (0, 0)]
    padded = dynamic(PadToMultiple(8, mode), x)
    np.testing.assert_array_equal(padded, np.pad(x, width, mode=mode))
    np.testing.assert_array_equal(PadToMultiple(8, mode)(x), padded)
    np.testing.assert_array_equal(dynamic(CropLike(), padded, x), x)


@pytest.mark.parametrize("height", [1, 2, 9, 388, 389])
def test_mirror_tile_is_numpys_reflect(height):
    x = volume(1, height, 20, 1)
    tiled = dynamic(MirrorTile(5), x)
    # The paper's sizes: 572 gives 388, and 16 more give 16 more.
    wanted = {1: 188, 2: 188, 9: 204, 388: 572, 389: 588}[height]
    assert tiled.shape == (1, wanted, 204, 1)
    width = [(0, 0), *(((t - n) // 2, (t - n + 1) // 2) for t, n in ((wanted, height), (204, 20)))]
    np.testing.assert_array_equal(tiled, np.pad(x, [*width, (0, 0)], mode="reflect"))


@pytest.mark.parametrize("levels", [1, 2, 3, 5])
def test_mirror_tile_fits_the_valid_networks_arithmetic(levels):
    def through(size):  # convolve twice and halve, down; double and convolve twice, up
        for _ in range(levels - 1):
            assert (size - 4) % 2 == 0
            size = (size - 4) // 2
        size -= 4
        for _ in range(levels - 1):
            size = 2 * size - 4
        return size

    layer = MirrorTile(levels)
    for size in range(1, 60):
        tiled = layer.compute_output_shape((1, size, size, 1))[1]
        assert size <= through(tiled) < size + 2 ** (levels - 1)
        assert tiled - through(tiled) == layer.margin


def test_layers_survive_their_configuration():
    layers = [
        PadToMultiple(4, "reflect"),
        MirrorTile(3, 1),
        CropLike(),
    ]
    for layer in layers:
        config = keras.saving.serialize_keras_object(layer)
        again = keras.saving.deserialize_keras_object(config)
        assert again.get_config() == layer.get_config()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PadToMultiple(0), "at least 1; received 0"),
        (lambda: PadToMultiple(4, "wrap"), "received 'wrap'"),
        (lambda: MirrorTile(0), "at least 1"),
        (lambda: CropLike()([np.zeros((1, 4, 4, 1)), np.zeros((1, 5, 4, 1))]), "at least as large"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
