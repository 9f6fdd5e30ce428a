import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.applications.segnet import segnet_basic
from kmed.applications.unet import unet
from kmed.explanations.feature_maps import named, place, recorded

from .conftest import noise

layers = keras.layers


def maps_of(network, x):
    x = tf.constant(x)
    with recorded(network, x) as maps:
        network(x, training=False)
    return maps


def test_linear_resize_where_the_cells_fill_the_image():
    small = np.random.default_rng(0).normal(size=(2, 4, 6)).astype("float32")
    expected = tf.image.resize(small[..., None], (16, 18)).numpy()[..., 0]
    np.testing.assert_allclose(place(small, (4, 3), (16, 18)), expected, atol=1e-6)
    volume = np.random.default_rng(0).normal(size=(1, 2, 4, 6)).astype("float32")
    placed = place(volume, (2, 4, 3), (4, 16, 18))
    depth = volume[:, [0, 0, 1, 1]] * np.reshape([1, 0.75, 0.75, 1], (4, 1, 1))
    depth[:, [1, 2]] += 0.25 * volume[:, [1, 0]]
    planes = [tf.image.resize(d[..., None], (16, 18)).numpy()[..., 0] for d in depth[0]]
    np.testing.assert_allclose(placed[0], planes, atol=1e-6)


def test_cells_of_valid_convolutions_stay_where_they_are():
    # 21 pixels, a 5x5 and a 3x3 kernel of one weight in the middle, one pooling of 3.
    image = keras.Input((21, 27, 1), name="image")
    x = layers.Conv2D(1, 5, name="conv1")(image)
    x = layers.Conv2D(1, 3, name="conv2")(x)  # 15 x 21
    x = layers.MaxPooling2D(3, name="pool")(x)  # 5 x 7
    network = keras.Model(image, x)
    kernels = [np.zeros((n, n, 1, 1)) for n in (5, 3)]
    for kernel in kernels:
        kernel[len(kernel) // 2, len(kernel) // 2] = 1
    network.set_weights([kernels[0], np.zeros(1), kernels[1], np.zeros(1)])
    picture = np.zeros((1, 21, 27, 1), "float32")
    picture[0, 7, 19] = 1  # the middle of a cell: 3 + 3 * 1 + 1, 3 + 3 * 5 + 1
    for found in maps_of(network, picture):
        heat = place(found.tensor[..., 0].numpy(), found.strides, (21, 27))[0]
        assert np.unravel_index(heat.argmax(), heat.shape) == (7, 19)
        assert found.strides == ((3, 3) if found.name == "pool" else (1, 1))


def test_strides_through_a_unet():
    network = unet(input_shape=(44, 44, 1), filters=(2, 3, 4), padding="valid")
    strides = {m.name: m.strides for m in maps_of(network, noise(network))}
    assert strides["down0_relu2"] == strides["up0_relu2"] == strides["logits"] == (1, 1)
    assert strides["up0_crop"] == strides["up0_concat"] == (1, 1)
    assert strides["down2_relu2"] == (4, 4) and strides["up1_relu1"] == (2, 2)


def test_strides_of_other_layers():
    image = keras.Input((16, 12, 1), name="image")
    x = layers.ZeroPadding2D(2, name="padded")(image)
    x = layers.AveragePooling2D((2, 4), name="pooled")(x)  # 10 x 4
    y = layers.UpSampling2D(2, name="up")(x)
    z = layers.Reshape((4, 3, 1), name="new")(layers.Dense(12)(layers.Flatten()(y)))
    strides = {
        m.name: m.strides for m in maps_of(keras.Model(image, z), noise(keras.Model(image, z)))
    }
    assert strides["padded"] == (1, 1) and strides["pooled"] == (2, 4)
    assert strides["up"] == (1, 2) and strides["new"] == (4, 4)


def test_a_layer_that_runs_twice_counts_the_last_time():
    conv = layers.Conv2D(2, 3, padding="same", name="shared")
    image = keras.Input((8, 8, 2), name="image")
    network = keras.Model(image, conv(conv(image)))
    maps = maps_of(network, noise(network))
    assert [m.name for m in maps] == ["shared", "shared"]
    assert named(maps, "shared", 2).tensor is maps[1].tensor


def test_watching_ends_with_an_error():
    network = unet(input_shape=(16, 16, 1), filters=(2, 3))
    with pytest.raises(RuntimeError), recorded(network, tf.zeros((1, 16, 16, 1))):
        raise RuntimeError
    assert not any("call" in vars(layer) for layer in network.layers)


def test_layers_of_several_outputs():
    network = segnet_basic(input_shape=(16, 16, 1), classes=2)
    maps = maps_of(network, noise(network, 1))
    smallest = min(maps, key=lambda m: m.tensor.shape[1])
    assert smallest.tensor.shape[1:3] == (1, 1) and smallest.strides == (16, 16)
    assert maps[-1].name == "logits" and maps[-1].strides == (1, 1)
