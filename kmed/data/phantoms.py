"""Synthetic studies on disk: DICOM series of CT, T1 and T2 with mask, boxes and class label."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from kmed.data.dicom.series import read_series
from kmed.data.dicom.writer import StudyHeader, write_series
from kmed.data.masks import class_indices
from kmed.data.nifti import read_nifti, write_nifti
from kmed.data.nifti_grid import Grid, require_same_grid
from kmed.data.phantom_tissues import LABELS
from kmed.data.phantom_volume import SEQUENCES, Phantom, checked_grid, patient_name, phantom
from kmed.data.sample import Arrays, DataError, Sample

__all__ = ["Phantom", "phantom", "phantom_source", "phantoms"]

MODALITIES = ("ct", "t1", "t2")
_FORMAT = 1  # of dataset.json; a change of anatomy or physics counts it up
_STALE_S = 3600.0


def phantoms(
    root: str | os.PathLike,
    *,
    patients: int = 12,
    seed: int = 0,
    shape: tuple[int, int, int] = (24, 96, 96),
    spacing_mm: tuple[float, float, float] = (5.0, 3.5, 3.5),
    modalities: Sequence[str] = MODALITIES,
) -> Path:
    """Writes synthetic abdominal studies as DICOM, with their ground truth.

    One folder a patient: `patient-0001/ct/*.dcm`, `t1`, `t2` on one voxel grid, `mask.nii.gz`
    (classes of `labels` in `dataset.json`) and `findings.json` (class label, boxes, volumes).
    Equal arguments give equal files. A patient's folder appears when it is complete, so a call
    that was killed is repeated to finish; more patients may be asked for later.

    Args:
        root: folder to write into; it is made.
        patients: how many patients, 1 to 9999.
        seed: seed of the set, 0 or above; patient k is the same however many there are.
        shape: voxels (D, H, W), each at least 8.
        spacing_mm: voxel size (d, h, w) in mm.
        modalities: any of "ct", "t1", "t2".

    Returns:
        `root` as a path.

    Raises:
        ValueError: arguments out of range.
        DataError: `root` holds something else, or phantoms of other arguments.
    """
    shape, spacing_mm = checked_grid(seed, 0, shape, spacing_mm)
    if int(patients) != patients or not 1 <= patients <= 9999:
        raise ValueError(f"`patients` must be an integer from 1 to 9999; received {patients!r}")
    if isinstance(modalities, str) or not modalities or set(modalities) - set(MODALITIES):
        raise ValueError(f"`modalities` must be some of {MODALITIES}; received {modalities!r}")
    root = Path(root)
    wanted = {
        "kmed": 1,
        "kind": "phantoms",
        "format": _FORMAT,
        "labels": list(LABELS),
        "modalities": [m for m in MODALITIES if m in modalities],
        "seed": int(seed),
        "shape": list(shape),
        "spacing_mm": list(spacing_mm),
        "patients": int(patients),
    }
    _claim(root, wanted)
    for leftover in root.glob(".patient-*"):  # of a call that was killed
        with contextlib.suppress(FileNotFoundError):
            if time.time() - leftover.stat().st_mtime > _STALE_S:
                shutil.rmtree(leftover, ignore_errors=True)
    for patient in range(int(patients)):
        if not (root / patient_name(patient)).exists():
            _write_patient(root, patient, wanted)
    return root


def phantom_source(root: str | os.PathLike, *, modality: str = "ct") -> list[Sample]:
    """Lists the studies that `phantoms` wrote.

    Args:
        root: the folder given to `phantoms`.
        modality: "ct", "t1" or "t2".

    Returns:
        One sample a patient: image `(D, H, W, 1)`, mask, and as label whether it has a lesion.

    Raises:
        DataError: not a folder of phantoms, unfinished, or without that modality.
    """
    root = Path(root)
    dataset = _dataset(root)
    if dataset is None:
        raise DataError(f"{root}: no dataset.json of phantoms; write them with phantoms(root)")
    if modality not in dataset["modalities"]:
        raise DataError(
            f"{root}: no modality {modality!r}, it has {dataset['modalities']}; write the phantoms "
            "with that modality into another folder"
        )
    samples = []
    for patient in range(dataset["patients"]):
        folder = root / patient_name(patient)
        if not folder.is_dir():
            raise DataError(
                f"{folder}: missing, the phantoms are unfinished; call phantoms() again with the "
                "arguments in dataset.json"
            )
        findings = json.loads((folder / "findings.json").read_text())
        files = tuple(str(path) for path in sorted((folder / modality).glob("*.dcm")))
        if len(files) != dataset["shape"][0]:
            raise DataError(
                f"{folder / modality}: {len(files)} slices where dataset.json says "
                f"{dataset['shape'][0]}; delete the patient's folder and call phantoms() again"
            )
        mask = str(folder / "mask.nii.gz")
        samples.append(
            Sample(
                id=f"{folder.name}/{modality}",
                patient=folder.name,
                files=(*files, mask),
                read=partial(_read, files, mask),
                label=findings["label"],
                modality="CT" if modality == "ct" else "MR",
            )
        )
    return samples


def _read(files: tuple[str, ...], mask: str) -> Arrays:
    series = read_series(files)
    labels, _, affine = read_nifti(mask)
    require_same_grid(
        Grid(Path(files[0]).parent, series.affine, series.array.shape),
        Grid(mask, affine, labels.shape),
    )
    labels = class_indices(labels, mask, classes=len(LABELS))
    return Arrays(series.array[..., None], labels, series.spacing_mm, series.affine)


def _dataset(root: Path) -> dict[str, Any] | None:
    path = root / "dataset.json"
    if not path.is_file():
        return None
    try:
        dataset = json.loads(path.read_text())
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error})") from error
    if not isinstance(dataset, dict) or dataset.get("kind") != "phantoms":
        raise DataError(f"{path}: not written by phantoms(); choose another folder")
    return dataset


def _claim(root: Path, wanted: dict[str, Any]) -> None:
    """Writes dataset.json first, so that other arguments are refused even after a kill."""
    found = _dataset(root)
    if found is None:
        # A hidden file may be the dataset.json of a call that was killed before it had its name.
        if root.exists() and (
            not root.is_dir() or any(not path.name.startswith(".") for path in root.iterdir())
        ):
            raise DataError(f"{root}: not an empty folder; phantoms() needs one of its own")
        root.mkdir(parents=True, exist_ok=True)
    else:
        differ = [
            f"{key}: {found.get(key)} there, {value} asked"
            for key, value in wanted.items()
            if found.get(key) != value and not (key == "patients" and found.get(key, 0) < value)
        ]
        if differ:
            raise DataError(
                f"{root}: holds phantoms of other arguments ({'; '.join(differ)}); choose another "
                "folder or delete this one"
            )
    if found != wanted:
        _write_json(root / "dataset.json", wanted)


def _write_patient(root: Path, patient: int, dataset: dict[str, Any]) -> None:
    study = phantom(
        dataset["seed"],
        patient=patient,
        shape=tuple(dataset["shape"]),
        spacing_mm=tuple(dataset["spacing_mm"]),
    )
    name = patient_name(patient)
    header = StudyHeader(
        patient_id=name,
        patient_name=f"Phantom^{patient + 1:04d}",
        entropy=("phantom", json.dumps(dataset | {"patients": 0}, sort_keys=True), name),
        date="20250101",
        attributes={"ImageComments": "Synthetic image, no patient"},
    )
    partial_folder = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=root))
    try:
        for number, modality in enumerate(MODALITIES, 1):
            if modality not in dataset["modalities"]:
                continue
            times = SEQUENCES.get(modality)
            write_series(
                partial_folder / modality,
                getattr(study, modality),
                study.affine,
                header,
                modality="MR" if times else "CT",
                name=modality,
                number=number,
                attributes=times and {"RepetitionTime": times["tr_ms"], "EchoTime": times["te_ms"]},
            )
        write_nifti(partial_folder / "mask.nii.gz", study.mask, study.affine)
        _write_json(partial_folder / "findings.json", study.findings)
        partial_folder.chmod(0o755)  # mkdtemp lets only the owner in
        try:
            partial_folder.rename(root / name)
        except OSError:
            # Another process may have finished the same patient meanwhile: its files are equal.
            if not (root / name).is_dir():
                raise
    finally:
        shutil.rmtree(partial_folder, ignore_errors=True)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(json.dumps(content, indent=1) + "\n")
    part.replace(path)
