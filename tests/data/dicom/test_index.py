"""The index of an archive: what it holds, what it notices, what it keeps to itself."""

import os
import shutil
import sqlite3
import zipfile
from dataclasses import fields, replace

import numpy as np
import pydicom
import pytest

import kmed
from kmed.data import DataError, dicom_series
from kmed.data.dicom import index as module
from kmed.data.dicom.deidentification.pseudonyms import Key
from kmed.data.dicom.files import Source
from kmed.data.dicom.frames import Frame
from kmed.data.dicom.header import read_header
from kmed.data.dicom.header_text import LAYOUT, header_of, header_text
from kmed.data.dicom.index import ArchiveIndex, Counts
from kmed.data.dicom.writer import StudyHeader, write_series

AXIAL = np.array([[0, 0, 0.7, 0], [0, 0.8, 0, 0], [2.5, 0, 0, 0], [0, 0, 0, 1.0]])


def write(root, patient, name, slices=4, modality="CT"):
    study = StudyHeader(
        patient_id=patient,
        patient_name="Zeppelin^Ada",
        entropy=(patient,),
        date="20230517",
        attributes={"InstitutionName": "Nordklinik", "StudyDescription": "Querschnitt"},
    )
    array = np.full((slices, 6, 8), 7, np.int16)
    return write_series(
        root / patient[-1] / name, array, AXIAL, study, modality=modality, name=name, number=1
    )


@pytest.fixture
def root(tmp_path):
    for patient in ("PAT-77-a", "PAT-77-b"):
        write(tmp_path / "archive", patient, "ct")
    write(tmp_path / "archive", "PAT-77-a", "t1", 3, "MR")
    return tmp_path / "archive"


@pytest.fixture
def index(tmp_path):
    return ArchiveIndex(tmp_path / "archive.index")


def test_only_what_has_changed_is_read(root, index, monkeypatch):
    seen = []
    read = module.read_rows
    monkeypatch.setattr(module, "read_rows", lambda task: seen.extend(task.sources) or read(task))
    told = []
    assert index.build(root, progress=lambda *some: told.append(some)) == Counts(11, 0, 0, 0, 0)
    assert told == [(11, 11)]
    assert len(seen) == 11
    assert index.build(root) == Counts(0, 0, 0, 11, 0)
    assert len(seen) == 11
    files = sorted((root / "b" / "ct").iterdir())
    ds = pydicom.dcmread(files[0])
    ds.SeriesInstanceUID = "1.2.3"
    ds.save_as(files[0])
    files[1].unlink()
    (root / "notes").write_text("nothing")
    assert index.build(root) == Counts(1, 1, 1, 9, 1)
    assert {source.path.name for source in seen[11:]} == {files[0].name, "notes"}
    slices = {row.series_uid: row.volumes[0].shape[0] for row in index.series()}
    assert sorted(slices.values()) == [1, 2, 3, 4]
    assert slices["1.2.3"] == 1
    # What can't be read is not tried again either, until it changes.
    assert index.build(root) == Counts(0, 0, 0, 11, 1)
    ((name, reason),) = index.left_out()
    assert name == str(root / "notes")
    assert reason.startswith("not a DICOM file")
    shutil.rmtree(root / "a")
    assert index.build(root).removed == 7
    assert len(index.series()) == 2


def test_rows_and_filters(root, index):
    index.build(root)
    rows = index.series()
    said = sorted((row.modality, len(row.files)) for row in rows)
    assert said == [("CT", 4), ("CT", 4), ("MR", 3)]
    order = [(row.patient, row.study_uid, row.series_uid) for row in rows]
    assert order == sorted(order)
    (mr,) = index.series(modality="mr")
    (volume,) = mr.volumes
    assert (volume.shape, volume.problem, volume.split_by) == ((3, 6, 8), None, {})
    assert volume.spacing_mm == pytest.approx((2.5, 0.8, 0.7))
    assert mr.files == tuple(str(path) for path in sorted((root / "a" / "t1").iterdir()))
    assert len(index.series(min_slices=4)) == 2
    (root / "b" / "ct" / "slice-0002.dcm").unlink()
    index.build(root)
    problems = {row.volumes[0].problem for row in index.series(modality="CT")}
    assert problems == {None, "SlicesMissing"}


