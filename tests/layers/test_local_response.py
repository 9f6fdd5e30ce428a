import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.export import export_tflite, run_tflite
from kmed.layers.local_response import LocalResponseNormalization


def plain(x, size=5, alpha=1e-4, beta=0.75, k=2.0):
    result, channels = np.empty(x.shape), x.shape[-1]
    for i in range(channels):
        near = range(max(0, i - size // 2), min(channels - 1, i + size // 2) + 1)
        total = sum(x[..., j].astype(float) ** 2 for j in near)
        result[..., i] = x[..., i] / (k + alpha * total) ** beta
    return result


@pytest.mark.parametrize("options", [{}, {"size": 3, "alpha": 0.5, "beta": 0.6, "k": 1.5}])
@pytest.mark.parametrize("shape", [(2, 4, 5, 7), (2, 3, 4, 5, 2)])
def test_follows_the_papers_formula(shape, options):
    x = 30 * np.random.default_rng(0).normal(size=shape).astype("float32")
    expected = plain(x, **options)
    np.testing.assert_allclose(LocalResponseNormalization(**options)(x), expected, rtol=1e-5)


def test_is_tensorflows():
    x = 30 * np.random.default_rng(0).normal(size=(2, 4, 5, 7)).astype("float32")
    expected = tf.nn.local_response_normalization(x, 2, bias=2.0, alpha=1e-4, beta=0.75)
    np.testing.assert_allclose(LocalResponseNormalization()(x), expected, rtol=1e-5)


def test_half_precision_does_not_overflow():
    x = np.full((1, 2, 2, 6), 2000.0, "float16")
    result = LocalResponseNormalization(dtype="mixed_float16")(x)
    assert result.dtype == "float16"
    np.testing.assert_allclose(result, plain(x), rtol=1e-3)


def test_exports_with_built_in_operators(tmp_path):
    image = keras.Input((None, None, 7), name="image")
    network = keras.Model(image, {"out": LocalResponseNormalization(3)(image)})
    path = export_tflite(network, tmp_path / "m.tflite", size=(4, 5))
    x = 30 * np.random.default_rng(0).normal(size=(4, 5, 7)).astype("float32")
    np.testing.assert_allclose(run_tflite(path, x)["out"], plain(x, 3), rtol=1e-4)


def test_survives_its_configuration():
    layer = LocalResponseNormalization(3, alpha=0.5, beta=0.6, k=1.5)
    config = keras.saving.serialize_keras_object(layer)
    assert keras.saving.deserialize_keras_object(config).get_config() == layer.get_config()


@pytest.mark.parametrize(
    ("options", "message"), [({"size": 4}, "odd.*received 4"), ({"k": 0}, "received 0 and")]
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        LocalResponseNormalization(**options)
