import keras
import numpy as np
import pytest

from kmed.layers.reflection_padding import ReflectionPadding


@pytest.mark.parametrize("shape", [(2, 5, 6, 3), (1, 4, 5, 6, 2)])
@pytest.mark.parametrize("padding", [1, 3])
def test_is_numpys_reflection(shape, padding):
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    margins = [(0, 0), *[(padding, padding)] * (len(shape) - 2), (0, 0)]
    layer = ReflectionPadding(padding)
    np.testing.assert_array_equal(layer(x), np.pad(x, margins, mode="reflect"))
    assert layer.compute_output_shape(shape) == layer(x).shape


def test_open_sizes_and_config():
    layer = ReflectionPadding(2, name="pad")
    assert layer.compute_output_shape((None, None, 8, 1)) == (None, None, 12, 1)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert isinstance(again, ReflectionPadding) and again.padding == 2 and again.name == "pad"


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(dtype):
    y = ReflectionPadding(1, dtype=dtype)(np.ones((1, 3, 3, 1), "float32"))
    assert y.dtype.name == dtype.removeprefix("mixed_") and y.shape == (1, 5, 5, 1)


def test_refuses_what_cannot_be_mirrored():
    with pytest.raises(ValueError, match=r"more than 3 along .*; received \(1, 3, 8, 1\)"):
        ReflectionPadding(3)(np.zeros((1, 3, 8, 1), "float32"))
    with pytest.raises(ValueError, match="received 0"):
        ReflectionPadding(0)
