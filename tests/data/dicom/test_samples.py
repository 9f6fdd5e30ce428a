"""Series below a folder as samples: ids, patients, masks, what is left out."""

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest

from kmed.data.dicom.errors import GantryTilted, NotDicom, SlicesDuplicated
from kmed.data.dicom.samples import dicom_images, dicom_series
from kmed.data.dicom.series import read_series
from kmed.data.dicom.writer import StudyHeader, write_series
from kmed.data.nifti import write_nifti
from kmed.data.sample import DataError

SHAPE = (5, 6, 7)
AXIAL = np.array([[0, 0, 0.8, -30], [0, 0.7, 0, 12], [2.5, 0, 0, 100], [0, 0, 0, 1.0]])


def make(folder: Path, affine=AXIAL, *, modality="CT", patient="p1", name="ct") -> list[Path]:
    study = StudyHeader(patient_id=patient, patient_name="A^B", entropy=(patient,), date="20250101")
    array = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    return write_series(
        folder, array, affine, study, modality=modality, name=name, number=1
    )  # fmt: skip


def edit(file, **attributes):
    ds = pydicom.dcmread(file)
    for keyword, value in attributes.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    ds.save_as(file)


def test_masks(tmp_path):
    make(tmp_path / "in" / "a" / "ct", patient="a")
    make(tmp_path / "in" / "b" / "ct", patient="b")
    masks = tmp_path / "masks"
    (masks / "a").mkdir(parents=True)
    mask = np.zeros(SHAPE, np.uint8)
    mask[1, 2, 3] = 2
    write_nifti(masks / "a" / "ct.nii.gz", mask, AXIAL)
    with pytest.raises(DataError, match=r"no mask; expected b/ct\.nii\.gz or b/ct\.nii in"):
        dicom_series(tmp_path / "in", masks=masks)
    shutil.copytree(masks / "a", masks / "b")
    samples = dicom_series(tmp_path / "in", masks=masks)
    assert [(s.id, s.patient) for s in samples] == [("a/ct", "a"), ("b/ct", "b")]
    arrays = samples[0].read()
    np.testing.assert_array_equal(arrays.mask, mask)
    assert arrays.image.shape == (*SHAPE, 1) and len(samples[0].files) == 6
    moved = AXIAL.copy()
    moved[0, 3] += 0.01
    write_nifti(masks / "a" / "ct.nii.gz", mask, moved)
    with pytest.raises(DataError, match=r"ct\.nii\.gz: must lie on the grid of .*0\.01 mm"):
        samples[0].read()


def test_masks_by_the_name_of_the_series_folder(tmp_path):
    make(tmp_path / "in" / "x" / "one")
    make(tmp_path / "in" / "x" / "two", patient="p2")
    (tmp_path / "masks").mkdir()
    for name in ("one", "two"):
        write_nifti(tmp_path / "masks" / f"{name}.nii", np.ones(SHAPE, np.uint8), AXIAL)
    samples = dicom_series(tmp_path / "in", masks=tmp_path / "masks")
    assert [s.read().mask.sum() for s in samples] == [210, 210]


def test_patients_and_modality(tmp_path):
    make(tmp_path / "ct")
    make(tmp_path / "mr", modality="MR", name="mr")
    assert [s.id for s in dicom_series(tmp_path, modality="mr")] == ["mr"]
    with pytest.raises(DataError, match="no series of modality 'PT'"):
        dicom_series(tmp_path, modality="PT")
    for file in (tmp_path / "mr").iterdir():
        edit(file, PatientID="")
    with pytest.raises(DataError, match="mr: every slice of a series must have one Patient ID"):
        dicom_series(tmp_path)
    samples = dicom_series(tmp_path, patient=lambda folder: folder.name)
    assert [s.patient for s in samples] == ["ct", "mr"]


def test_several_volumes_of_one_series(tmp_path):
    for echo in ("4.6", "9.2"):
        for file in make(tmp_path / "mr" / echo, modality="MR"):
            edit(file, EchoTime=echo, SOPInstanceUID=pydicom.uid.generate_uid())
    with pytest.raises(SlicesDuplicated, match="2 volumes, told apart by EchoTime"):
        dicom_series(tmp_path)
    samples = dicom_series(tmp_path, several="all")
    assert [s.id for s in samples] == ["mr/1", "mr/2"]
    assert {Path(f).parent.name for f in samples[1].files} == {"9.2"}
    assert samples[0].read().image.shape == (*SHAPE, 1) and samples[0].modality == "MR"
    with pytest.raises(ValueError, match='`several` must be "refuse" or "all"'):
        dicom_series(tmp_path, several="first")


def test_a_volume_that_cannot_be_read_leaves_the_others_of_its_series(tmp_path):
    for echo in ("4.6", "9.2", "13.8"):
        for number, file in enumerate(make(tmp_path / "mr" / echo, modality="MR")):
            edit(file, EchoTime=echo, SOPInstanceUID=pydicom.uid.generate_uid())
            if (echo, number) == ("9.2", 2):
                file.unlink()
    with pytest.raises(DataError, match="1 slice is missing"):
        dicom_series(tmp_path, several="all")
    left_out = []
    samples = dicom_series(tmp_path, several="all", left_out=left_out)
    assert [s.id for s in samples] == ["mr/1", "mr/3"]
    assert [Path(s.files[0]).parent.name for s in samples] == ["4.6", "13.8"]
    ((name, reason),) = left_out
    assert name == "mr/2" and "1 slice is missing" in reason


