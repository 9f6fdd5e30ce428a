import json
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image

from kmed.data import DataError
from kmed.data.dicom import read_series
from kmed.data.phantoms import phantoms
from kmed.results.dicom.seg_reading import read_seg
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


def _sheared(series: Path, mm_per_slice: float) -> None:
    """Moves each slice against the next, as a tilted gantry does."""
    for file in series.glob("*.dcm"):
        ds = pydicom.dcmread(file)
        x, y, z = map(float, ds.ImagePositionPatient)
        ds.ImagePositionPatient = [x, y + mm_per_slice * z / 5, z]
        ds.save_as(file)


def test_dicom_series_as_segmentation_and_report(tmp_path):
    root = phantoms(tmp_path / "phantoms", patients=2, shape=(8, 40, 36), modalities=("ct",))
    _sheared(root / "patient-0002" / "ct", 1.5)
    (root / "patient-0001" / "ct" / "IM1").write_bytes(b"no DICOM")
    series = [root / f"patient-000{number}" / "ct" for number in (1, 2)]
    done = predict(SHIPPED, series, output=tmp_path / "out", to="sr", say=str)
    assert {path.name for path in done.written} == {
        *("ct_seg.dcm", "ct_sr.dcm", "ct_overlay.png", "ct.json")
    }
    (_, broken), (_, tilted) = done.failed
    assert "not a DICOM file" in broken and "sheared by" in tilted
    measures = json.loads((tmp_path / "out" / "ct.json").read_text())["classes"]
    labels = read_seg(
        tmp_path / "out" / "ct_seg.dcm", read_series(series[0].glob("*.dcm"))
    ).labels()
    assert {name: int((labels == one["index"]).sum()) for name, one in measures.items()} == {
        name: one["voxels"] for name, one in measures.items()
    }
    report = pydicom.dcmread(tmp_path / "out" / "ct_sr.dcm")
    assert report.SOPClassUID.name == "Comprehensive 3D SR Storage"
    again = predict(SHIPPED, series[1:], output=tmp_path / "out2", to="seg", resample=True, say=str)
    assert not again.failed and (tmp_path / "out2" / "ct_seg.dcm").is_file()


def test_segmentation_objects_need_a_series_and_codes(trained, pictures, tmp_path):
    run, *_ = trained
    image = pictures / "images" / "p00.png"
    with pytest.raises(ValueError, match="`to` must be one of auto, nifti, png, seg, sr"):
        predict(run.bundle_path, [image], to="dicom", say=str)
    with pytest.raises(ValueError, match="disc.*label_codes"):
        predict(run.bundle_path, [image], to="seg", say=str)
    codes = tmp_path / "codes.json"
    codes.write_text('{"disc": ["52988006", "SCT", "Lesion"]}')
    done = predict(run.bundle_path, [image], to="seg", codes=codes, output=tmp_path, say=str)
    assert not done.written and "refers to a DICOM series" in done.failed[0][1]
    codes.write_text('{"disc": "Lesion"}')
    with pytest.raises(DataError, match=r"codes\.json: must be"):
        predict(run.bundle_path, [image], to="seg", codes=codes, say=str)


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
