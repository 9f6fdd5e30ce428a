"""Bilinear transposed convolution against tf.image.resize and kernels worked by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.export import export_tflite, operators, run_tflite
from kmed.layers.bilinear import BilinearConv2DTranspose, BilinearKernel


def image(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def model(factor, size=(None, None), channels=3, **options):
    x = keras.Input((*size, channels), name="image")
    return keras.Model(x, {"out": BilinearConv2DTranspose(channels, factor, **options)(x)})


def test_kernel_is_the_triangle_for_each_channel_alone():
    kernel = np.array(BilinearKernel()((4, 4, 2, 2)))
    line = np.array([1, 3, 3, 1]) / 4
    np.testing.assert_array_equal(kernel[..., 0, 0], np.outer(line, line))
    np.testing.assert_array_equal(kernel[..., 1, 1], np.outer(line, line))
    assert not kernel[..., 0, 1].any() and not kernel[..., 1, 0].any()
    # An odd length has its peak in the middle, as in the reference code.
    np.testing.assert_allclose(np.array(BilinearKernel()((3, 1, 1, 1))).ravel(), [0.5, 1, 0.5])


@pytest.mark.parametrize("factor", [2, 4, 8, 32])
def test_starts_as_tensorflows_bilinear_resize(factor):
    x = image(2, 5, 7, 3)
    expected = tf.image.resize(x, (5 * factor, 7 * factor))
    np.testing.assert_allclose(model(factor, (5, 7))(x)["out"], expected, atol=2e-6)
    traced = tf.function(model(factor), input_signature=[tf.TensorSpec((None, None, None, 3))])
    np.testing.assert_allclose(traced(x)["out"], expected, atol=2e-6)


def test_one_pixel_is_a_constant_image():
    x = np.full((1, 1, 1, 1), 3.0, "float32")
    np.testing.assert_allclose(BilinearConv2DTranspose(1, 8)(x), np.full((1, 8, 8, 1), 3.0), 1e-6)


@pytest.mark.parametrize("trained", [True, False])
def test_kernel_is_trained_or_kept(trained):
    x = keras.Input((4, 4, 2))
    layer = BilinearConv2DTranspose(2, 2, trainable=trained)
    network = keras.Model(x, layer(keras.layers.Conv2D(2, 1)(x)))
    assert layer.count_params() == 4 * 4 * 2 * 2
    network.compile("sgd", "mse", jit_compile=False)
    before = keras.ops.convert_to_numpy(layer.kernel)
    network.train_on_batch(image(1, 4, 4, 2), np.ones((1, 8, 8, 2), "float32"))
    assert np.array_equal(before, keras.ops.convert_to_numpy(layer.kernel)) is not trained


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_stays_near(policy):
    x = image(1, 5, 7, 3)
    keras.config.set_dtype_policy(policy)
    result = BilinearConv2DTranspose(3, 4)(x)
    assert result.dtype == policy.removeprefix("mixed_")
    np.testing.assert_allclose(tf.cast(result, "float32"), tf.image.resize(x, (20, 28)), atol=0.02)


def test_xla_gives_the_same():
    network, x = model(4, (5, 7)), image(1, 5, 7, 3)
    compiled = tf.function(network, jit_compile=True)(x)
    np.testing.assert_allclose(compiled["out"], network(x)["out"], atol=1e-6)


def test_tflite_has_it_built_in(tmp_path):
    network, x = model(8, (5, 7)), image(1, 5, 7, 3)
    path = export_tflite(network, tmp_path / "m.tflite")
    assert "TRANSPOSE_CONV" in operators(path)
    assert not [name for name in operators(path) if name.startswith(("Flex", "custom:"))]
    np.testing.assert_allclose(run_tflite(path, x[0])["out"], network(x)["out"][0], atol=1e-6)


def test_survives_saving(tmp_path):
    network, x = model(4, trainable=False), image(1, 5, 7, 3)
    network.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert not again.trainable_weights
    np.testing.assert_array_equal(again(x)["out"], network(x)["out"])


@pytest.mark.parametrize("factor", [0, 1, 3])
def test_an_odd_factor_is_named(factor):
    with pytest.raises(ValueError, match=f"even number.*received {factor}"):
        BilinearConv2DTranspose(1, factor)
