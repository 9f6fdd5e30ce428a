import json

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image

from kmed.data import phantoms
from kmed.data.dicom import read_series
from kmed.tasks.translation import evaluate, export, predict


def test_evaluation_on_the_test_part_gives_the_trainings_figures(trained, brains, tmp_path):
    run, settings, _ = trained
    found = evaluate(
        run.bundle_path, brains, output=tmp_path,
        split_file=settings.run_folder / "split.json", say=str,
    )  # fmt: skip
    for name in ("mae", "psnr", "ssim"):
        expected = run.metrics["t1 to t2"][name].value
        assert found["t1 to t2"][name].value == pytest.approx(expected, rel=1e-5)
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert written["t1 to t2"]["mae"]["value"] == found["t1 to t2"]["mae"].value
    with pytest.raises(ValueError, match="`part` must be train"):
        evaluate(run.bundle_path, brains, part="dev")


def test_a_volume_lies_where_its_source_lies(trained, brains, tmp_path):
    run, *_ = trained
    (tmp_path / "bad.nii.gz").write_bytes(b"")
    source = brains / "p0_t1.nii.gz"
    done = predict(
        run.bundle_path, [source, tmp_path / "bad.nii.gz"], output=tmp_path / "found", say=str
    )
    assert [name for name, _ in done.failed] == [str(tmp_path / "bad.nii.gz")]
    [file] = done.written
    assert file.name == "p0_t1-t2.nii.gz"
    one, other = nibabel.load(source), nibabel.load(file)
    np.testing.assert_array_equal(one.affine, other.affine)
    assert one.shape == other.shape and other.get_data_dtype() == np.float32


def test_pictures(trained, tmp_path):
    run, *_ = trained
    Image.fromarray(np.full((20, 28), 90, "uint8")).save(tmp_path / "a.png")
    done = predict(run.bundle_path, [tmp_path / "a.png"], output=tmp_path / "found", say=str)
    with Image.open(done.written[0]) as picture:
        assert picture.size == (28, 20) and picture.mode == "L"
    with pytest.raises(ValueError, match="`to` must be"):
        predict(run.bundle_path, [tmp_path / "a.png"], to="gif")
    Image.fromarray(np.zeros((20, 28, 3), "uint8")).save(tmp_path / "rgb.png")
    done = predict(run.bundle_path, [tmp_path / "rgb.png"], output=tmp_path, say=str)
    assert not done.written and "channels" in done.failed[0][1]


def test_a_dicom_series_becomes_a_derived_one_of_its_study(trained, tmp_path):
    run, *_ = trained
    source = phantoms(tmp_path / "in", patients=1, shape=(8, 24, 20), modalities=("t1",))
    source = source / "patient-0001" / "t1"
    done = predict(run.bundle_path, [source], output=tmp_path / "found", to="dicom", say=str)
    assert not done.failed and len(done.written) == 8
    one, other = read_series(source), read_series(tmp_path / "found" / "t1-t2")
    np.testing.assert_allclose(one.affine, other.affine, atol=1e-4)
    assert one.study_uid == other.study_uid and one.series_uid != other.series_uid
    assert other.modality == "MR"
    assert list(pydicom.dcmread(done.written[0]).ImageType[:2]) == ["DERIVED", "SECONDARY"]
    Image.fromarray(np.full((20, 28), 90, "uint8")).save(tmp_path / "a.png")
    done = predict(run.bundle_path, [tmp_path / "a.png"], output=tmp_path, to="dicom", say=str)
    assert "needs a DICOM series" in done.failed[0][1]


def test_a_smaller_file_and_what_it_loses(trained, brains):
    run, *_ = trained
    said = []
    (file,) = export(run.bundle_path, ["float16"], data=brains, say=said.append)
    assert file.is_file()
    assert any("PSNR against Keras in dB" in line for line in said)
