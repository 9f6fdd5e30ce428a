"""Broken files are read or refused by a typed error, and never anything else."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from kmed.data.dicom.writer import StudyHeader, write_series

SPEC = importlib.util.spec_from_file_location(
    "dicom_mutations", Path(__file__).parents[2] / "benchmarks" / "dicom_mutations.py"
)
mutations = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(mutations)


def outcomes(files, numbers, folder):
    """How many mutations were read, and how many refused; whatever is untyped raises."""
    found = {"read": 0, "refused": 0}
    for number in numbers:
        (folder / "mutated.dcm").write_bytes(mutations.made(files, 0, number)[2])
        outcome = mutations.read_all(folder / "mutated.dcm")
        found["read" if outcome == "read" else "refused"] += 1
    return found


def test_slices_of_a_phantom(tmp_path):
    study = StudyHeader(patient_id="p", patient_name="A^B", entropy=("p",), date="20250101")
    files = write_series(
        tmp_path / "ct", np.arange(4 * 30 * 40).reshape(4, 30, 40) % 3000, np.diag([2, 1, 1, 1.0]),
        study, modality="CT", name="ct", number=1,
    )  # fmt: skip
    found = outcomes(files, range(150), tmp_path)
    assert min(found.values()) > 5


def test_files_of_every_transfer_syntax(shared_data, tmp_path):
    files = mutations.good_files(shared_data / "data" / "dicom")
    assert min(outcomes(files, range(300), tmp_path).values()) > 20


@pytest.mark.parametrize("number", [3192, 9699, 11653, 14139])
def test_values_of_a_wrong_vr_that_pydicom_converts_late(shared_data, tmp_path, number):
    files = mutations.good_files(shared_data / "data" / "dicom")
    assert outcomes(files, [number], tmp_path) == {"read": 0, "refused": 1}


def test_malformed_files(shared_data):
    files = sorted((shared_data / "data" / "dicom" / "malformed").rglob("*.dcm"))
    assert len(files) > 30
    assert "Damaged" in {mutations.read_all(file) for file in files}
