import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.trainers.generator_average import GeneratorAverage


def generator():
    layers = keras.layers
    latent = keras.Input((3,))
    x = layers.BatchNormalization(momentum=0.5)(layers.Dense(4)(latent))
    return keras.Model(latent, layers.Dropout(0.5)(x))


def test_moves_as_the_formula_says():
    network = generator()
    average = GeneratorAverage(network, 0.4)
    expected = [weight.copy() for weight in network.get_weights()]
    random = np.random.default_rng(0)
    for step, decay in ((1, 2 / 11), (2, 3 / 12), (3, 4 / 13), (50, 0.4)):
        network.set_weights([random.normal(size=w.shape) for w in network.get_weights()])
        weights = network.get_weights()
        pairs = zip(expected, weights, strict=True)
        expected = [decay * old + (1 - decay) * new for old, new in pairs]
        average.update(network, step)
        for a, b in zip(average.network.get_weights(), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_is_a_copy_that_nothing_trains():
    network = generator()
    average = GeneratorAverage(network)
    for a, b in zip(average.network.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert average.trainable_variables == [] and len(network.trainable_variables) == 4
    assert len(average.weights) == len(network.weights)  # what a checkpoint has
    x = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    before = average.network.get_weights()
    # Neither dropout nor the batch's statistics, whatever the caller asks for.
    np.testing.assert_array_equal(average(x, training=True), network(x, training=False))
    for a, b in zip(average.network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_runs_in_a_compiled_step_and_is_saved(tmp_path):
    network = generator()
    average = GeneratorAverage(network, 0.9)
    network.set_weights([np.ones_like(w) for w in network.get_weights()])
    tf.function(lambda step: average.update(network, step))(tf.constant(1, "int64"))
    kernel = average.network.get_weights()[0]
    assert not np.array_equal(kernel, network.get_weights()[0])
    again = GeneratorAverage.from_config(average.get_config())
    assert again.decay == 0.9
    latent = keras.Input((3,))
    keras.Model(latent, average(latent)).save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.get_weights()[0], kernel)


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_refuses_a_decay_outside_of_its_range(decay):
    with pytest.raises(ValueError, match="`decay` must be in"):
        GeneratorAverage(generator(), decay)
