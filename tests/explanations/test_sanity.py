import keras
import numpy as np
import pytest

from kmed.applications.unet import unet
from kmed.explanations import randomized_similarity
from kmed.uncertainty import monte_carlo_dropout

from .conftest import linear_classifier, noise

layers = keras.layers


@pytest.fixture(scope="module")
def trained():
    """A network that learned, in a second, to tell bright spots from dark ones in noise."""
    keras.utils.set_random_seed(3)
    random = np.random.default_rng(0)
    x = random.normal(0, 0.3, (256, 16, 16, 1)).astype("float32")
    y = random.integers(0, 2, 256)
    for i, (row, column) in enumerate(random.integers(0, 13, (256, 2))):
        x[i, row : row + 3, column : column + 3] += 4 * y[i] - 2
    image = keras.Input((16, 16, 1), name="image")
    z = layers.Conv2D(8, 3, padding="same", name="conv1")(image)
    z = layers.ReLU()(layers.BatchNormalization(name="norm")(z))
    z = layers.Conv2D(8, 3, padding="same", activation="relu", name="conv2")(z)
    z = layers.Dense(2, name="logits")(layers.GlobalAveragePooling2D()(z))
    network = keras.Model(image, z)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(0.02), loss, metrics=["accuracy"])
    network.fit(x, y, epochs=5, batch_size=32, verbose=0)
    assert network.evaluate(x, y, verbose=0)[1] > 0.95
    return network, x[:24]


def test_random_weights_give_other_maps(trained):
    network, x = trained
    before = [w.copy() for w in network.get_weights()]
    curve = randomized_similarity(network, x)
    assert list(curve) == ["original", "logits", "conv2", "norm", "conv1"]
    assert curve["original"] == pytest.approx(1, abs=1e-6)
    assert abs(curve["conv1"]) < 0.5
    for a, b in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_seed_says_the_weights(trained):
    network, x = trained
    curve = randomized_similarity(network, x[:4], seed=1, steps=2)
    assert list(curve) == ["original", "logits", "conv1"]
    keras.utils.set_random_seed(99)
    assert randomized_similarity(network, x[:4], seed=1, steps=2) == curve
    assert randomized_similarity(network, x[:4], seed=2, steps=2) != curve
    assert list(randomized_similarity(network, x[:4], steps=1)) == ["original", "conv1"]


def test_segmenters_keep_their_pixels():
    network = unet(input_shape=(16, 16, 1), filters=(4, 8), dropout=0.2)
    for model in (network, monte_carlo_dropout(network, 2)):
        curve = randomized_similarity(model, noise(network, 4), steps=2)
        assert curve["original"] == pytest.approx(1, abs=1e-6)
        assert abs(curve["down0_conv1"]) < 0.9


def test_empty_maps_do_not_count():
    network = linear_classifier()
    kernel, bias = network.get_layer("logits").get_weights()
    network.get_layer("logits").set_weights([-np.abs(kernel), bias])
    with pytest.raises(ValueError, match="none of the `images`"):
        randomized_similarity(network, noise(network), class_index=0)
    with pytest.raises(ValueError, match="received 0"):
        randomized_similarity(network, noise(network), steps=0)
