import keras
import numpy as np
import pytest

from kmed.layers.instance_normalization import InstanceNormalization


@pytest.mark.parametrize("shape", [(2, 5, 6, 3), (2, 3, 4, 5, 2)])
def test_follows_the_definition(shape):
    x = np.random.default_rng(0).normal(5, 3, shape).astype("float32")
    expected = np.empty_like(x)
    for image in range(shape[0]):
        for channel in range(shape[-1]):
            values = x[image, ..., channel]
            expected[image, ..., channel] = (values - values.mean()) / np.sqrt(values.var() + 1e-5)
    layer = InstanceNormalization()
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)
    assert layer.weights == []


def test_is_keras_group_normalization_without_scale_and_shift():
    x = np.random.default_rng(0).normal(5, 3, (2, 6, 6, 4)).astype("float32")
    keras_own = keras.layers.GroupNormalization(groups=-1, epsilon=1e-5, scale=False, center=False)
    np.testing.assert_allclose(InstanceNormalization()(x), keras_own(x), atol=1e-5)


def test_statistics_are_float32_under_float16():
    x = np.random.default_rng(0).normal(1000, 300, (1, 16, 16, 2)).astype("float16")
    y = InstanceNormalization(dtype="mixed_float16")(x)
    assert y.dtype == "float16"
    np.testing.assert_allclose(y, InstanceNormalization()(x.astype("float32")), atol=2e-3)


def test_a_constant_image_gives_zeros():
    y = InstanceNormalization()(np.full((1, 4, 4, 1), 1e4, "float32"))
    np.testing.assert_array_equal(y, np.zeros((1, 4, 4, 1)))


def test_config_and_refusal():
    layer = InstanceNormalization(1e-3)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert isinstance(again, InstanceNormalization) and again.epsilon == 1e-3
    with pytest.raises(ValueError, match="received 0"):
        InstanceNormalization(0)


def test_a_constant_channel_becomes_exactly_zero():
    """Through several layers too: rounding must not grow into a pattern."""
    x = keras.ops.full((1, 24, 20, 3), 0.1)
    for seed in range(4):
        start = keras.initializers.RandomNormal(stddev=0.02, seed=seed)
        x = keras.layers.Conv2D(16, 3, kernel_initializer=start)(x)
        x = InstanceNormalization()(x)
        np.testing.assert_array_equal(x, 0)
