import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.export import export_tflite, operators, run_tflite
from kmed.layers.scaled_l2_normalization import ScaledL2Normalization


def image(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_every_pixel_gets_length_20():
    layer = ScaledL2Normalization()
    y = np.array(layer(7 * image(2, 3, 4, 5)))
    np.testing.assert_allclose(np.linalg.norm(y, axis=-1), np.full((2, 3, 4), 20), rtol=1e-5)
    assert layer.count_params() == 5 and len(layer.trainable_weights) == 1


def test_each_channel_has_its_own_scale():
    layer = ScaledL2Normalization(1.0)
    layer.build((None, 2, 2, 2))
    layer.scale.assign([1.0, 10.0])
    np.testing.assert_allclose(layer(np.array([[[[3.0, 4.0]]]]))[0, 0, 0], [0.6, 8.0], rtol=1e-6)


def test_a_pixel_of_zeros_has_a_finite_gradient():
    layer, x = ScaledL2Normalization(), tf.Variable(tf.zeros((1, 2, 2, 3)))
    with tf.GradientTape() as tape:
        y = tf.reduce_sum(layer(x))
    assert not np.any(layer(x)) and np.isfinite(tape.gradient(y, x)).all()


def test_half_precision_does_not_overflow():
    y = ScaledL2Normalization(dtype="mixed_float16")(np.full((1, 1, 1, 4), 3000.0, "float16"))
    assert y.dtype == "float16"
    np.testing.assert_allclose(y, np.full((1, 1, 1, 4), 10.0), rtol=1e-3)


def test_exports_with_built_in_operators(tmp_path):
    inputs = keras.Input((4, 5, 3), name="image")
    network = keras.Model(inputs, {"out": ScaledL2Normalization()(inputs)})
    path = export_tflite(network, tmp_path / "m.tflite")
    assert not [name for name in operators(path) if name.startswith(("Flex", "custom:"))]
    x = image(4, 5, 3)
    expected = network(x[None])["out"][0]
    np.testing.assert_allclose(run_tflite(path, x)["out"], expected, rtol=1e-5)


def test_survives_its_configuration():
    layer = ScaledL2Normalization(3.0)
    config = keras.saving.serialize_keras_object(layer)
    assert keras.saving.deserialize_keras_object(config).get_config() == layer.get_config()


def test_refuses_no_scale():
    with pytest.raises(ValueError, match="`scale` must be above 0; received 0"):
        ScaledL2Normalization(0)
