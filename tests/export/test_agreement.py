"""Agreement is measured on every voxel, and disagreement is an error."""

import shutil

import numpy as np
import pytest

from kmed.export import AgreementError, Bundle, check_agreement, export_onnx, quantization_loss
from kmed.export.agreement import _LabelComparison
from kmed.export.decoder import SegmentationDecoder


def images(*shapes):
    random = np.random.default_rng(0)
    return [random.integers(-200, 300, (*shape, 1)).astype("int16") for shape in shapes]


def test_formats_agree(saved, saved_volume):
    report = check_agreement(saved, images((32, 48), (61, 30), (20, 20)))
    assert set(report) == {"saved_model", "tflite"}
    for row in report.values():
        assert row["images"] == 3
        assert 0 < row["max_probability_difference"] <= 1e-4
        assert row["differing_voxels"] == row["differing_ties"]
    assert report["saved_model"]["voxels"] == 32 * 48 + 61 * 30 + 20 * 20
    assert report["tflite"]["voxels"] == 3 * 32 * 48
    check_agreement(saved_volume, images((8, 16, 16), (5, 9, 20)))


def test_another_networks_files_are_found_out(bundle, saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "1")
    weights = bundle.network.get_weights()
    changed = Bundle.load(saved)
    changed.network.set_weights([w * 1.01 for w in weights])
    changed.model.save(folder / "model.keras")
    with pytest.raises(AgreementError, match="saved_model differs from Keras by"):
        check_agreement(folder, images((32, 48)))
    with pytest.raises(AgreementError, match="other labels than Keras"):
        check_agreement(folder, images((32, 48), (64, 64)), tolerance=1.0)


def answer(labels, probabilities):
    return {"labels": np.array(labels), "probabilities": np.array(probabilities)}


def test_ties_are_counted_and_let_pass():
    comparison = _LabelComparison(SegmentationDecoder().margins)
    keras = np.array([[0.5, 0.5], [0.5 - 1e-6, 0.5 + 1e-6], [0.4, 0.6], [0.9, 0.1]], "float32")
    comparison.add(answer([0, 1, 1, 0], keras), answer([1, 0, 1, 0], keras + 1e-6))
    row = comparison.row()
    assert (row["voxels"], row["differing_voxels"], row["differing_ties"]) == (4, 2, 2)
    assert row["largest_differing_margin"] == pytest.approx(2e-6, rel=0.1)
    comparison.check("x")
    comparison.add(answer([1], keras[2:3]), answer([0], keras[2:3]))
    with pytest.raises(AgreementError, match="3 of 5 differ, 2 of them ties.*margin is 0.2"):
        comparison.check("x")


def test_one_probability_has_a_margin_too():
    comparison = _LabelComparison(SegmentationDecoder().margins)
    comparison.add(answer([0], [[0.4]]), answer([1], [[0.4]]))
    assert comparison.row()["largest_differing_margin"] == pytest.approx(0.2)


def test_nan_is_a_difference():
    comparison = _LabelComparison(SegmentationDecoder().margins)
    one = np.array([[0.4, 0.6]])
    comparison.add(answer([1], one), answer([1], one * np.nan))
    comparison.add(answer([1], one), answer([1], one))
    with pytest.raises(AgreementError, match="by nan"):
        comparison.check("x")


def test_no_images_are_an_error(saved):
    with pytest.raises(ValueError, match="`images` is empty"):
        check_agreement(saved, [])


def test_quantization_loss_is_measured(bundle, saved):
    some = [image.astype("float32") for image in images((32, 48), (32, 48))]
    masks = [bundle.predict(image)[0] for image in some]
    rows = quantization_loss(saved, some, masks, lambda a, b: float((a == b["labels"]).mean()))
    assert [row["format"] for row in rows][0] == "model.tflite"
    assert rows[0]["score"] == 1.0 and rows[0]["loss"] == 0.0
    assert len(rows) == 3
    assert all(-1e-9 <= row["loss"] < 0.5 and row["megabytes"] > 0 for row in rows)


def test_onnx_in_the_folder_is_compared_as_well(bundle, saved, tmp_path):
    pytest.importorskip("tf2onnx", reason="the ONNX export needs tf2onnx")
    pytest.importorskip("onnxruntime", reason="running ONNX needs onnxruntime")
    folder = shutil.copytree(saved, tmp_path / "1")
    export_onnx(bundle, folder / "model.onnx")
    assert check_agreement(folder, images((32, 48), (50, 40)))["onnx"]["images"] == 2


def test_networks_with_switches_may_differ_in_one_voxel_of_a_thousand():
    comparison = _LabelComparison(SegmentationDecoder().margins)
    keras = np.tile(np.float32([0.2, 0.8]), (2000, 1))
    other = keras.copy()
    other[:2] += 0.1
    labels = np.ones(2000)
    comparison.add(answer(labels, keras), answer(labels, other))
    assert comparison.row()["beyond_tolerance"] == 2
    comparison.check("x", 1e-3)
    with pytest.raises(AgreementError, match="2 of 2000 differ by more"):
        comparison.check("x")
    other[2] = np.nan
    comparison.add(answer(labels, keras), answer(labels, other))
    with pytest.raises(AgreementError, match="by nan"):
        comparison.check("x", 1e-3)
