import keras
import numpy as np
import pytest

from kmed.export import export_tflite, run_tflite
from kmed.layers.adaptive_pooling import AdaptiveAveragePooling


def plain(x, size):
    # Torch's windows: from the floor of i n / m to the ceiling of (i + 1) n / m.
    for axis, m in enumerate(size, start=1):
        n = x.shape[axis]
        edges = [(i * n // m, -((i + 1) * n // -m)) for i in range(m)]
        parts = [x.take(range(a, b), axis).mean(axis, keepdims=True) for a, b in edges]
        x = np.concatenate(parts, axis)
    return x


CASES = [((14, 14), (7, 7)), ((9, 13), (7, 6)), ((3, 1), (7, 7)), ((7, 20), (7, 7))]
CASES += [((5, 8, 3), (2, 2, 2))]


@pytest.mark.parametrize(("shape", "size"), CASES)
def test_averages_torchs_windows(shape, size):
    x = np.random.default_rng(0).normal(size=(2, *shape, 3)).astype("float32")
    expected = plain(x, size)
    np.testing.assert_allclose(AdaptiveAveragePooling(size)(x), expected, atol=1e-6)
    image = keras.Input((*(None for _ in shape), 3))
    network = keras.Model(image, AdaptiveAveragePooling(size)(image))
    assert network.output_shape == (None, *size, 3)
    np.testing.assert_allclose(network.predict(x, verbose=0), expected, atol=1e-6)


def test_is_keras_own_where_both_work():
    x = np.random.default_rng(0).normal(size=(2, 10, 17, 3)).astype("float32")
    theirs = keras.layers.AdaptiveAveragePooling2D((4, 5))(x)
    np.testing.assert_allclose(AdaptiveAveragePooling((4, 5))(x), theirs, atol=1e-6)


@pytest.mark.parametrize("shape", [(10, 9, 2), (5, 6, 7, 2)])
def test_exports_with_built_in_operators(shape, tmp_path):
    image = keras.Input((*(None for _ in shape[:-1]), 2))
    size = (3,) * (len(shape) - 1)
    network = keras.Model(image, {"pooled": AdaptiveAveragePooling(size)(image)})
    path = export_tflite(network, tmp_path / "m.tflite", size=shape[:-1])
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    np.testing.assert_allclose(run_tflite(path, x)["pooled"], plain(x[None], size)[0], atol=1e-5)


def test_survives_its_configuration():
    config = keras.saving.serialize_keras_object(AdaptiveAveragePooling((4, 5)))
    assert keras.saving.deserialize_keras_object(config).size == (4, 5)


def test_half_precision_stays_half_precision():
    x = np.ones((1, 5, 5, 2), "float16")
    assert AdaptiveAveragePooling((2, 2), dtype="mixed_float16")(x).dtype == "float16"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AdaptiveAveragePooling((4,)), "two or three"),
        (lambda: AdaptiveAveragePooling((4, 0)), "positive"),
        (lambda: AdaptiveAveragePooling((4, 4))(np.zeros((1, 4, 4, 4, 1))), "2 spatial axes"),
        (lambda: AdaptiveAveragePooling((4, 4))(np.zeros((1, 0, 4, 1))), "image too small"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
