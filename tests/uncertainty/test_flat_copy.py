import keras
import numpy as np
import pytest

from kmed.uncertainty import ensemble
from kmed.uncertainty.flat_copy import copy_onto, image_of, inner_name, lay_open

from .conftest import classifier, filled, images, softmax

layers = keras.layers


def nested(seed=0):
    x = keras.Input((8, 8, 2), name="patch")
    inner = keras.Model(x, layers.ReLU()(layers.Conv2D(3, 3, name="conv")(x)), name="inner")
    sequential = keras.Sequential(
        [keras.Input((6, 6, 3)), layers.Conv2D(4, 3, name="conv")], name="sequential"
    )
    y = keras.Input((8, 8, 2), name="y")
    middle = keras.Model(y, sequential(inner(y)), name="middle")
    image = keras.Input((8, 8, 2), name="image")
    z = layers.Dense(3, name="logits")(layers.Flatten()(middle(image)))
    network = keras.Model(image, z, name="outer")
    return filled(network, seed)


def test_nested_models_are_laid_open():
    network, x = nested(), images(nested())
    flat = lay_open(network)
    assert not any(isinstance(layer, keras.Model) for layer in flat.layers)
    names = [layer.name for layer in flat.layers]
    assert "middle_inner_conv" in names and "middle_sequential_conv" in names
    np.testing.assert_allclose(flat(x), network(x), atol=1e-5)
    assert lay_open(flat) is flat


def test_a_nested_model_that_is_shared():
    x = keras.Input((4,))
    inner = keras.Model(x, layers.Dense(4)(x), name="inner")
    image = keras.Input((4,), name="image")
    network = filled(keras.Model(image, layers.Add()([inner(image), inner(inner(image))])))
    rows = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    flat = lay_open(network)
    assert flat.count_params() == network.count_params()
    np.testing.assert_allclose(flat(rows), network(rows), atol=1e-5)


def test_bare_operations_and_names_of_two_copies():
    one, two = classifier(seed=0), classifier(seed=1)
    x = images(one)
    joined = ensemble([one, two])
    expected = (softmax(one(x)) + softmax(two(x))) / 2
    np.testing.assert_allclose(softmax(joined(x)), expected, atol=1e-6)


def test_the_copy_is_a_copy():
    network = classifier()
    image = image_of(network)
    copy = keras.Model(image, copy_onto(image, network))
    x = images(network)
    before = np.asarray(network(x))
    copy.set_weights([0 * w for w in copy.get_weights()])
    np.testing.assert_array_equal(network(x), before)


def test_names_make_room():
    assert [inner_name(n) for n in ("logits", "logits_each", "conv", "unmirror")] == [
        "logits_each", "logits_each_each", "conv", "unmirror_each"
    ]  # fmt: skip


def test_refused():
    with pytest.raises(ValueError, match="functional"):
        image_of("network")
    a, b = keras.Input((2,)), keras.Input((2,))
    with pytest.raises(ValueError, match="2 inputs"):
        image_of(keras.Model([a, b], layers.Add()([a, b])))
    network = keras.Model(a, {"P1": layers.Dense(2)(a), "P2": layers.Dense(3)(a)}, name="pyramid")
    with pytest.raises(ValueError, match='"pyramid" gives'):
        copy_onto(image_of(network), network)
