"""Broken files are read or refused by a typed error, and never anything else."""

from __future__ import annotations

import importlib.util
import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from kmed.data.dicom.writer import StudyHeader, write_series


def benchmark(name):
    path = Path(__file__).parents[2] / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


broken, reading = benchmark("dicom_broken"), benchmark("dicom_reading")
ROWS, SLOPE, PATIENT = b"\x28\0\x10\0US", b"\x28\0\x53\x10DS", b"\x10\0\x20\0LO"
SYNTAX, THICKNESS, PIXELS = b"\x02\0\x10\0UI", b"\x18\0\x50\0DS", b"\xe0\x7f\x10\0OW"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Slices of a phantom, and one of which each frame is compressed."""
    folder = tmp_path_factory.mktemp("good")
    study = StudyHeader(patient_id="p", patient_name="A^B", entropy=("p",), date="20250101")
    array, affine = np.arange(4 * 30 * 40).reshape(4, 30, 40) % 3000, np.diag([2, 1, 1, 1.0])
    paths = write_series(folder / "ct", array, affine, study, modality="CT", name="ct", number=1)
    for syntax in ("RLELossless", "JPEGLSLossless"):
        ds = dcmread(paths[0])
        ds.compress(getattr(__import__("pydicom").uid, syntax))
        ds.save_as(folder / f"{syntax}.dcm")
        paths.append(folder / f"{syntax}.dcm")
    return paths


def outcomes(groups, numbers, folder):
    """How many mutations came to what; whatever is untyped raises."""
    found = Counter()
    for number in numbers:
        (folder / "mutated.dcm").write_bytes(broken.made(groups, 0, number)[2])
        found[reading.read_all(folder / "mutated.dcm").outcome] += 1
    assert not found["MEMORY"]
    return found


def test_mutations_of_phantoms(files, tmp_path):
    found = outcomes([files], range(100), tmp_path)
    assert found["read"] > 5 and found["Damaged"] > 5


def test_mutations_of_every_transfer_syntax(shared_data, tmp_path):
    groups = broken.good_files(shared_data / "data" / "dicom")
    assert len(groups) > 10
    found = outcomes(groups, range(300), tmp_path)
    assert found["read"] > 20 and len(found) > 5


def test_every_element_is_found(files):
    data = files[0].read_bytes()
    ds = dcmread(files[0])
    tags = [*ds.file_meta.keys(), *ds.keys()]
    assert [one.tag for one in broken.elements_of(data)] == [(t.group, t.element) for t in tags]
    assert broken.elements_of(data)[-1].end == len(data)


@pytest.mark.parametrize("name", sorted(broken.MUTATIONS))
def test_each_mutation_changes_the_file(files, name):
    data, other = files[0].read_bytes(), files[-1].read_bytes()
    random = np.random.default_rng(0)
    change = broken.MUTATIONS[name][0]
    changed = [change(data, broken.elements_of(data), other, random) != data for _ in range(9)]
    assert sum(changed) > 4


def replaced(data, tag, value):
    """The file with another value of an element, its length right."""
    at = data.index(tag)
    (length,) = struct.unpack_from("<H", data, at + 6)
    return data[: at + 6] + struct.pack("<H", len(value)) + value + data[at + 8 + length :]


def declaring(data, tag, length):
    """The file with another length of its pixels."""
    at = data.index(tag) + 8
    return data[:at] + struct.pack("<L", length) + data[at + 4 :]


NESTED = b"\x08\0\x15\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff"
BY_HAND = {
    "empty": (lambda d: b"", "NotDicom"),
    "only the preamble": (lambda d: d[:132], "Damaged"),
    "cut within a header": (lambda d: d[:400], "Damaged"),
    "cut within the pixels": (lambda d: d[:-100], "Damaged"),
    "cut before the pixels": (lambda d: d[: d.index(PIXELS)], "Damaged"),
    "pixels of 4 GB": (lambda d: declaring(d, PIXELS, 0xFFFFFFF0), "Damaged"),
    "pixels without end": (lambda d: declaring(d, PIXELS, 0xFFFFFFFF), "Damaged"),
    "no pixels": (lambda d: declaring(d, PIXELS, 0)[: d.index(PIXELS) + 12], "Damaged"),
    "more rows than pixels": (lambda d: replaced(d, ROWS, b"\xff\xff"), "Damaged"),
    "fewer rows than pixels": (lambda d: replaced(d, ROWS, b"\1\0"), "Damaged"),
    "no rows": (lambda d: replaced(d, ROWS, b"\0\0"), "Damaged"),
    "rows of another VR": (lambda d: d.replace(ROWS, ROWS[:4] + b"FD"), "Damaged"),
    "a VR that is none": (lambda d: d.replace(PATIENT, PATIENT[:4] + b"ZZ"), "read"),
    "nested": (lambda d: d.replace(PATIENT, NESTED * 5000 + PATIENT), "TooLarge"),
    "an element twice": (lambda d: d.replace(PATIENT, PATIENT + b"\0\0" + PATIENT), "Damaged"),
    "a slope of 0": (lambda d: replaced(d, SLOPE, b"0 "), "UnsupportedPixels"),
    "an infinite slope": (lambda d: replaced(d, SLOPE, b"1e400 "), "UnsupportedPixels"),
    "a slope too large": (lambda d: replaced(d, SLOPE, b"1e300 "), "UnsupportedPixels"),
    "a thickness too large": (lambda d: replaced(d, THICKNESS, b"1e300 "), "NoGeometry"),
    "a transfer syntax that is none": (lambda d: replaced(d, SYNTAX, b"1.2.3\0"), "MissingCodec"),
    "a transfer syntax of 4 bytes": (
        lambda d: d.replace(SYNTAX, SYNTAX[:4] + b"UL"),
        "MissingCodec",
    ),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_broken_by_hand(files, tmp_path, name):
    change, outcome = BY_HAND[name]
    data = files[0].read_bytes()
    changed = change(data)
    assert changed != data
    (tmp_path / "broken.dcm").write_bytes(changed)
    assert reading.read_all(tmp_path / "broken.dcm").outcome == outcome


def test_malformed_files(shared_data):
    files = sorted((shared_data / "data" / "dicom" / "malformed").rglob("*.dcm"))
    assert len(files) > 30
    assert "Damaged" in {reading.read_all(file).outcome for file in files}
