"""DICOM folders as NIfTI files."""

import zipfile

import numpy as np
import pydicom
import pytest

from kmed.data.dicom.convert import to_nifti_files
from kmed.data.dicom.errors import DicomError
from kmed.data.dicom.series import read_series
from kmed.data.dicom.writer import StudyHeader, write_series
from kmed.data.nifti import read_nifti

AFFINE = np.array([[0, 0, 0.8, -30], [0, 0.7, 0, 12], [2.5, 0, 0, 100], [0, 0, 0, 1.0]])


def make(folder, name="ct", modality="CT"):
    study = StudyHeader(patient_id="p", patient_name="A^B", entropy=("p",), date="20250101")
    array = np.arange(4 * 5 * 6).reshape(4, 5, 6)
    return write_series(folder, array, AFFINE, study, modality=modality, name=name, number=1)


def test_each_series_becomes_a_file_named_by_its_folder(tmp_path):
    make(tmp_path / "in" / "a" / "ct")
    make(tmp_path / "in" / "b" / "mr", name="mr", modality="MR")
    told = []
    written, failed = to_nifti_files(tmp_path / "in", tmp_path / "out", say=told.append)
    assert [path.name for path in written] == ["a_ct.nii.gz", "b_mr.nii.gz"] and not failed
    assert told == ["a_ct.nii.gz: CT 4 x 5 x 6", "b_mr.nii.gz: MR 4 x 5 x 6"]
    array, spacing_mm, affine = read_nifti(written[0])
    np.testing.assert_array_equal(array, np.arange(120).reshape(4, 5, 6))
    np.testing.assert_allclose(affine, AFFINE, atol=1e-5)
    assert spacing_mm == pytest.approx((2.5, 0.7, 0.8))


def test_series_that_share_a_folder_are_numbered_and_one_can_be_chosen(tmp_path):
    for file in (*make(tmp_path / "a"), *make(tmp_path / "b", name="late")):
        file.rename(tmp_path / f"{file.parent.name}-{file.name}")
    written, _ = to_nifti_files(tmp_path, tmp_path / "out", say=str)
    assert [path.name for path in written] == [
        f"{tmp_path.name}.nii.gz",
        f"{tmp_path.name}-series2.nii.gz",
    ]
    uid = read_series(sorted(tmp_path.glob("b-*"))).series_uid
    written, _ = to_nifti_files(tmp_path, tmp_path / "out", series_uid=uid, say=str)
    assert len(written) == 1
    with pytest.raises(DicomError, match=r"no DICOM images of series 1\.2; there are"):
        to_nifti_files(tmp_path, tmp_path / "out", series_uid="1.2", say=str)


def test_what_is_refused_is_named_and_the_rest_is_written(tmp_path):
    good, bad = make(tmp_path / "in" / "good"), make(tmp_path / "in" / "bad", name="bad")
    bad[1].unlink()
    (tmp_path / "in" / "broken").write_bytes(good[0].read_bytes()[:300])
    written, failed = to_nifti_files(tmp_path / "in", tmp_path / "out", say=str)
    assert [path.name for path in written] == ["good.nii.gz"]
    assert [name.rpartition("/")[2] for name, _ in failed] == ["broken", "bad"]
    assert "1 slice is missing" in failed[1][1]
    told = []
    written, _ = to_nifti_files(
        tmp_path / "in", tmp_path / "out", missing="resample", say=told.append
    )
    assert len(written) == 2 and any("linear interpolation" in line for line in told)
    array, _, _ = read_nifti(tmp_path / "out" / "bad.nii.gz")
    np.testing.assert_allclose(array, np.arange(120).reshape(4, 5, 6), atol=1e-3)


def test_a_zip_archive_of_a_disc(tmp_path):
    with zipfile.ZipFile(tmp_path / "disc.zip", "w") as archive:
        for file in make(tmp_path / "ct"):
            archive.write(file, f"DISC/{file.name}")
    written, failed = to_nifti_files(tmp_path / "disc.zip", tmp_path / "out", say=str)
    assert [path.name for path in written] == ["DISC.nii.gz"] and not failed


def test_localizers_are_told_and_are_no_failure(tmp_path):
    files = make(tmp_path / "ct")
    ds = pydicom.dcmread(files[0])
    ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    ds.save_as(files[0])
    told = []
    written, failed = to_nifti_files(tmp_path / "ct", tmp_path / "out", say=told.append)
    assert len(written) == 1 and not failed and "localizer" in told[0]
