import hashlib
import importlib
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from kmed.data.dicom.samples import dicom_series
from kmed.data.dicom.series import read_series
from kmed.data.phantoms import phantom, phantom_source, phantoms
from kmed.data.sample import DataError

# The package binds the function of that name over its module.
module = importlib.import_module("kmed.data.phantoms")
TINY = {"seed": 5, "shape": (8, 32, 32), "spacing_mm": (15.0, 10.5, 10.5)}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return phantoms(tmp_path_factory.mktemp("phantoms") / "set", patients=3, **TINY)


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_layout(root):
    assert sorted(path.name for path in root.iterdir()) == [
        "dataset.json",
        "patient-0001",
        "patient-0002",
        "patient-0003",
    ]
    assert sorted(path.name for path in (root / "patient-0001").iterdir()) == [
        "ct",
        "findings.json",
        "mask.nii.gz",
        "t1",
        "t2",
    ]
    dataset = json.loads((root / "dataset.json").read_text())
    assert dataset["kmed"] == 1 and dataset["modalities"] == ["ct", "t1", "t2"]
    assert dataset["labels"] == ["background", "liver", "kidney", "spleen", "lesion"]


@pytest.mark.parametrize("modality", ["ct", "t1", "t2"])
def test_files_give_back_what_was_made(root, modality):
    samples = phantom_source(root, modality=modality)
    assert [sample.patient for sample in samples] == [f"patient-000{k}" for k in (1, 2, 3)]
    for k, sample in enumerate(samples):
        made = phantom(patient=k, **TINY)
        read = sample.read()
        np.testing.assert_array_equal(read.image[..., 0], getattr(made, modality))
        np.testing.assert_array_equal(read.mask, made.mask)
        np.testing.assert_allclose(read.affine, made.affine, atol=1e-9)
        assert read.spacing_mm == pytest.approx(made.spacing_mm)
        assert read.image.dtype == np.int16
        assert sample.label == made.label
        assert len(sample.files) == 9 and all(Path(file).is_file() for file in sample.files)


def test_modalities_share_a_frame_of_reference_and_study(root):
    ct, t1, t2 = (read_series(root / "patient-0001" / m) for m in ("ct", "t1", "t2"))
    assert ct.frame_of_reference_uid == t1.frame_of_reference_uid == t2.frame_of_reference_uid
    assert ct.study_uid == t1.study_uid and ct.series_uid != t1.series_uid != t2.series_uid
    other = read_series(root / "patient-0002" / "ct")
    assert other.frame_of_reference_uid != ct.frame_of_reference_uid


def test_mask_is_in_the_place_that_nibabel_finds(root):
    made = phantom(patient=0, **TINY)
    image = nib.load(root / "patient-0001" / "mask.nii.gz")
    stored = np.asarray(image.dataobj)
    ras = image.affine @ np.array([*np.argwhere(stored == 3).mean(0), 1.0])
    lps = made.affine @ np.array([*np.argwhere(made.mask == 3).mean(0), 1.0])
    np.testing.assert_allclose(ras[:3] * (-1, -1, 1), lps[:3], atol=1e-3)


def test_equal_seeds_give_equal_bytes_whatever_the_number(root, tmp_path):
    other = phantoms(tmp_path / "more", patients=2, **TINY)
    want = {k: v for k, v in hashes(root).items() if k.startswith(("patient-0001", "patient-0002"))}
    got = hashes(other)
    del got["dataset.json"]
    assert got == want
    phantoms(other, patients=3, **TINY)  # more patients later
    assert hashes(other) == hashes(root)


def test_finished_patients_are_kept_and_missing_ones_made(root, tmp_path, monkeypatch):
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    shutil.rmtree(copy / "patient-0002")
    with pytest.raises(DataError, match="patient-0002: missing, the phantoms are unfinished"):
        phantom_source(copy)
    made = []

    def counted(seed, *, patient, **kwargs):
        made.append(patient)
        return phantom(seed, patient=patient, **kwargs)

    monkeypatch.setattr(module, "phantom", counted)
    phantoms(copy, patients=3, **TINY)
    assert made == [1]
    assert hashes(copy) == hashes(root)


def test_a_failure_leaves_no_half_patient(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr(module, "write_nifti", fail)
    with pytest.raises(OSError, match="No space"):
        phantoms(tmp_path / "set", patients=1, **TINY)
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["dataset.json"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 6}, "seed: 5 there, 6 asked"),
        ({"shape": (8, 32, 40)}, "shape"),
        ({"modalities": ("ct",)}, "modalities"),
        ({"patients": 2}, "patients: 3 there, 2 asked"),
    ],
)
def test_other_arguments_in_the_same_folder(root, change, said):
    with pytest.raises(DataError, match=said):
        phantoms(root, **({"patients": 3, **TINY} | change))


def test_killed_before_anything_had_its_name(tmp_path):
    (tmp_path / ".dataset.json.123").write_text('{"kmed"')
    phantoms(tmp_path, patients=1, **TINY)
    assert phantom_source(tmp_path)[0].patient == "patient-0001"


def test_foreign_folders_are_refused(tmp_path):
    (tmp_path / "photo.png").write_bytes(b"")
    with pytest.raises(DataError, match="not an empty folder"):
        phantoms(tmp_path, patients=1)
    with pytest.raises(DataError, match=r"no dataset\.json"):
        phantom_source(tmp_path)
    (tmp_path / "dataset.json").write_text('{"name": "Task04_Hippocampus"}')
    with pytest.raises(DataError, match="not written by phantoms"):
        phantom_source(tmp_path)


def test_arguments_out_of_range(tmp_path):
    for arguments in ({"patients": 0}, {"modalities": ("pet",)}, {"modalities": "ct"}):
        with pytest.raises(ValueError, match="must be"):
            phantoms(tmp_path / "set", **arguments)
    assert not (tmp_path / "set").exists()


def test_missing_modality_and_missing_slice(tmp_path):
    root = phantoms(tmp_path / "set", patients=1, modalities=("ct",), **TINY)
    with pytest.raises(DataError, match="no modality 't1'"):
        phantom_source(root, modality="t1")
    (root / "patient-0001" / "ct" / "slice-0003.dcm").unlink()
    with pytest.raises(DataError, match="7 slices where dataset.json says 8"):
        phantom_source(root)


def test_dicom_series_finds_every_series(root):
    samples = dicom_series(root)
    assert [sample.id for sample in samples][:3] == [
        f"patient-0001/{m}" for m in ("ct", "t1", "t2")
    ]
    assert len(samples) == 9 and {sample.patient for sample in samples} == {
        "patient-0001",
        "patient-0002",
        "patient-0003",
    }
    assert len(dicom_series(root, modality="ct")) == 3
