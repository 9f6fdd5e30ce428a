"""Pooling with argmax and unpooling, against TensorFlow's max_pool_with_argmax and scattering."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.export import export_tflite, operators, run_tflite
from kmed.layers.unpooling import MaxPoolingWithArgmax2D, MaxUnpooling2D

SIZES = [(8, 6), (7, 6), (5, 9), (1, 1), (1, 4)]


def image(*shape, ties=True, seed=0):
    x = np.random.default_rng(seed).normal(size=shape)
    # Few different values, and zeros as after a ReLU, so that most windows have equal maxima.
    return np.maximum(np.round(x) if ties else x, 0).astype("float32")


def pooled(x):
    """TensorFlow's maxima and their places in each flattened image."""
    return tf.nn.max_pool_with_argmax(x, 2, 2, "SAME")


def scattered(values, places, shape):
    result = np.zeros((shape[0], np.prod(shape[1:])), "float32")
    for row, place, value in zip(result, np.array(places), np.array(values), strict=True):
        row[place.ravel()] = value.ravel()
    return result.reshape(shape)


def model(*size, channels=3):
    x = keras.Input((*size, channels), name="image")
    values, mask = MaxPoolingWithArgmax2D()(x)
    return keras.Model(
        x, {"pooled": values, "mask": mask, "out": MaxUnpooling2D()([2 * values + 1, mask])}
    )


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("known", [True, False])
def test_is_tensorflows_argmax_and_scattering(size, known, ties):
    x = image(2, *size, 3, ties=ties)
    values, places = pooled(x)
    network = model(*(size if known else (None, None)))
    outputs = tf.function(
        network, input_signature=[tf.TensorSpec((None, *network.input_shape[1:]))]
    )(x)
    np.testing.assert_array_equal(outputs["pooled"], values)
    np.testing.assert_array_equal(
        outputs["mask"], scattered(np.ones_like(values), places, x.shape) == 1
    )
    np.testing.assert_array_equal(outputs["out"], scattered(2 * values + 1, places, x.shape))


@pytest.mark.parametrize("size", SIZES)
def test_gradients_go_to_the_first_maximum_alone(size):
    x = image(2, *size, 3)
    values, places = pooled(x)
    weights = np.random.default_rng(1).normal(size=values.shape).astype("float32")
    tensor = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        total = tf.reduce_sum(MaxPoolingWithArgmax2D()(tensor)[0] * weights)
    np.testing.assert_array_equal(tape.gradient(total, tensor), scattered(weights, places, x.shape))

    _, mask = MaxPoolingWithArgmax2D()(tensor)
    weights = np.random.default_rng(2).normal(size=x.shape).astype("float32")
    with tf.GradientTape() as tape:
        tape.watch(values)
        total = tf.reduce_sum(MaxUnpooling2D()([values, mask]) * weights)
    gathered = np.array([w.ravel()[p] for w, p in zip(weights, np.array(places), strict=True)])
    np.testing.assert_allclose(tape.gradient(total, values), gathered, rtol=1e-6)


@pytest.mark.parametrize("size", [(8, 6), (5, 9)])
def test_xla_gives_the_same_with_its_gradient(size):
    network = model(*size)

    def value_and_gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = network(x)
            total = tf.reduce_sum(outputs["out"] ** 2) + tf.reduce_sum(outputs["pooled"])
        return outputs, tape.gradient(total, x)

    x = tf.constant(image(2, *size, 3))
    eager, compiled = value_and_gradient(x), tf.function(value_and_gradient, jit_compile=True)(x)
    for first, second in zip(tf.nest.flatten(eager), tf.nest.flatten(compiled), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_is_exact_where_its_values_tie(policy):
    # 1 and 1.0001 are one value in half precision, so that the first of them is the maximum.
    x = np.array([[1.0, 1.0001], [0.5, 1.0001]], "float32").reshape(1, 2, 2, 1)
    keras.config.set_dtype_policy(policy)
    values, mask = MaxPoolingWithArgmax2D()(x)
    result = MaxUnpooling2D()([values, mask])
    assert values.dtype == result.dtype == policy.removeprefix("mixed_")
    np.testing.assert_array_equal(tf.cast(result[0, ..., 0], "float32"), [[1, 0], [0, 0]])


@pytest.mark.parametrize("size", [(8, 6), (7, 6), (5, 9)])
def test_tflite_has_it_built_in(size, tmp_path):
    network = model(*size)
    network = keras.Model(network.input, {"out": network.output["out"]})
    path = export_tflite(network, tmp_path / "m.tflite")
    assert not [name for name in operators(path) if name.startswith(("Flex", "custom:"))]
    x = image(1, *size, 3)
    np.testing.assert_array_equal(run_tflite(path, x[0])["out"], network(x)["out"][0])


def test_layers_survive_saving(tmp_path):
    network = model(5, 6)
    network.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    x = image(1, 5, 6, 3)
    np.testing.assert_array_equal(again(x)["out"], network(x)["out"])


@pytest.mark.parametrize("shape", [(1, 2, 2, 3), (1, 3, 3, 4), (1, 3, 3)])
def test_a_tensor_and_a_mask_that_do_not_fit_are_named(shape):
    with pytest.raises(ValueError, match=r"half as large as its mask.*\(1, 5, 6, 3\)"):
        MaxUnpooling2D()([np.zeros(shape, "float32"), np.zeros((1, 5, 6, 3), bool)])
