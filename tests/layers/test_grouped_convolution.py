import keras
import numpy as np
import pytest
from scipy.signal import correlate

from kmed.export import export_tflite, operators, run_tflite
from kmed.layers.grouped_convolution import GroupedConv2D


def plain(x, kernel, bias, groups):
    # One output channel after the other, from the input channels of its group.
    height, width, outputs = x.shape[0] - 2, x.shape[1] - 2, kernel.shape[-1]
    result = np.empty((height, width, outputs))
    inputs = kernel.shape[2]
    for o in range(outputs):
        start = o // (outputs // groups) * inputs
        part = x[..., start : start + inputs]
        result[..., o] = correlate(part, kernel[..., o], mode="valid")[..., 0] + bias[o]
    return result


@pytest.fixture
def network():
    image = keras.Input((9, 8, 6), name="image")
    layer = GroupedConv2D(4, 3, groups=2, bias_initializer="random_normal", name="conv")
    return keras.Model(image, {"out": layer(image)})


def test_groups_see_their_channels_alone(network, tmp_path):
    x = np.random.default_rng(0).normal(size=(9, 8, 6)).astype("float32")
    kernel, bias = network.get_layer("conv").get_weights()
    assert kernel.shape == (3, 3, 3, 4)
    expected = plain(x, kernel, bias, 2)
    np.testing.assert_allclose(network(x[None])["out"][0], expected, atol=1e-5)
    path = export_tflite(network, tmp_path / "m.tflite")
    assert "CONV_2D" in operators(path)
    np.testing.assert_allclose(run_tflite(path, x)["out"], expected, atol=1e-5)


def test_is_keras_grouped_convolution():
    x = np.random.default_rng(0).normal(size=(2, 9, 8, 6)).astype("float32")
    options = {"groups": 3, "strides": 2, "padding": "same"}
    theirs, ours = keras.layers.Conv2D(9, 3, **options), GroupedConv2D(9, 3, **options)
    theirs.build(x.shape)
    ours.build(x.shape)
    ours.set_weights(theirs.get_weights())
    np.testing.assert_allclose(ours(x), theirs(x), atol=1e-5)


def test_learns_and_survives_saving(network, tmp_path):
    network.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    x = np.random.default_rng(0).normal(size=(2, 9, 8, 6)).astype("float32")
    np.testing.assert_array_equal(again(x)["out"], network(x)["out"])
    before = again.get_weights()
    again.compile("sgd", "mse", jit_compile=False)
    again.train_on_batch(x, {"out": np.ones((2, 7, 6, 4), "float32")})
    assert all(np.abs(a - b).max() > 0 for a, b in zip(before, again.get_weights(), strict=True))
