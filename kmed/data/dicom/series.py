"""DICOM series of CT and MR as volumes: the regular case, one file per slice."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from nibabel.orientations import (
    apply_orientation,
    inv_ornt_aff,
    io_orientation,
    ornt_transform,
)

from kmed.data.dicom.geometry import stacked
from kmed.data.dicom.slices import SliceHeader, by_series, decoding, image_headers
from kmed.data.masks import class_indices
from kmed.data.nifti import read_nifti
from kmed.data.nifti_grid import CANONICAL, RAS_TO_LPS, Grid, require_same_grid
from kmed.data.sample import Arrays, DataError, Sample


@dataclass(frozen=True, kw_only=True)
class Series:
    """A volume and where it lies.

    Attributes:
        array: `(D, H, W)` in kmed's orientation: d to superior, h to posterior, w to left, as
            nearly as the slices allow. CT in Hounsfield units. int16 where the rescaled values
            are whole and fit, else float32.
        spacing_mm: voxel size (d, h, w).
        affine: `(4, 4)` array index (d, h, w, 1) to LPS mm.
        modality: "CT", "MR" ...
        files: the slices' files, in the array's direction.
        series_uid: Series Instance UID.
        study_uid: Study Instance UID.
        frame_of_reference_uid: "" where absent; series that share it share coordinates.
    """

    array: np.ndarray
    spacing_mm: tuple[float, float, float]
    affine: np.ndarray
    modality: str
    files: tuple[str, ...]
    series_uid: str
    study_uid: str
    frame_of_reference_uid: str


def read_series(
    source: str | os.PathLike | Iterable[str | os.PathLike], *, series_uid: str | None = None
) -> Series:
    """Reads one series as a volume.

    Slices are sorted by position along their normal, rescaled each with its own slope and
    intercept, and turned by flips and permutations only.

    Reference: DICOM PS3.3, C.7.6.2 (Image Plane Module), C.11.1 (Modality LUT Module).

    Args:
        source: folder (searched with its subfolders), one file, or the files of one volume.
        series_uid: which series, where there are several.

    Returns:
        The volume.

    Raises:
        DataError: no images; several series and none chosen; a damaged file; a grid that is not
            regular; multi-frame, colour or compressed data that can't be read.
    """
    if not isinstance(source, (str, os.PathLike)):
        source = tuple(source)
    groups = by_series(image_headers(source))
    name = source if isinstance(source, (str, os.PathLike)) else "the files given"
    if series_uid is None and len(groups) > 1:
        raise DataError(
            f"{name}: {len(groups)} series; choose one with series_uid=\n{_listed(groups)}"
        )
    if series_uid is not None and series_uid not in groups:
        raise DataError(f"{name}: no series {series_uid}; there are\n{_listed(groups)}")
    headers = groups[series_uid] if series_uid is not None else next(iter(groups.values()))
    ordered, affine = stacked(headers)
    array = _voxels(ordered)
    turn = _turn(affine)
    files = [str(header.path) for header in ordered]
    return Series(
        array=np.ascontiguousarray(apply_orientation(array, turn)),
        affine=affine @ inv_ornt_aff(turn, array.shape),
        spacing_mm=_grid(ordered, affine).spacing_mm,
        modality=headers[0].modality,
        files=tuple(files if turn[0, 1] > 0 else files[::-1]),
        series_uid=headers[0].series_uid,
        study_uid=headers[0].study_uid,
        frame_of_reference_uid=headers[0].frame_of_reference_uid,
    )


def dicom_series(
    root: str | os.PathLike,
    *,
    masks: str | os.PathLike | None = None,
    modality: str | None = None,
    patient: Callable[[Path], str] | None = None,
) -> list[Sample]:
    """Lists every series below a folder as a sample.

    The headers are read and each series' geometry is checked here; pixels are read by
    `Sample.read`.

    Args:
        root: folder of series, each usually in a folder of its own.
        masks: folder of NIfTI masks on the series' own grids, `<series folder>.nii.gz` or `.nii`;
            the series in `root/a/ct` is looked for as `a/ct.nii.gz`, then as `ct.nii.gz` if no
            other series has that folder name.
        modality: take only series of this Modality, for instance "CT".
        patient: gives the patient of a series' folder; None: the Patient ID in the header.

    Returns:
        Samples sorted by id, the path of the folder below `root`; image `(D, H, W, 1)`.

    Raises:
        DataError: as `read_series`; a missing mask; a series without Patient ID.
    """
    root = Path(root)
    groups = by_series(image_headers(root))
    if modality is not None:
        kept = {u: g for u, g in groups.items() if g[0].modality.upper() == modality.upper()}
        if not kept:
            raise DataError(
                f"{root}: no series of modality {modality!r}; there are\n{_listed(groups)}"
            )
        groups = kept
    folders = {uid: _folder(group) for uid, group in groups.items()}
    shared = list(folders.values())
    leaves = [folder.name for folder in shared]
    samples = []
    for uid, group in groups.items():
        ordered, affine = stacked(group)
        folder = folders[uid]
        below = folder.relative_to(root) if root.is_dir() and folder != root else Path(folder.name)
        name = below.as_posix() + (f"/{uid}" if shared.count(folder) > 1 else "")
        mask = None
        if masks is not None:
            stems = [name] + ([folder.name] if leaves.count(folder.name) == 1 else [])
            mask = _mask(Path(masks), stems, folder)
        files = tuple(str(header.path) for header in ordered)
        samples.append(
            Sample(
                id=name,
                patient=_patient(ordered, folder, patient),
                files=files + ((str(mask),) if mask else ()),
                read=partial(_read, files, mask, _grid(ordered, affine)),
                modality=ordered[0].modality,
            )
        )
    return sorted(samples, key=lambda sample: sample.id)


def _read(files: tuple[str, ...], mask: Path | None, grid: Grid) -> Arrays:
    series = read_series(files)
    labels = None
    if mask is not None:
        stored, _, affine = read_nifti(mask)
        require_same_grid(grid, Grid(mask, affine, stored.shape))
        labels = class_indices(stored, str(mask))
    return Arrays(series.array[..., None], labels, series.spacing_mm, series.affine)


def _turn(affine: np.ndarray) -> np.ndarray:
    return ornt_transform(io_orientation(RAS_TO_LPS @ affine), CANONICAL)


def _grid(ordered: list[SliceHeader], affine: np.ndarray) -> Grid:
    """The grid in kmed's orientation."""
    shape = (len(ordered), *ordered[0].shape)
    turn = _turn(affine)
    turned = [0, 0, 0]
    for axis, length in enumerate(shape):
        turned[int(turn[axis, 0])] = length
    return Grid(ordered[0].path.parent, affine @ inv_ornt_aff(turn, shape), tuple(turned))