def test_samples_are_those_of_the_folder(root, index):
    index.build(root)
    found, expected = index.samples(), dicom_series(root)
    for one, other in zip(found, expected, strict=True):
        assert (one.id, one.files, one.modality) == (other.id, other.files, other.modality)
        for mine, theirs in zip(one.read(), other.read(), strict=True):
            np.testing.assert_array_equal(mine, theirs)
    patients = {one.id: one.patient for one in found}
    assert patients["a/ct"] == patients["a/t1"] != patients["b/ct"]
    assert [one.id for one in index.samples(modality="MR")] == ["a/t1"]
    (root / "b" / "ct" / "slice-0002.dcm").unlink()
    (root / "broken.dcm").write_bytes(b"")
    index.build(root)
    with pytest.raises(DataError, match="missing"):
        index.samples()
    left_out = []
    assert len(index.samples(left_out=left_out)) == 2
    assert [name for name, _ in left_out] == [str(root / "broken.dcm"), "b/ct"]
    # The decision reaches the volume.
    (sample,) = [s for s in index.samples(missing="largest_block", left_out=[]) if s.id == "b/ct"]
    assert sample.read().image.shape == (2, 6, 8, 1)


def test_headers_are_kept_whole(root, index, tmp_path):
    index.build(root)
    path = root / "a" / "t1" / "slice-0002.dcm"
    header = read_header(path)
    keys = (("EchoTime", 4.6), ("DiffusionGradientOrientation", (0.0, 1.0, 0.5)), ("StackID", "1"))
    frames = tuple(replace(header.frames[0], index=i, keys=keys, tile=(0, i, 2, 2)) for i in (0, 1))
    for one in (header, replace(header, frames=frames), replace(header, frames=frames[:1])):
        kept = header_of(header_text(one, str.upper), Source(path))
        assert kept == replace(one, description="")
    assert set(LAYOUT.split(",")) >= {field.name for field in fields(Frame)}
    assert path.read_bytes().count(b"t1")  # the description, which is not kept


def test_words_that_may_be_anything_are_hidden(root):
    header = read_header(root / "a" / "t1" / "slice-0001.dcm")
    keys = (
        ("AcquisitionDateTime", "20230517"),
        ("(0019,100C)", ("Roe",)),
        ("ConvolutionKernel", ("Br40", "3")),
        ("ComplexImageComponent", "PHASE"),
    )
    header = replace(header, frames=(replace(header.frames[0], keys=keys),))
    text = header_text(header, Key(bytes(32)).patient)
    assert "20230517" not in text.shared
    assert "Roe" not in text.shared
    kept = dict(header_of(text, header.source).frames[0].keys)
    assert kept["ConvolutionKernel"] == ("Br40", "3")
    assert kept["ComplexImageComponent"] == "PHASE"


def test_no_patient_is_in_the_file(root, index, tmp_path):
    index.build(root)
    content = (tmp_path / "archive.index").read_bytes()
    for word in (b"PAT-77", b"Zeppelin", b"20230517", b"Nordklinik", b"Querschnitt"):
        assert word not in content
    if os.name == "posix":
        assert (tmp_path / "archive.index").stat().st_mode & 0o077 == 0
    other = ArchiveIndex(tmp_path / "other.index")
    other.build(root)
    assert {row.patient for row in index.series()}.isdisjoint(r.patient for r in other.series())
    plain = ArchiveIndex(tmp_path / "plain.index", identifiers=True)
    plain.build(root)
    assert {row.patient for row in plain.series()} == {"PAT-77-a", "PAT-77-b"}
    with pytest.raises(DataError, match="identifiers=True"):
        ArchiveIndex(tmp_path / "plain.index")