def test_broken_and_tilted_beside_good(tmp_path):
    sheared = AXIAL.copy()
    sheared[1, 0] = 0.7
    make(tmp_path / "tilt", sheared, name="tilt")
    make(tmp_path / "good")
    broken = make(tmp_path / "cut", name="cut")[4]
    broken.write_bytes(broken.read_bytes()[:900])
    left_out = []
    samples = dicom_series(tmp_path, left_out=left_out)
    # Of the broken series four slices are left, which the file's own entry explains.
    assert [s.id for s in samples] == ["cut", "good"]
    assert [name for name, _ in left_out] == [str(broken), "tilt"]
    assert 'tilt="resample"' in left_out[1][1]
    with pytest.raises(DataError, match="slice-0005"):
        dicom_series(tmp_path)


def test_a_dicomdir_whose_folders_have_one_name_each(tmp_path):
    records = []
    for patient in ("A", "B"):
        folder = tmp_path / f"PT{patient}" / "SE0"
        for number, file in enumerate(make(folder, patient=patient)):
            file.rename(folder / f"IM{number}")
            record = pydicom.Dataset()
            record.DirectoryRecordType, record.RecordInUseFlag = "IMAGE", 0xFFFF
            record.ReferencedFileID = [f"PT{patient}", "SE0", f"IM{number}"]
            records.append(record)
    directory = pydicom.Dataset()
    directory.FileSetID, directory.DirectoryRecordSequence = "DISC", records
    directory.file_meta = pydicom.dataset.FileMetaDataset()
    directory.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    directory.file_meta.MediaStorageSOPClassUID = pydicom.uid.MediaStorageDirectoryStorage
    directory.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    directory.save_as(tmp_path / "DICOMDIR", enforce_file_format=True)
    samples = dicom_series(tmp_path / "DICOMDIR")
    assert [(s.id, s.patient) for s in samples] == [("PTA/SE0", "A"), ("PTB/SE0", "B")]
    for sample in samples:
        np.testing.assert_array_equal(sample.read().image.ravel(), np.arange(np.prod(SHAPE)))
    read = read_series(tmp_path / "DICOMDIR", series_uid=samples[0].series().series_uid)
    assert [Path(file).name for file in read.files] == [f"IM{n}" for n in range(5)]


def test_a_zip_archive(tmp_path):
    make(tmp_path / "in" / "a" / "ct", patient="a")
    make(tmp_path / "in" / "b" / "ct", patient="b")
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "in")
    samples = dicom_series(packed)
    assert {s.patient for s in samples} == {"a", "b"}
    assert len({s.id for s in samples}) == 2 and all(
        s.id.startswith("packed.zip/") for s in samples
    )
    assert all(s.read().image.shape == (*SHAPE, 1) for s in samples)


def test_what_cannot_be_read_is_left_out_and_said(tmp_path):
    make(tmp_path / "good")
    make(tmp_path / "gap", name="gap")[2].unlink()
    (tmp_path / "good" / "IM1").write_text("no image")
    with pytest.raises(NotDicom, match="IM1"):
        dicom_series(tmp_path)
    (tmp_path / "good" / "IM1").rename(tmp_path / "IM1")
    left_out = []
    samples = dicom_series(tmp_path, left_out=left_out)
    assert [s.id for s in samples] == ["good"]
    assert "not a DICOM file" in left_out[0][1] and "1 slice is missing" in left_out[1][1]
    (tmp_path / "IM1").unlink()
    with pytest.raises(DataError, match="1 slice is missing"):
        dicom_series(tmp_path)
    samples = dicom_series(tmp_path, missing="resample")
    assert [s.id for s in samples] == ["gap", "good"]
    assert samples[0].read().image.shape == (*SHAPE, 1)
    assert samples[0].series().resampled and not samples[1].series().resampled


def test_decided_series_have_the_grid_of_what_is_read(tmp_path):
    sheared = AXIAL.copy()
    sheared[1, 0] = 0.7
    make(tmp_path / "in" / "ct", sheared)
    with pytest.raises(GantryTilted):
        dicom_series(tmp_path / "in")
    (sample,) = dicom_series(tmp_path / "in", tilt="resample")
    read = sample.read()
    assert read.image.shape == (5, 10, 7, 1)
    (tmp_path / "masks").mkdir()
    write_nifti(tmp_path / "masks" / "ct.nii", np.ones((5, 10, 7), np.uint8), read.affine)
    (sample,) = dicom_series(tmp_path / "in", masks=tmp_path / "masks", tilt="resample")
    assert sample.read().mask.sum() == 350


def test_localizers_of_their_own_are_no_samples(tmp_path):
    make(tmp_path / "ct")
    for file in make(tmp_path / "scout", name="scout"):
        edit(file, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    assert [s.id for s in dicom_series(tmp_path)] == ["ct"]


def test_volumes_or_pictures(tmp_path):
    make(tmp_path / "ct")
    assert [s.id for s in dicom_images(tmp_path)] == ["ct"]
    for file in (tmp_path / "ct").iterdir():
        edit(file, Modality="DX")
    samples = dicom_images(tmp_path)
    assert len(samples) == 5 and all(s.read().image.shape == (6, 7, 1) for s in samples)
