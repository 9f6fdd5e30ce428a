"""The losses and MeanDice inside `model.fit`, on one replica and on two."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed import losses


def batch(classes=3, shape=(2, 6, 5), seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, max(classes, 2), shape).astype("uint8")
    return labels, rng.normal(size=(*shape, classes)).astype("float32")


def test_fit_takes_the_weight_map_as_sample_weight():
    labels, images = batch(1, (4, 8, 8))
    weights = np.ones(labels.shape, "float32")
    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, keras.layers.Conv2D(2, 3, padding="same")(inputs))
    model.compile(
        "sgd",
        losses.BorderWeightedCrossEntropy(),
        metrics=[keras.metrics.SparseCategoricalAccuracy()],
        jit_compile=False,
    )
    plain = model.evaluate(images, labels, verbose=0)[0]
    doubled = model.evaluate(images, labels, sample_weight=2 * weights, verbose=0)[0]
    assert doubled == pytest.approx(2 * plain, rel=1e-5)
    model.fit(images, labels, sample_weight=weights, batch_size=2, verbose=0)


def two_replicas():
    """Runs in a process of its own, because logical devices can be set up only once."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    from kmed.metrics import MeanDice

    labels, images = batch(1, (8, 8, 8))
    labels[0] = 0

    def train(strategy):
        with strategy.scope():
            keras.utils.set_random_seed(3)
            inputs = keras.Input((8, 8, 1))
            model = keras.Model(inputs, keras.layers.Conv2D(3, 3, padding="same")(inputs))
            model.compile(
                keras.optimizers.SGD(0.5),
                losses.DiceCrossEntropy(),
                metrics=[MeanDice(3)],
                jit_compile=False,
            )
        history = model.fit(images, labels, batch_size=4, epochs=2, shuffle=False, verbose=0)
        return model.get_weights(), history.history

    one = train(tf.distribute.get_strategy())
    two = train(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
    for a, b in zip(one[0], two[0], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    for name in ("loss", "dice"):
        np.testing.assert_allclose(one[1][name], two[1][name], rtol=1e-5)


def test_two_replicas_train_and_report_as_one(run_isolated):
    run_isolated(two_replicas)