def test_an_interrupted_build_goes_on(root, index, monkeypatch):
    monkeypatch.setattr(module, "_AT_ONCE", 2)
    monkeypatch.setattr(module, "_COMMITTED", 4)

    def stop(done, total):
        if done >= 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index.build(root, progress=stop)
    assert index.series() == []  # none is described yet
    counts = index.build(root)
    assert (counts.added, counts.unchanged) == (7, 4)
    assert len(index.series()) == 3


def test_processes_read_the_same(root, index, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_AT_ONCE", 3)
    (root / "broken").write_bytes(b"x" * 200)
    assert index.build(root, workers=2) == Counts(12, 0, 0, 0, 1)
    other = ArchiveIndex(tmp_path / "other.index")
    other.build(root)
    assert sorted(row.files for row in index.series()) == sorted(r.files for r in other.series())
    assert index.left_out() == other.left_out()


def test_archives_that_move_and_zip_archives(root, index, tmp_path):
    index.build(root)
    with pytest.raises(DataError, match="an index of .* still there"):
        index.build(root / "a")
    moved = root.rename(tmp_path / "moved")
    assert index.build(moved).unchanged == 11
    assert all(file.startswith(str(moved)) for row in index.series() for file in row.files)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in sorted((moved / "a" / "ct").iterdir()):
            archive.write(path, f"ct/{path.name}")
    zipped = ArchiveIndex(tmp_path / "zip.index")
    assert zipped.build(tmp_path / "a.zip").added == 4
    assert zipped.build(tmp_path / "a.zip").unchanged == 4
    assert zipped.series()[0].files[0] == f"{tmp_path / 'a.zip'}!ct/slice-0001.dcm"
    assert zipped.samples()[0].read().image.shape == (4, 6, 8, 1)


@pytest.mark.skipif(os.name != "posix", reason="names of bytes are POSIX's")
def test_names_that_are_no_text(root, index):
    strange = os.path.join(os.fsencode(root), b"caf\xe9")
    try:
        os.rename(os.fsencode(root / "b"), strange)
    except OSError:
        pytest.skip("the file system takes UTF-8 alone")
    assert index.build(root).added == 11
    assert index.build(root).unchanged == 11
    assert len(index.samples()) == 3


def test_another_version_reads_again(root, index, tmp_path, monkeypatch):
    index.build(root)
    monkeypatch.setattr(kmed, "__version__", "999")
    assert index.build(root).changed == 11
    assert index.build(root).unchanged == 11


def test_files_that_are_no_index(root, tmp_path):
    (tmp_path / "text").write_text("no database at all, but long enough to be one" * 100)
    with pytest.raises(DataError, match="can't be used as an index"):
        ArchiveIndex(tmp_path / "text")
    with sqlite3.connect(tmp_path / "other") as db:
        db.execute("CREATE TABLE mine (x)")
    db.close()
    with pytest.raises(DataError, match="no index of kmed"):
        ArchiveIndex(tmp_path / "other").build(root)
    index = ArchiveIndex(tmp_path / "index")
    with pytest.raises(DataError, match=r"make it with build\(root\)"):
        index.series()
    index.build(root)
    with sqlite3.connect(tmp_path / "index") as db:
        db.execute("PRAGMA user_version = 77")
    db.close()
    with pytest.raises(DataError, match="another version of kmed"):
        ArchiveIndex(tmp_path / "index")
    with pytest.raises(DataError, match="no such file"):
        ArchiveIndex(tmp_path / "new").build(tmp_path / "nowhere")
    (root / "DICOMDIR").write_bytes(b"")
    with pytest.raises(DataError, match="an index is of a folder"):
        ArchiveIndex(tmp_path / "new").build(root / "DICOMDIR")
