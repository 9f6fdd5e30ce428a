"""Folders, lists, archives and DICOMDIRs of DICOM files, those that lead outside among them."""

import os
import shutil
import zipfile

import numpy as np
import pydicom
import pytest

from kmed.data.dicom.errors import DicomError, NotDicom, OutsideFolder
from kmed.data.dicom.files import LeftOut, Source, dicom_files
from kmed.data.dicom.header import read_dataset
from kmed.data.dicom.writer import StudyHeader, write_series


@pytest.fixture
def series(tmp_path):
    study = StudyHeader(patient_id="p", patient_name="p", entropy=("p",), date="20240101")
    affine = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [2, 0, 0, 0], [0, 0, 0, 1.0]])
    array = np.zeros((3, 4, 5), np.int16)
    write_series(tmp_path / "ct", array, affine, study, modality="CT", name="ct", number=1)
    return tmp_path / "ct"


def names(found):
    return [source.path.name for source in found.files]


def test_a_folder(tmp_path):
    for name in ("b", "a", "sub/c", ".hidden", ".git/d", "DICOMDIR", "mask.nii.gz", "notes.TXT"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = dicom_files(tmp_path)
    assert names(found) == ["a", "b", "c"]
    assert found.left_out == ()
    assert found.files[0] == Source(tmp_path / "a")
    assert found.files[0].size == 1
    with found.files[0].open() as stream:
        assert stream.read() == b"x"


def test_a_list_and_what_is_missing_in_it(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    listed = [tmp_path / "a", tmp_path / "nowhere", Source(tmp_path / "b", "m")]
    found = dicom_files(listed)
    assert found.files == (Source(tmp_path / "a"), Source(tmp_path / "b", "m"))
    assert found.left_out == (LeftOut(str(tmp_path / "nowhere"), "no such file or folder"),)
    with pytest.raises(NotDicom, match="nowhere: no such file"):
        dicom_files(listed, strict=True)
    with pytest.raises(NotDicom, match="nowhere: no such file"):
        dicom_files(tmp_path / "nowhere")
    assert dicom_files([]).files == ()


def test_loops_of_links_end(tmp_path):
    root = tmp_path / "root"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "one").write_bytes(b"x")
    (root / "a" / "b" / "up").symlink_to(root)
    (root / "a" / "itself").symlink_to(root / "a" / "itself")
    (root / "ping").symlink_to(root / "pong")
    (root / "pong").symlink_to(root / "ping")
    (root / "gone").symlink_to(tmp_path / "nowhere")
    found = dicom_files(root)
    assert found.files == (Source(root / "a" / "b" / "one"),)
    reasons = {os.path.relpath(name, root): reason for name, reason in found.left_out}
    assert set(reasons) == {"a/b/up", "a/itself", "ping", "pong", "gone"}
    assert "read already" in reasons["a/b/up"]
    assert "can't be opened" in reasons["gone"]
    with pytest.raises(DicomError):
        dicom_files(root, strict=True)


def test_a_linked_folder_is_followed_once_and_after_real_ones(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "two").write_bytes(b"x")
    root = tmp_path / "root"
    (root / "z").mkdir(parents=True)
    (root / "z" / "one").write_bytes(b"x")
    (root / "a").symlink_to(root / "z")
    (root / "b").symlink_to(elsewhere)
    (root / "c").symlink_to(elsewhere)
    found = dicom_files(root)
    assert found.files == (Source(root / "z" / "one"), Source(root / "b" / "two"))
    assert [os.path.basename(name) for name, _ in found.left_out] == ["a", "c"]


def test_a_pipe_is_never_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    found = dicom_files(tmp_path)
    assert found == ((), (LeftOut(str(tmp_path / "pipe"), "no regular file"),))
    for read in (dicom_files([tmp_path / "pipe"]).left_out, dicom_files(tmp_path).left_out):
        assert "no regular file" in read[0].reason
    with pytest.raises(NotDicom, match="no regular file"):
        read_dataset(tmp_path / "pipe")
    with pytest.raises(NotDicom, match="no regular file"):
        read_dataset(tmp_path)


def test_a_zip_archive(series, tmp_path):
    archive = tmp_path / "study.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for file in sorted(series.iterdir()):
            out.write(file, f"ct/{file.name}")
        out.writestr("ct/notes.txt", "no image")
        out.writestr("ct/.hidden", "no image")
    found = dicom_files(archive)
    assert [source.member for source in found.files] == [f"ct/slice-000{i}.dcm" for i in (1, 2, 3)]
    assert found.left_out == ()
    first = found.files[0]
    assert first.name == f"{archive}!ct/slice-0001.dcm"
    assert first.size == (series / "slice-0001.dcm").stat().st_size
    expected = pydicom.dcmread(series / "slice-0001.dcm")
    assert read_dataset(first, pixels=True) == expected
    assert "PixelData" not in read_dataset(first)
    # Within a folder an archive is no image; the reason says how to read it.
    assert names(dicom_files(tmp_path)).count("study.zip") == 1
    with pytest.raises(NotDicom, match="a zip archive, to be given by itself"):
        read_dataset(archive)


@pytest.fixture
def disc(series, tmp_path):
    """A folder as PS3.10 wants it on a disc: names of 8 capitals, in a DICOMDIR's records."""
    folder = tmp_path / "disc"
    (folder / "PT000000" / "SE000000").mkdir(parents=True)
    directory = pydicom.Dataset()
    directory.FileSetID = "DISC"
    records = [pydicom.Dataset()]
    records[0].DirectoryRecordType, records[0].PatientID = "PATIENT", "p"
    for index, file in enumerate(sorted(series.iterdir())):
        parts = ["PT000000", "SE000000", f"IM{index:06}"]
        shutil.copy(file, folder.joinpath(*parts))
        record = pydicom.Dataset()
        record.DirectoryRecordType, record.RecordInUseFlag = "IMAGE", 0xFFFF
        record.ReferencedFileID = parts
        records.append(record)
    directory.DirectoryRecordSequence = records
    directory.file_meta = pydicom.dataset.FileMetaDataset()
    directory.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    directory.file_meta.MediaStorageSOPClassUID = pydicom.uid.MediaStorageDirectoryStorage
    directory.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    directory.save_as(folder / "DICOMDIR", enforce_file_format=True)
    return folder


def test_a_dicomdir(disc):
    found = dicom_files(disc / "DICOMDIR")
    assert found.left_out == ()
    assert names(found) == ["IM000000", "IM000001", "IM000002"]
    assert dicom_files(disc).files == found.files


def test_a_dicomdir_whose_files_were_copied_in_lower_case(disc):
    for folder, subfolders, files in os.walk(disc, topdown=False):
        for name in (*subfolders, *(name for name in files if name != "DICOMDIR")):
            os.rename(os.path.join(folder, name), os.path.join(folder, name.lower()))
    found = dicom_files(disc / "DICOMDIR")
    assert (len(found.files), found.left_out) == (3, ())
    assert all(source.path.is_file() for source in found.files)


def refer(disc, *parts):
    ds = pydicom.dcmread(disc / "DICOMDIR")
    records = [record for record in ds.DirectoryRecordSequence if "ReferencedFileID" in record]
    records[0].add_new("ReferencedFileID", "LO", list(parts) if len(parts) > 1 else parts[0])
    ds.save_as(disc / "DICOMDIR")


@pytest.mark.parametrize(
    ("parts", "error"),
    [
        (("..", "secret"), OutsideFolder),
        (("A", "..", "..", "secret"), OutsideFolder),
        (("../secret",), OutsideFolder),
        (("/etc/passwd",), OutsideFolder),
        (("OUT", "SECRET"), OutsideFolder),
        (("NOT", "THERE"), NotDicom),
        (("DICOMDIR", "BELOW"), NotDicom),
    ],
)
def test_a_dicomdir_never_leads_out_of_its_folder(disc, tmp_path, parts, error):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "SECRET").write_bytes(b"x")
    (tmp_path / "secret").write_bytes(b"x")
    (disc / "OUT").symlink_to(outside)
    refer(disc, *parts)
    found = dicom_files(disc / "DICOMDIR")
    assert len(found.files) == 2
    assert len(found.left_out) == 1
    assert "refers to" in found.left_out[0].reason
    with pytest.raises(error, match="DICOMDIR: refers to"):
        dicom_files(disc / "DICOMDIR", strict=True)


def test_inactive_records_are_passed_over(disc):
    ds = pydicom.dcmread(disc / "DICOMDIR")
    records = [record for record in ds.DirectoryRecordSequence if "ReferencedFileID" in record]
    records[1].RecordInUseFlag = 0
    ds.save_as(disc / "DICOMDIR")
    assert len(dicom_files(disc / "DICOMDIR").files) == 2


def test_a_dicomdir_that_is_none(tmp_path):
    (tmp_path / "DICOMDIR").write_text("no directory")
    with pytest.raises(NotDicom):
        dicom_files(tmp_path / "DICOMDIR")
    assert len(dicom_files([tmp_path / "DICOMDIR"]).left_out) == 1
