import keras
import numpy as np
import pytest
from keras import ops

from kmed.export import export_tflite, run_tflite
from kmed.layers.intensity import IntensityInverse, Standardize, Window, check_range
from kmed.preprocessors import ct, intensity, preprocess_array


@pytest.mark.parametrize(("low", "high"), [(-160.0, 240.0), (-1024.0, 3071.0), (0.0, 65535.0)])
def test_raw_values_come_back_through_the_window_and_its_inverse(low, high):
    raw = np.linspace(low, high, 4096, dtype="float32")
    seen = Window((low + high) / 2, high - low)(raw)
    assert float(ops.min(seen)) == -1 and float(ops.max(seen)) == 1
    back = ops.convert_to_numpy(IntensityInverse(low, high)(seen))
    # float32 has 24 bits: half a unit of the last of the largest number on each way
    np.testing.assert_allclose(back, raw, atol=2e-7 * (high - low + abs(low + high)), rtol=0)
    assert back[0] == low and back[-1] == high
    outside = IntensityInverse(low, high)(Window((low + high) / 2, high - low)(ops.array([1e6])))
    assert float(outside[0]) == high


def test_the_inverse_by_hand():
    values = IntensityInverse(-1000.0, 1000.0)(ops.array([-1.0, -0.25, 0.0, 1.0]))
    assert ops.convert_to_numpy(values).tolist() == [-1000, -250, 0, 1000]


def test_ct_is_an_intensity_range():
    image = np.random.default_rng(0).integers(-1024, 1500, (6, 5, 4, 1)).astype("int16")
    window, limits = ct((40, 400), rank=3), intensity(-160, 240, rank=3)
    np.testing.assert_array_equal(preprocess_array(window, image), preprocess_array(limits, image))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_16_bit_values_survive_any_policy(policy):
    keras.config.set_dtype_policy(policy)
    raw = np.array([[[[60001.0], [59999.0]]]], "float32")
    seen = intensity(0, 65535)(raw)
    back = IntensityInverse(0, 65535)(seen)
    assert seen.dtype == back.dtype == "float32"
    np.testing.assert_allclose(back, raw, atol=0.02)


def test_saved_layers_are_found_under_their_names(tmp_path):
    """Bundles of before know the layers as kmed>Window and kmed>Standardize."""
    for layer in (Window(40, 400), Standardize(nonzero=True), IntensityInverse(-5, 7)):
        name = keras.saving.get_registered_name(type(layer))
        assert name == f"kmed>{type(layer).__name__}"
        again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
        assert again.get_config() == layer.get_config()


def test_there_and_back_in_tflite(tmp_path):
    image = keras.Input((None, None, 1), name="image")
    inverse = IntensityInverse(-160, 240, name="raw")(intensity(-160, 240)(image))
    model = keras.Model(image, inverse)
    raw = np.random.default_rng(1).uniform(-300, 400, (1, 6, 5, 1)).astype("float32")
    path = export_tflite(model, tmp_path / "p.tflite", size=(6, 5))
    (lite,) = run_tflite(path, raw[0]).values()
    np.testing.assert_allclose(lite, np.clip(raw[0], -160, 240), atol=1e-3)
    np.testing.assert_allclose(lite, model(raw)[0], atol=1e-4)


@pytest.mark.parametrize("limits", [(1, 1), (2, 1), (0, float("nan")), (float("-inf"), 0)])
def test_a_range_that_is_none(limits):
    for make in (check_range, IntensityInverse, intensity):
        with pytest.raises(ValueError, match="`high` above `low`; received"):
            make(*limits)
