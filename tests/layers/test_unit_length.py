import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.export import export_tflite, operators, run_tflite
from kmed.layers.unit_length import UnitLength


def vectors(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_direction_stays_and_length_is_1():
    x = 30 * vectors(5, 3, 7)
    expected = x.astype("float64") / np.linalg.norm(x.astype("float64"), axis=-1, keepdims=True)
    np.testing.assert_allclose(UnitLength()(x), expected, rtol=1e-6)


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-13])
def test_what_has_no_direction_gets_a_fixed_one_and_a_gradient_of_zero(scale):
    x = tf.Variable(np.stack([scale * vectors(4), vectors(4)]))
    with tf.GradientTape() as tape:
        y = UnitLength()(x)
        loss = tf.reduce_sum(y[:, 0])
    gradient = tape.gradient(loss, x).numpy()
    np.testing.assert_allclose(y[0], np.full(4, 0.5), rtol=1e-6)
    assert np.all(gradient[0] == 0) and np.any(gradient[1] != 0)


def test_the_gradient_is_that_of_the_definition():
    x = tf.Variable(vectors(3, 6))
    weights = np.random.default_rng(1).normal(size=(3, 6))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(UnitLength()(x) * tf.constant(weights, "float32"))
    # d(u . w) / dx = (w - u (u . w)) / |x|
    length = np.linalg.norm(x.numpy(), axis=-1, keepdims=True)
    unit = x.numpy() / length
    expected = (weights - unit * np.sum(unit * weights, axis=-1, keepdims=True)) / length
    np.testing.assert_allclose(tape.gradient(loss, x), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("policy", ["float16", "bfloat16", "mixed_float16"])
@pytest.mark.parametrize("value", [60000.0, 1e-7, 0.0])
def test_half_precision_neither_overflows_nor_vanishes(policy, value):
    half = policy.removeprefix("mixed_")
    x = tf.Variable(tf.fill((1, 16), tf.cast(value, half)))
    layer = UnitLength(dtype=policy)
    with tf.GradientTape() as tape:
        y = layer(x)
    assert y.dtype == half
    np.testing.assert_allclose(tf.cast(y, "float32"), np.full((1, 16), 0.25), rtol=1e-3)
    assert np.isfinite(tf.cast(tape.gradient(y, x), "float32")).all()


def test_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_float16")
    assert UnitLength()(np.ones((1, 4), "float16")).dtype == "float32"


def test_exports_with_built_in_operators(tmp_path):
    inputs = keras.Input((2, 1, 3), name="image")
    network = keras.Model(inputs, {"out": UnitLength()(inputs)})
    path = export_tflite(network, tmp_path / "m.tflite")
    # The fused operator would be turned into 8 bits in an int8 file.
    assert "L2_NORMALIZATION" not in operators(path)
    x = vectors(2, 1, 3)
    x[1] = 0
    np.testing.assert_allclose(run_tflite(path, x)["out"], network(x[None])["out"][0], rtol=1e-5)


def test_survives_its_configuration():
    config = keras.saving.serialize_keras_object(UnitLength(name="unit"))
    again = keras.saving.deserialize_keras_object(config)
    assert again.name == "unit" and again.compute_dtype == "float32"
