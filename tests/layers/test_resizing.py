"""Resizing layers against Pillow's and TensorFlow's own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.layers.resizing import ResizeLike, ResizeTo


def volume(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def dynamic(layer, *images):
    """Call a layer through a functional model traced without any spatial size."""
    inputs = [keras.Input((*[None] * (i.ndim - 2), i.shape[-1])) for i in images]
    model = keras.Model(inputs, layer(inputs if len(inputs) > 1 else inputs[0]))
    assert model.compute_output_shape([i.shape for i in images])[1:-1] is not None
    signature = [tf.TensorSpec((None, *[None] * (i.ndim - 2), i.shape[-1])) for i in images]
    return tf.function(lambda *x: model(list(x)), input_signature=signature)(*images).numpy()


@pytest.mark.parametrize("size", [(20, 30), (64, 70), (37, 11), (37, 53)])
@pytest.mark.parametrize("channels", [1, 3])
def test_resize_to_is_tensorflows_resize(size, channels):
    x = volume(2, 37, 53, channels)
    for antialias in (True, False):
        expected = tf.image.resize(x, size, antialias=antialias).numpy()
        layer = ResizeTo(size, antialias=antialias)
        np.testing.assert_allclose(layer(x), expected, atol=3e-5)
        np.testing.assert_allclose(dynamic(layer, x), expected, atol=3e-5)
    expected = tf.image.resize(x, size, method="nearest").numpy()
    np.testing.assert_array_equal(dynamic(ResizeTo(size, "nearest"), x), expected)


def test_resize_to_is_pillows_bilinear():
    image = pytest.importorskip("PIL.Image")
    x = volume(41, 77)
    expected = np.asarray(image.fromarray(x).resize((19, 90), image.Resampling.BILINEAR))
    result = ResizeTo((90, 19))(x[None, ..., None])[0, ..., 0]
    np.testing.assert_allclose(result, expected, atol=3e-5)


def test_resize_of_a_constant_volume_is_constant():
    x = np.full((1, 7, 20, 13, 2), 3.25, "float32")
    np.testing.assert_allclose(ResizeTo((16, 8, 16))(x), np.full((1, 16, 8, 16, 2), 3.25), 1e-6)


def test_resize_like_is_tensorflows_bilinear():
    x, reference = volume(2, 16, 24, 3), np.zeros((2, 37, 11, 1), "float32")
    expected = tf.image.resize(x, (37, 11)).numpy()
    np.testing.assert_allclose(ResizeLike()([x, reference]), expected, atol=3e-5)
    np.testing.assert_allclose(dynamic(ResizeLike(), x, reference), expected, atol=3e-5)


def test_resize_like_interpolates_volumes_along_each_axis():
    # A function linear in d, h and w is kept by trilinear interpolation away from the border.
    d, h, w = np.meshgrid(*(np.arange(n) + 0.5 for n in (4, 6, 8)), indexing="ij")
    x = (d + 10 * h + 100 * w)[None, ..., None].astype("float32")
    reference = np.zeros((1, 8, 12, 16, 1), "float32")
    result = dynamic(ResizeLike(), x, reference)[0, ..., 0]
    d, h, w = np.meshgrid(*((np.arange(n) + 0.5) / 2 for n in (8, 12, 16)), indexing="ij")
    inner = (slice(1, -1),) * 3
    np.testing.assert_allclose(result[inner], (d + 10 * h + 100 * w)[inner], rtol=1e-5)


def test_layers_survive_their_configuration():
    for layer in (ResizeTo((4, 5), "nearest", antialias=False), ResizeLike()):
        config = keras.saving.serialize_keras_object(layer)
        again = keras.saving.deserialize_keras_object(config)
        assert again.get_config() == layer.get_config()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ResizeTo((4, 4), "cubic"), "interpolation.*cubic"),
        (lambda: ResizeTo((4,)), "two or three"),
        (lambda: ResizeTo((4, 4))(np.zeros((1, 4, 4, 4, 1))), "2 spatial axes"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
