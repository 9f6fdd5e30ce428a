"""Probabilities of ordered classes against cumulative products, and in TFLite."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.export.tflite import export_tflite
from kmed.ops.ordinal import ordinal_probabilities


@pytest.mark.parametrize("grades", [2, 3, 6])
def test_against_the_cumulative_product(grades):
    logits = np.random.default_rng(0).normal(0, 3, (50, grades - 1))
    above = np.cumprod(1 / (1 + np.exp(-logits)), axis=1)  # P(y > k)
    expected = -np.diff(above, axis=1, prepend=1.0, append=0.0)
    found = ordinal_probabilities(logits.astype("float32")).numpy()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


def test_probabilities_are_never_negative_and_small_ones_keep_their_digits():
    logits = np.array([[40.0, 40.0, -40.0], [-100.0, 0.0, 0.0]], "float32")
    found = ordinal_probabilities(logits).numpy()
    assert (found >= 0).all()
    assert found[0, 0] == pytest.approx(np.exp(-40), rel=1e-5)  # 1 - sigmoid(40) would be 0


def test_the_layer_exports_to_tflite_built_ins(tmp_path):
    inputs = keras.Input((4, 4, 1))
    logits = keras.layers.Dense(3)(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, ordinal_probabilities(logits))
    path = export_tflite(model, tmp_path / "m.tflite", size=(4, 4))
    x = np.random.default_rng(0).normal(size=(1, 4, 4, 1)).astype("float32")
    interpreter = tf.lite.Interpreter(str(path))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(found, model(x), atol=1e-6)


def test_refusals():
    with pytest.raises(ValueError, match="K - 1"):
        ordinal_probabilities(np.zeros((2, 3, 4)))
    with pytest.raises(ValueError, match="K - 1"):
        ordinal_probabilities(np.zeros((2, 0)))
