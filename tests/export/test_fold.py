"""Folded networks give what the original gives, and only what may be folded is."""

import keras
import numpy as np
import pytest

from kmed.applications.unet import unet
from kmed.export import fold_batch_norm

from .conftest import trained

layers = keras.layers


def kinds(network):
    return [type(layer).__name__ for layer in network.layers]


def same(network, folded):
    shape = [1 if n is None else n for n in network.input_shape]
    x = np.random.default_rng(1).normal(size=(2, *shape[1:])).astype("float32")
    expected = network(x, training=False)
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(folded(x, training=False), expected, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (lambda b: layers.Conv1D(4, 3, use_bias=b), (9, 3)),
        (lambda b: layers.Conv2D(4, 3, strides=2, use_bias=b), (9, 9, 3)),
        (lambda b: layers.Conv2D(4, 3, groups=2, use_bias=b), (9, 9, 2)),
        (lambda b: layers.Conv3D(4, 3, padding="same", use_bias=b), (5, 6, 7, 3)),
        (lambda b: layers.Conv2DTranspose(4, 2, strides=2, use_bias=b), (5, 6, 3)),
        (lambda b: layers.Conv3DTranspose(4, 3, use_bias=b), (4, 5, 6, 3)),
        (lambda b: layers.Dense(4, use_bias=b), (7,)),
    ],
)
def test_each_layer_folds(layer, shape, use_bias):
    image = keras.Input(shape)
    x = layers.BatchNormalization(scale=use_bias, epsilon=1e-2)(layer(use_bias)(image))
    network = trained(keras.Model(image, x))
    folded = fold_batch_norm(network)
    assert "BatchNormalization" not in kinds(folded)
    assert "BatchNormalization" in kinds(network)
    same(network, folded)


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("residual", [False, True])
def test_unet_folds_whole(rank, residual):
    shape = (*[16] * rank, 1)
    network = trained(unet(input_shape=shape, filters=(4, 8), residual=residual))
    before = [w.copy() for w in network.get_weights()]
    folded = fold_batch_norm(network)
    assert "BatchNormalization" not in kinds(folded)
    assert folded.count_params() < network.count_params()
    same(network, folded)
    for one, other in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def behind_activation(x):
    return layers.BatchNormalization()(layers.Conv2D(4, 3, activation="relu")(x))


def used_twice(x):
    x = layers.Conv2D(4, 3)(x)
    return layers.Add()([x, layers.BatchNormalization()(x)])


def shared_convolution(x):
    conv = layers.Conv2D(3, 3, padding="same")
    return layers.BatchNormalization()(conv(conv(x)))


def shared_normalisation(x):
    norm = layers.BatchNormalization()
    return norm(layers.Conv2D(3, 3)(norm(layers.Conv2D(3, 3)(x))))


def also_an_output(x):
    x = layers.Conv2D(4, 3)(x)
    return [x, layers.BatchNormalization()(x)]


def another_axis(x):
    return layers.BatchNormalization(axis=1)(layers.Conv2D(4, 3)(x))


def before_convolution(x):
    return layers.Conv2D(4, 3)(layers.BatchNormalization()(x))


def behind_depthwise(x):
    return layers.BatchNormalization()(layers.DepthwiseConv2D(3)(x))


@pytest.mark.parametrize(
    "body",
    [
        behind_activation,
        used_twice,
        shared_convolution,
        shared_normalisation,
        also_an_output,
        another_axis,
        before_convolution,
        behind_depthwise,
    ],
)
def test_what_must_not_fold_stays(body):
    image = keras.Input((9, 9, 3))
    network = trained(keras.Model(image, body(image)))
    folded = fold_batch_norm(network)
    assert kinds(folded) == kinds(network)
    x = np.random.default_rng(1).normal(size=(2, 9, 9, 3)).astype("float32")
    for one, other in zip(
        keras.tree.flatten(network(x)), keras.tree.flatten(folded(x)), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-6)