def _listed(groups: dict[str, list[SliceHeader]]) -> str:
    return "\n".join(
        f"  {uid}: {group[0].modality}, {len(group)} slices, {group[0].path.parent}"
        for uid, group in groups.items()
    )


def _folder(group: list[SliceHeader]) -> Path:
    return Path(os.path.commonpath([header.path.parent for header in group]))


def _mask(masks: Path, stems: list[str], folder: Path) -> Path:
    names = [f"{stem}{suffix}" for stem in stems for suffix in (".nii.gz", ".nii")]
    for name in names:
        if (masks / name).is_file():
            return masks / name
    raise DataError(f"{folder}: no mask; expected {' or '.join(names)} in {masks}")


def _patient(
    headers: list[SliceHeader], folder: Path, patient: Callable[[Path], str] | None
) -> str:
    if patient is not None:
        return patient(folder)
    found = {header.patient for header in headers}
    if len(found) != 1 or not all(found):
        raise DataError(
            f"{folder}: every slice of a series must have one Patient ID, for splits by patient; "
            f"found {len(found - {''})}; name the patient with patient=lambda folder: ..."
        )
    return found.pop()


def _voxels(ordered: list[SliceHeader]) -> np.ndarray:
    """Rescaled values (slice, row, column)."""
    slices, whole = [], True
    for header in ordered:
        stored, slope, intercept = _pixels(header)
        if slope.is_integer() and intercept.is_integer():
            values = stored.astype(np.int64) * int(slope) + int(intercept)
            fits = values.min() >= -32768 and values.max() <= 32767
            slices.append(values.astype(np.int16 if fits else np.float32))
        else:
            fits = False
            slices.append((stored * slope + intercept).astype(np.float32))
        whole = whole and fits
    return np.stack(slices).astype(np.int16 if whole else np.float32, copy=False)


def _pixels(header: SliceHeader) -> tuple[np.ndarray, float, float]:
    path = header.path
    with decoding(path) as ds:
        slope, intercept = ds.get("RescaleSlope"), ds.get("RescaleIntercept")
        if "ModalityLUTSequence" in ds:
            raise DataError(f"{path}: a Modality LUT Sequence is not supported")
        if (slope is None) != (intercept is None) or (slope is None and header.modality == "CT"):
            raise DataError(
                f"{path}: needs RescaleSlope and RescaleIntercept, else its units are unknown; "
                f"received {slope} and {intercept}"
            )
        slope = 1.0 if slope is None else float(slope)
        intercept = 0.0 if intercept is None else float(intercept)
        if not (np.isfinite(slope) and np.isfinite(intercept) and slope != 0):
            raise DataError(f"{path}: RescaleSlope {slope}, RescaleIntercept {intercept}")
        pixels = ds.pixel_array
    if pixels.shape != header.shape:
        raise DataError(f"{path}: decoded to {pixels.shape}, its header says {header.shape}")
    return pixels, slope, intercept
