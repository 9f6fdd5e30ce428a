import keras
import numpy as np
import pytest

from kmed.layers.normalization import normalize


def model(kind):
    image = keras.Input((4, 4, 3))
    return keras.Model(image, normalize(image, kind, name="norm"))


def test_batch_follows_the_definition():
    x = np.random.default_rng(0).normal(2, 3, (2, 4, 4, 3)).astype("float32")
    expected = (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5)
    network = model("batch")
    np.testing.assert_allclose(network(x, training=True), expected, atol=1e-5)
    moving = network.get_layer("norm").moving_mean
    np.testing.assert_allclose(moving, 0.1 * x.mean((0, 1, 2)), rtol=1e-5)  # momentum 0.9


def test_instance_follows_the_definition():
    x = np.random.default_rng(0).normal(2, 3, (2, 4, 4, 3)).astype("float32")
    mean, variance = x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True)
    np.testing.assert_allclose(
        model("instance")(x), (x - mean) / np.sqrt(variance + 1e-5), atol=1e-5
    )


def test_none_changes_nothing():
    assert len(model(None).layers) == 1


def test_refuses_an_unknown_kind():
    with pytest.raises(ValueError, match="received 'group'"):
        model("group")


def test_instance_without_scale_and_shift_as_torch():
    image = keras.Input((4, 4, 3))
    network = keras.Model(image, normalize(image, "instance", name="norm", affine=False))
    x = np.random.default_rng(0).normal(2, 3, (2, 4, 4, 3)).astype("float32")
    assert network.weights == []
    np.testing.assert_allclose(network(x), model("instance")(x), atol=1e-5)


@pytest.mark.parametrize("kind", ["batch", "instance"])
def test_scale_starts_as_told(kind):
    image = keras.Input((4, 4, 3))
    network = keras.Model(image, normalize(image, kind, name="norm", gamma_initializer="zeros"))
    np.testing.assert_array_equal(network.get_layer("norm").gamma, np.zeros(3))
