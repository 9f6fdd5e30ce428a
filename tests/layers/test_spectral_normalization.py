import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.layers.spectral_normalization import SpectralNormalization, spectrally_normalized


def converged(layer, x):
    for _ in range(50):
        layer(x, training=True)
    return layer


@pytest.mark.parametrize(
    ("plain", "shape"),
    [
        (keras.layers.Dense(4), (2, 6)),
        (keras.layers.Conv2D(4, 3, strides=2, padding="same"), (2, 6, 6, 2)),
        (keras.layers.Conv3D(4, 2), (2, 4, 4, 4, 2)),
    ],
)
def test_applies_the_kernel_divided_by_its_largest_singular_value(plain, shape):
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    layer = SpectralNormalization(plain, power_iterations=3)
    layer(x)
    plain.bias.assign([1.0, 2.0, 3.0, 4.0])
    before = plain.kernel.numpy()
    converged(layer, x)
    np.testing.assert_array_equal(plain.kernel, before)  # the optimizer's, untouched
    largest = np.linalg.svd(before.reshape(-1, 4))[1][0]
    expected = (np.array(plain(x)) - [1, 2, 3, 4]) / largest + [1, 2, 3, 4]
    for training in (True, False):
        np.testing.assert_allclose(layer(x, training=training), expected, atol=1e-4)


def test_the_gradient_is_the_papers():
    # Miyato et al. 2018, equation 12: (dL/dW~ - <dL/dW~, W~> u v^T) / sigma.
    x = np.random.default_rng(0).normal(size=(5, 6)).astype("float32")
    layer = SpectralNormalization(keras.layers.Dense(4, use_bias=False))
    converged(layer, x)
    kernel = layer.layer.kernel.numpy()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x, training=True) ** 2)
    found = tape.gradient(loss, layer.layer.kernel.value)
    left, values, right = np.linalg.svd(kernel)
    normed = kernel / values[0]
    inner = 2 * x.T @ (x @ normed)
    expected = (inner - (inner * normed).sum() * np.outer(left[:, 0], right[0])) / values[0]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_only_training_moves_the_power_iteration():
    layer = spectrally_normalized(keras.layers.Dense(4, name="last"))
    x = np.ones((1, 6), "float32")
    layer(x)
    before = layer.vector_u.numpy()
    layer(x, training=False)
    np.testing.assert_array_equal(layer.vector_u, before)
    layer(x, training=True)
    assert np.abs(layer.vector_u - before).max() > 0.01
    assert layer.name == "last" and len(layer.trainable_weights) == 2


def test_half_precision_leaves_the_kernel_in_float32():
    layer = spectrally_normalized(keras.layers.Dense(4, dtype="mixed_float16"))
    x = np.random.default_rng(0).normal(size=(2, 6)).astype("float32")
    assert layer(x).dtype == "float16"
    before = layer.layer.kernel.numpy()
    assert np.isfinite(converged(layer, x)(x)).all()
    np.testing.assert_array_equal(layer.layer.kernel, before)
    assert np.abs(before - before.astype("float16")).max() > 0


def test_zero_kernel_config_and_refusal():
    zeros = SpectralNormalization(keras.layers.Dense(2, kernel_initializer="zeros"))
    np.testing.assert_array_equal(zeros(np.ones((1, 3), "float32"), training=True), [[0, 0]])
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(zeros))
    assert type(again) is SpectralNormalization
    for layer in (keras.layers.Dense(2, activation="relu"), keras.layers.Conv2DTranspose(2, 2)):
        with pytest.raises(ValueError, match="without activation; received"):
            SpectralNormalization(layer)(np.ones((1, 4, 4, 2), "float32"))
