"""An archive in words: numbered patients, figures of what is wrong, nothing but JSON."""

import json

import numpy as np
import pydicom

from kmed.data.dicom.described import described
from kmed.data.dicom.volumes import volumes_of
from kmed.data.dicom.writer import StudyHeader, write_series

AFFINE = np.array([[0, 0, 0.8, -30], [0, 0.7, 0, 12], [2.5, 0, 0, 100], [0, 0, 0, 1.0]])


def make(folder, patient):
    study = StudyHeader(patient_id=patient, patient_name="A^B", entropy=(patient,), date="20250101")
    array = np.arange(4 * 5 * 6).reshape(4, 5, 6)
    return write_series(folder, array, AFFINE, study, modality="CT", name="ct", number=1)


def test_patients_are_numbered_unless_identifiers_are_wanted(tmp_path):
    make(tmp_path / "b", "MRN-2")
    make(tmp_path / "a", "MRN-1")[1].unlink()
    (tmp_path / "IM1").write_bytes(b"no DICOM")
    archive = volumes_of(tmp_path)
    content = described(archive)
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert [one["patient"] for one in content["patients"]] == ["patient 1", "patient 2"]
    assert "MRN" not in json.dumps(content)
    named = described(archive, identifiers=True)
    assert [one["patient"] for one in named["patients"]] == ["MRN-1", "MRN-2"]
    assert [one["file"] for one in content["left_out"]] == [str(tmp_path / "IM1")]


def test_a_study_of_two_patients_is_each_ones(tmp_path):
    """A Study Instance UID that was used twice."""
    make(tmp_path / "a", "MRN-1")
    for file in make(tmp_path / "b", "MRN-2"):
        ds = pydicom.dcmread(file)
        ds.StudyInstanceUID = pydicom.dcmread(tmp_path / "a" / file.name).StudyInstanceUID
        ds.save_as(file)
    content = described(volumes_of(tmp_path), identifiers=True)
    assert [one["patient"] for one in content["patients"]] == ["MRN-1", "MRN-2"]
    folders = [s["folder"] for p in content["patients"] for s in p["studies"][0]["series"]]
    assert folders == [str(tmp_path / "a"), str(tmp_path / "b")]


def test_slices_of_two_patients_are_told_apart_without_naming_them(tmp_path):
    for file in make(tmp_path, "MRN-1")[2:]:
        ds = pydicom.dcmread(file)
        ds.PatientID = "MRN-2"
        ds.save_as(file)
    content = described(volumes_of(tmp_path))
    assert "MRN" not in json.dumps(content, allow_nan=False)
    (study,) = content["patients"][0]["studies"]
    volumes = study["series"][0]["volumes"]
    assert [volume["split_by"] for volume in volumes] == [{"patient": 1}, {"patient": 2}]


def test_a_volume_with_its_grid_or_the_figures_of_why_it_has_none(tmp_path):
    make(tmp_path / "a", "MRN-1")[1].unlink()
    make(tmp_path / "b", "MRN-2")
    broken, whole = [
        one["studies"][0]["series"][0]["volumes"][0]
        for one in described(volumes_of(tmp_path))["patients"]
    ]
    assert whole == {
        "shape": [4, 5, 6], "spacing_mm": [2.5, 0.7, 0.8], "split_by": {}, "problems": [],
    }  # fmt: skip
    assert broken["shape"] == [3, 5, 6] and broken["spacing_mm"] is None
    assert broken["error"]["type"] == "SlicesMissing"
    assert broken["error"]["figures"]["missing"] == 1
