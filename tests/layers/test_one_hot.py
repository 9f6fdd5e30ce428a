import keras
import numpy as np
import pytest

from kmed.layers.one_hot import OneHot


def test_encodes_classes_within_a_network():
    labels = keras.Input((), dtype="int32")
    network = keras.Model(labels, OneHot(3)(labels))
    assert network.output_shape == (None, 3)
    expected = [[1, 0, 0], [0, 0, 1], [0, 0, 0]]
    np.testing.assert_array_equal(network(np.array([0, 2, 3], "int32")), expected)


def test_type_config_and_refusal():
    layer = OneHot(2, dtype="mixed_float16")
    assert layer(np.array([1], "int32")).dtype == "float16"
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert isinstance(again, OneHot) and again.classes == 2
    with pytest.raises(ValueError, match="received 0"):
        OneHot(0)
