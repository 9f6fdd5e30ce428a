"""TFLite files: their operators, their sizes, and what is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.export import UnsupportedOperatorError, export_tflite, operators, run_tflite


@pytest.fixture
def erf():
    image = keras.Input((8, 8, 1), name="image")
    return keras.Model(image, {"out": keras.ops.erf(image)})


def test_built_in_operators_only(saved, saved_volume):
    for path in (*saved.glob("*.tflite"), *saved_volume.glob("*.tflite")):
        names = operators(path)
        assert {"SOFTMAX", "LOGISTIC"} & set(names)
        assert not [name for name in names if name.startswith(("Flex", "custom:"))]
    assert "CONV_3D" in operators(saved_volume / "model.tflite")


def test_foreign_operators_are_named(erf, tmp_path):
    with pytest.raises(UnsupportedOperatorError, match="not built into TFLite: Erf"):
        export_tflite(erf, tmp_path / "m.tflite")
    image = keras.Input((8, 8, 8, 1))
    volume = keras.Model(image, keras.layers.MaxPooling3D()(image))
    with pytest.raises(UnsupportedOperatorError, match="not built into TFLite: MaxPool3D"):
        export_tflite(volume, tmp_path / "m.tflite")
    assert not (tmp_path / "m.tflite").exists()


def test_flex_operators_are_seen_in_a_file(erf):
    function = tf.function(lambda x: erf(x)["out"])
    concrete = function.get_concrete_function(tf.TensorSpec((1, 8, 8, 1)))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], erf)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.SELECT_TF_OPS]
    assert "FlexErf" in operators(bytes(converter.convert()))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    converter.allow_custom_ops = True
    assert "custom:Erf" in operators(bytes(converter.convert()))


def test_quantized_files_stay_near(bundle, saved):
    image = bundle.example_image() * 4 - 500
    expected = run_tflite(saved / "model.tflite", image)["probabilities"]
    np.testing.assert_allclose(expected, bundle.predict(image)[1], atol=1e-4)
    half = run_tflite(saved / "model_float16.tflite", image)["probabilities"]
    assert 0 < np.abs(half - expected).max() < 0.02
    integers = run_tflite(saved / "model_int8.tflite", image)["probabilities"]
    assert 0 < np.abs(integers - expected).mean() < 0.1
    assert "QUANTIZE" in operators(saved / "model_int8.tflite")


def test_int8_keeps_hounsfield_units_apart(saved):
    # In 8 bits over 2000 HU the file would see 40 and 43 HU as one value, and a probability
    # would be a multiple of 1/256.
    flat = np.full((32, 48, 1), 40.0)
    first, second = (
        run_tflite(saved / "model_int8.tflite", flat + more)["probabilities"] for more in (0, 3)
    )
    assert np.abs(first - second).max() > 0
    assert np.abs(256 * first - np.round(256 * first)).max() > 0.1
    np.testing.assert_allclose(first.sum(-1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantize": "int4"}, "received 'int4'"),
        ({"quantize": "int8"}, "received none"),
        ({"quantize": "int8", "representative": [np.zeros((9, 9, 1))]}, r"received \(9, 9, 1\)"),
        ({"size": (8, 8, 8)}, "2 numbers; received"),
    ],
)
def test_wrong_arguments_are_named(bundle, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        export_tflite(bundle, tmp_path / "m.tflite", **options)


def test_int8_of_a_volume_is_refused(volume_bundle, tmp_path):
    with pytest.raises(ValueError, match="int8 is for 2D convolutions alone"):
        export_tflite(volume_bundle, tmp_path / "m.tflite", quantize="int8", representative=[0])


def test_a_size_is_needed_and_held_to(saved, tmp_path):
    image = keras.Input((None, None, 1))
    network = keras.Model(image, keras.layers.Conv2D(1, 3)(image))
    with pytest.raises(ValueError, match="one fixed size"):
        export_tflite(network, tmp_path / "m.tflite")
    with pytest.raises(ValueError, match=r"of shape \(32, 48, 1\); received \(32, 32, 1\)"):
        run_tflite(saved / "model.tflite", np.zeros((32, 32, 1)))
