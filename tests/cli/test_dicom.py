"""kmed dicom: a tree for people, JSON for programs, exit statuses."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kmed.data.dicom.writer import StudyHeader, write_series

AFFINE = np.array([[0, 0, 0.8, -30], [0, 0.7, 0, 12], [2.5, 0, 0, 100], [0, 0, 0, 1.0]])


@pytest.fixture
def study(tmp_path):
    header = StudyHeader(patient_id="MRN-7", patient_name="A^B", entropy=("p",), date="20250101")
    array = np.arange(4 * 5 * 6).reshape(4, 5, 6)
    for name in ("good", "bad"):
        files = write_series(
            tmp_path / "in" / name, array, AFFINE, header, modality="CT", name=name, number=1
        )
    files[1].unlink()
    (tmp_path / "in" / "IM1").write_bytes(b"no DICOM")
    return tmp_path


def test_inspect_shows_a_tree_without_patient_ids(run, study):
    result = run("dicom", "inspect", study / "in")
    assert result.exit_code == 0, result.output
    for text in ("patient 1", "CT", "4 x 5 x 6  2.5 x 0.7 x 0.8 mm", "SlicesMissing"):
        assert text in result.stdout
    assert "IM1" in result.stderr and "MRN-7" not in result.output
    assert "MRN-7" in run("dicom", "inspect", study / "in", "--ids").stdout


def test_inspect_gives_json(run, study):
    content = json.loads(run("dicom", "inspect", study / "in", "--json").stdout)
    ((first, second),) = [
        [volume for series in one["series"] for volume in series["volumes"]]
        for one in content["patients"][0]["studies"]
    ]
    assert first["error"]["figures"]["missing"] == 1 and first["spacing_mm"] is None
    assert second["shape"] == [4, 5, 6] and second["spacing_mm"] == [2.5, 0.7, 0.8]
    assert content["left_out"][0]["file"].endswith("IM1")


def test_inspect_of_nothing(run, tmp_path):
    result = run("dicom", "inspect", tmp_path)
    assert result.exit_code == 0 and "no DICOM images" in result.stdout


def test_convert_writes_what_it_can_and_says_what_it_refused(run, study):
    result = run("dicom", "convert", study / "in", "--output", study / "out")
    assert result.exit_code == 1
    assert "failed: bad:" in result.stderr and "1 files in" in result.stdout
    assert [path.name for path in (study / "out").iterdir()] == ["good.nii.gz"]
    (study / "in" / "IM1").unlink()
    again = run(
        "dicom", "convert", study / "in", "--output", study / "out", "--missing", "resample"
    )
    assert again.exit_code == 0 and "2 files in" in again.stdout
    assert run("dicom", "convert", study / "in", "--tilt", "ignore").exit_code == 2


def test_deidentify(run, study):
    words = ("dicom", "deidentify", study / "in", "--output", study / "out", "--key", study / "key")
    result = run(*words, "--dates", "shift", "--retain", "patient")
    assert result.exit_code == 1 and "failed: " in result.stderr and "IM1" in result.stderr
    written = [path for path in (study / "out").rglob("*.dcm")]
    assert len(written) == 7 and "7 files in" in result.stdout
    assert not any(b"MRN-7" in path.read_bytes() for path in written)
    again = run(*words, "--dates", "shift", "--retain", "patient")
    assert "0 files in" in again.stdout and "7 were there" in again.stdout
    other = run(*words)
    assert other.exit_code == 2 and "other options or another key" in other.stderr
