import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from kmed.data import DataError
from kmed.data.phantoms import phantoms
from kmed.tasks.segmentation.use import evaluate, export, predict

SHIPPED = Path(__file__).resolve().parents[3] / "saved_models" / "phantom_unet"


def test_evaluation_on_a_part_equals_the_trainings(trained, pictures, tmp_path):
    run, settings, _ = trained
    found = evaluate(
        run.bundle_path, pictures, output=tmp_path, say=str,
        split_file=settings.run_folder / "split.json",
    )  # fmt: skip
    assert found["disc"]["dice"] == run.metrics["disc"]["dice"]
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["disc"]["dice"]["value"] == found["disc"]["dice"].value
    assert len((tmp_path / "cases.csv").read_text().splitlines()) == 4
    with pytest.raises(ValueError, match="received 'all'"):
        evaluate(
            run.bundle_path, pictures, part="all", say=str,
            split_file=settings.run_folder / "split.json",
        )  # fmt: skip


def test_evaluation_needs_masks(trained, pictures, tmp_path):
    with pytest.raises(DataError, match=r"p00\.png: has no mask"):
        evaluate(trained[0].bundle_path, pictures / "images", output=tmp_path, say=str)


def test_prediction_goes_on_after_a_broken_file(trained, pictures, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("p00.png", "p01.png"):
        (folder / name).write_bytes((pictures / "images" / name).read_bytes())
    (folder / "broken.png").write_bytes(b"no picture")
    done = predict(trained[0].bundle_path, [folder], output=tmp_path / "out", say=str)
    [(name, reason)] = done.failed
    assert "broken" in name and "broken.png" in reason
    assert {path.name for path in done.written} >= {"p00.png", "p01.png", "p00_overlay.png"}
    mask = np.asarray(Image.open(tmp_path / "out" / "p00.png"))
    truth = np.asarray(Image.open(pictures / "masks" / "p00.png")) > 0
    assert mask.shape == truth.shape  # the image's own size, not the network's
    assert 2 * (truth & (mask == 1)).sum() / (truth.sum() + (mask == 1).sum()) > 0.85


def test_prediction_of_a_dicom_series_lies_where_the_series_does(trained, tmp_path):
    root = phantoms(tmp_path / "phantoms", patients=1, shape=(8, 40, 36), modalities=("ct",))
    series = root / "patient-0001" / "ct"
    done = predict(SHIPPED, [series], output=tmp_path / "out", say=str)
    assert done.failed == []
    [path] = [path for path in done.written if path.name.endswith(".nii.gz")]
    found, truth = nibabel.load(path), nibabel.load(root / "patient-0001" / "mask.nii.gz")
    assert found.shape == truth.shape
    np.testing.assert_allclose(found.affine, truth.affine, atol=1e-3)
    refused = predict(trained[0].bundle_path, [series], output=tmp_path / "out", say=str)
    assert refused.written == []
    assert "is of modality CT" in refused.failed[0][1]


def test_two_inputs_of_one_name_do_not_overwrite_each_other(trained, pictures, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.png").write_bytes((pictures / "images" / "p00.png").read_bytes())
    inputs = [tmp_path / "a" / "x.png", tmp_path / "b" / "x.png"]
    done = predict(trained[0].bundle_path, inputs, output=tmp_path / "out", say=str)
    assert {path.name for path in done.written} >= {"x.png", "x-2.png"}


def test_a_path_that_is_not_there(trained, tmp_path):
    done = predict(trained[0].bundle_path, [tmp_path / "nothing"], output=tmp_path, say=str)
    assert done.written == []
    assert "nothing" in done.failed[0][1]


def test_smaller_formats_say_what_they_lose(trained, pictures):
    said = []
    files = export(trained[0].bundle_path, ["float16", "int8"], data=pictures, say=said.append)
    assert [path.name for path in files] == ["model_float16.tflite", "model_int8.tflite"]
    assert any("model_int8.tflite" in line and "Dice" in line for line in said)


def test_formats_are_checked_against_keras(trained, pictures):
    said = []
    export(trained[0].bundle_path, ["tflite"], check=pictures / "images", say=said.append)
    assert any(line.startswith("tflite equals Keras on 12 images") for line in said)


def test_formats_that_do_not_exist(trained):
    with pytest.raises(ValueError, match="received coreml"):
        export(trained[0].bundle_path, ["coreml"])
    with pytest.raises(ValueError, match="int8 takes its ranges from real images"):
        export(trained[0].bundle_path, ["int8"])
