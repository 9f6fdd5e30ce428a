"""The volumes of an archive as samples to train on, measure and predict."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from nibabel.orientations import inv_ornt_aff

from kmed.data.dicom.choosing import listed, one_volume
from kmed.data.dicom.deciding import Decisions, decided
from kmed.data.dicom.errors import DicomError, NotDicom
from kmed.data.dicom.images import VOLUMES, dicom_samples
from kmed.data.dicom.series import Series, read_volume, turn_of
from kmed.data.dicom.slices import slice_header
from kmed.data.dicom.volumes import Archive, SeriesInfo, Volume, volumes_of
from kmed.data.masks import class_indices
from kmed.data.nifti import read_nifti
from kmed.data.nifti_grid import Grid, require_same_grid
from kmed.data.sample import Arrays, DataError, Sample


def dicom_series(
    root: str | os.PathLike,
    *,
    masks: str | os.PathLike | None = None,
    modality: str | None = None,
    patient: Callable[[Path], str] | None = None,
    several: str = "refuse",
    left_out: list[tuple[str, str]] | None = None,
    **decisions,
) -> list[Sample]:
    """Lists every series below a folder as a sample.

    The headers are read and each series' geometry is checked here; pixels are read by
    `Sample.read`.

    Args:
        root: folder of series, each usually in a folder of its own; or a file, a zip archive, a
            DICOMDIR.
        masks: folder of NIfTI masks on the series' own grids, `<series folder>.nii.gz` or `.nii`;
            the series in `root/a/ct` is looked for as `a/ct.nii.gz`, then as `ct.nii.gz` if no
            other series has that folder name.
        modality: take only series of this Modality, for instance "CT".
        patient: gives the patient of a series' folder; None: the Patient ID in the header.
        several: what is done with a series that holds several volumes (echoes, time points,
            orientations): "refuse" it, or take "all", each as a sample of its own.
        left_out: gets pairs of what can't be read, a file or a series, and the reason; None: it
            raises instead.
        **decisions: `tolerate_mm`, `spacing`, `tilt`, `missing` and `duplicates` of `read_series`.

    Returns:
        Samples sorted by id, the path of the folder below `root`; image `(D, H, W, 1)`.

    Raises:
        DataError: as `read_series`; a missing mask; a series without Patient ID.
        ValueError: an unknown word for a parameter.
    """
    root = Path(root)
    archive = volumes_of(root, strict=left_out is None)
    return samples_of(
        archive,
        root,
        masks=masks,
        modality=modality,
        patient=patient,
        several=several,
        left_out=left_out,
        **decisions,
    )


def samples_of(
    archive: Archive,
    root: Path,
    *,
    masks: str | os.PathLike | None = None,
    modality: str | None = None,
    patient: Callable[[Path], str] | None = None,
    several: str = "refuse",
    left_out: list[tuple[str, str]] | None = None,
    **decisions,
) -> list[Sample]:
    """Lists the series of an archive as samples.

    Args:
        archive: from `volumes_of`.
        root: the folder that it was read from.
        masks: as of `dicom_series`, and so the others.
        modality: see there.
        patient: see there.
        several: see there.
        left_out: see there.
        **decisions: see there.

    Returns:
        As `dicom_series`.

    Raises:
        DataError: as `dicom_series`.
        ValueError: an unknown word for a parameter.
    """
    if several not in ("refuse", "all"):
        raise ValueError(f'`several` must be "refuse" or "all"; received {several!r}')
    chosen = Decisions(**decisions)
    if left_out is not None:
        left_out += [tuple(one) for one in archive.left_out]
    series = _of_modality(archive, root, modality)
    folders = [_folder(one) for one in series]
    leaves = Counter(folder.name for folder in folders)
    samples = []
    for one, folder, name in zip(series, folders, _ids(series, folders, root), strict=True):
        mask = None
        try:
            if masks is not None:
                stems = [name] + ([folder.name] if leaves[folder.name] == 1 else [])
                mask = _mask(Path(masks), stems, folder)
            samples += _samples(one, name, folder, mask, patient, several, chosen, left_out)
        except DataError as error:
            if left_out is None:
                raise
            left_out.append((name, str(error)))
    return sorted(samples, key=lambda sample: sample.id)


def dicom_images(
    root: str | os.PathLike,
    *,
    several: str = "refuse",
    left_out: list[tuple[str, str]] | None = None,
    **decisions,
) -> list[Sample]:
    """Lists the volumes below a folder, or its pictures where it holds no CT, MR or PET.

    Args:
        root: as of `dicom_series`.
        several: as of `dicom_series`.
        left_out: as of `dicom_series`.
        **decisions: as of `dicom_series`.

    Returns:
        Volumes as of `dicom_series`, or one sample a file as of `dicom_samples`.

    Raises:
        DataError: as `dicom_series`.
    """
    root = Path(root)
    archive = volumes_of(root, strict=left_out is None)
    headers = [header for one in archive.series for v in one.volumes for header in v.headers]
    if any(header.modality.upper() in VOLUMES for header in headers) or not headers:
        return samples_of(archive, root, several=several, left_out=left_out, **decisions)
    if left_out is not None:
        left_out += [tuple(one) for one in archive.left_out]
    return dicom_samples([(slice_header(one),) for one in dict.fromkeys(headers)], root)


def _of_modality(archive: Archive, root: Path, modality: str | None) -> list[SeriesInfo]:
    found = [one for one in archive.series if one.volumes]
    if not found:
        raise NotDicom(f"{root}: no DICOM images found; give the folder of a series")
    if modality is None:
        return found
    kept = [one for one in found if one.modality.upper() == modality.upper()]
    if not kept:
        there = listed({one.series_uid: one for one in found})
        raise DicomError(f"{root}: no series of modality {modality!r}; there are\n{there}")
    return kept


def _ids(series: list[SeriesInfo], folders: list[Path], root: Path) -> list[str]:
    """The folder of each series below the root; with UIDs where series share a folder."""
    base = root if root.is_dir() else root.parent  # a DICOMDIR lies beside its folders
    names = [
        (folder.relative_to(base) if base in folder.parents else Path(folder.name)).as_posix()
        for folder in folders
    ]
    for uid in ("series_uid", "study_uid"):
        count = Counter(names)
        names = [
            name if count[name] == 1 else f"{name}/{getattr(one, uid)}"
            for name, one in zip(names, series, strict=True)
        ]
    return names


def _samples(
    series: SeriesInfo,
    name: str,
    folder: Path,
    mask: Path | None,
    patient: Callable[[Path], str] | None,
    several: str,
    decisions: Decisions,
    left_out: list[tuple[str, str]] | None,
) -> list[Sample]:
    volumes = series.volumes if several == "all" else (one_volume(series),)
    samples = []
    for number, volume in enumerate(volumes, 1):
        own = name if len(volumes) == 1 else f"{name}/{number}"
        try:
            plan = decided(volume, decisions)
        except DicomError as error:
            if left_out is None:
                raise
            left_out.append((own, str(error)))
            continue
        if plan.target is None:
            shape, affine = (len(plan.frames), *volume.shape[1:]), plan.affine
        else:
            shape, affine = plan.target.shape, plan.target.affine
        files = tuple(dict.fromkeys(str(header.source.path) for header in plan.headers))
        read = partial(read_volume, volume, **vars(decisions))
        samples.append(
            Sample(
                id=own,
                patient=_patient(volume, folder, patient),
                files=files + ((str(mask),) if mask else ()),
                read=partial(_arrays, read, mask, _grid(folder, affine, shape)),
                modality=series.modality,
                series=read,
            )
        )
    return samples


def _arrays(read: Callable[[], Series], mask: Path | None, grid: Grid) -> Arrays:
    series = read()
    labels = None
    if mask is not None:
        stored, _, affine = read_nifti(mask)
        require_same_grid(grid, Grid(mask, affine, stored.shape))
        labels = class_indices(stored, str(mask))
    return series.arrays._replace(mask=labels)


def _grid(folder: Path, affine: np.ndarray, shape: tuple[int, int, int]) -> Grid:
    """The grid in kmed's orientation."""
    turn = turn_of(affine)
    turned = [0, 0, 0]
    for axis, length in enumerate(shape):
        turned[int(turn[axis, 0])] = length
    return Grid(folder, affine @ inv_ornt_aff(turn, shape), tuple(turned))


def _folder(series: SeriesInfo) -> Path:
    sources = {header.source for volume in series.volumes for header in volume.headers}
    parents = {one.path.parent if one.member is None else one.path for one in sources}
    return Path(os.path.commonpath(parents))


def _mask(masks: Path, stems: list[str], folder: Path) -> Path:
    names = [f"{stem}{suffix}" for stem in stems for suffix in (".nii.gz", ".nii")]
    for name in names:
        if (masks / name).is_file():
            return masks / name
    raise DataError(f"{folder}: no mask; expected {' or '.join(names)} in {masks}")


def _patient(volume: Volume, folder: Path, patient: Callable[[Path], str] | None) -> str:
    if patient is not None:
        return patient(folder)
    found = {header.patient for header in volume.headers}
    if len(found) != 1 or not all(found):
        raise DataError(
            f"{folder}: every slice of a series must have one Patient ID, for splits by patient; "
            f"found {len(found - {''})}; name the patient with patient=lambda folder: ..."
        )
    return found.pop()
