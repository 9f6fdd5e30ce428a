"""One series as a volume: decoded, in units, in kmed's orientation, or a typed refusal."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform

from kmed.data.dicom.choosing import listed, one_volume, refuse_shared
from kmed.data.dicom.deciding import Decisions, decided
from kmed.data.dicom.errors import DicomError, LocalizerRefused, NotDicom
from kmed.data.dicom.files import Source
from kmed.data.dicom.planes import VALUES, Planes, stacked_planes
from kmed.data.dicom.resample import AIR_HU, resampled
from kmed.data.dicom.volumes import Volume, volumes_of
from kmed.data.nifti_grid import CANONICAL, RAS_TO_LPS
from kmed.data.sample import Arrays


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
        files: of each slice its file, along `slice_axis` in the array's direction.
        series_uid: Series Instance UID.
        study_uid: Study Instance UID.
        frame_of_reference_uid: "" where absent; series that share it share coordinates.
        frames: of each slice its 0-based frame in the file, or tile of a mosaic.
        slice_axis: which axis of the array counts the source's slices.
        problems: what was decided, with figures.
        resampled: whether the array's slices are not those of the files.
    """

    array: np.ndarray
    spacing_mm: tuple[float, float, float]
    affine: np.ndarray
    modality: str
    files: tuple[str, ...]
    series_uid: str
    study_uid: str
    frame_of_reference_uid: str
    frames: tuple[int, ...] = ()
    slice_axis: int = 0
    problems: tuple[str, ...] = ()
    resampled: bool = False

    @property
    def arrays(self) -> Arrays:
        """What `Sample.read` gives of the series: image `(D, H, W, 1)`, no mask."""
        return Arrays(self.array[..., np.newaxis], None, self.spacing_mm, self.affine)


def read_series(
    source: str | os.PathLike | Source | Iterable[str | os.PathLike | Source],
    *,
    series_uid: str | None = None,
    volume: int | None = None,
    tolerate_mm: float | None = None,
    spacing: str = "refuse",
    tilt: str = "refuse",
    missing: str = "refuse",
    duplicates: str = "refuse",
    localizers: str = "leave_out",
    values: str = "units",
    padding: float | None = None,
) -> Series:
    """Reads one series as a volume.

    Slices are sorted by position along their normal, rescaled each with its own slope and
    intercept, and turned by flips and permutations only; nothing is interpolated unless asked for.

    Reference: DICOM PS3.3, C.7.6.2 (Image Plane Module), C.11.1 (Modality LUT Module).

    Args:
        source: folder (searched with its subfolders), one file, a zip archive, a DICOMDIR, or the
            files of one volume.
        series_uid: which series, where there are several.
        volume: which volume, from 0, where the series holds several (echoes, time points ...).
        tolerate_mm: how far a slice may lie off the regular grid; None: 5 % of the step,
            or the 0.1 mm to which headers round, but a quarter of the step at the most.
        spacing: "refuse" uneven spacing, or "resample" at the least distance.
        tilt: "refuse" a tilted gantry, or "resample" to a rectangular grid.
        missing: "refuse" gaps of whole slices, take the "largest_block" without a gap, or
            "resample", which interpolates them.
        duplicates: "refuse" two slices at one place, or take the "first" by instance number.
        localizers: "leave_out" or "refuse" them.
        values: "units" (HU of CT, what the rescale gives of others), "stored", or "suv" (PET, body
            weight).
        padding: value in place of pixels that the file marks as padding; None keeps theirs.
            Resampling gives it to places that no slice covers; else they get the file's own
            padding value, of CT air (-1024 HU) at most, or the least value.

    Returns:
        The volume.

    Raises:
        DicomError: no images; several series or volumes and none chosen; a damaged file; a grid
            that is not regular, unless a parameter decides; pixels that can't be decoded.
        ValueError: an unknown word for a parameter.
    """
    decisions = Decisions(tolerate_mm, spacing, tilt, missing, duplicates)
    if localizers not in ("leave_out", "refuse"):
        raise ValueError(f'`localizers` must be "leave_out" or "refuse"; received {localizers!r}')
    if not isinstance(source, (str, os.PathLike, Source)):
        source = tuple(source)
    name = source if isinstance(source, (str, os.PathLike)) else "the files given"
    archive = volumes_of(source, strict=True, tolerate_mm=tolerate_mm)
    series = {one.series_uid: one for one in archive.series}
    if len(series) < len(archive.series):
        refuse_shared(archive.series)
    if not series:
        raise NotDicom(f"{name}: no DICOM images found; give the folder of a series")
    scouts = []
    if series_uid is None and any(one.volumes for one in series.values()):
        scouts = [out for one in series.values() if not one.volumes for out in one.left_out]
        series = {uid: one for uid, one in series.items() if one.volumes}
    if series_uid is None and len(series) > 1:
        raise DicomError(
            f"{name}: {len(series)} series; choose one with series_uid=\n{listed(series)}"
        )
    if series_uid is not None and series_uid not in series:
        raise DicomError(f"{name}: no series {series_uid}; there are\n{listed(series)}")
    chosen = series[series_uid] if series_uid is not None else next(iter(series.values()))
    refused = [*chosen.left_out, *(scouts if localizers == "refuse" else [])]
    if refused and (localizers == "refuse" or not chosen.volumes):
        raise LocalizerRefused(
            f"{refused[0].name}: {refused[0].reason}; leave it out",
            files=[one.name for one in refused],
        )
    found = one_volume(chosen, volume)
    if scouts:
        said = f"{len(scouts)} localizer{'s' if len(scouts) > 1 else ''} of other series left out"
        found = replace(found, problems=(*found.problems, said))
    return _read(found, decisions, values, padding)


def read_volume(
    volume: Volume,
    *,
    tolerate_mm: float | None = None,
    spacing: str = "refuse",
    tilt: str = "refuse",
    missing: str = "refuse",
    duplicates: str = "refuse",
    values: str = "units",
    padding: float | None = None,
) -> Series:
    """Reads a volume that `volumes_of` found.

    Args:
        volume: from `volumes_of`.
        tolerate_mm: as of `read_series`, and so the others.
        spacing: see there.
        tilt: see there.
        missing: see there.
        duplicates: see there.
        values: see there.
        padding: see there.

    Returns:
        The volume decoded.

    Raises:
        DicomError: as `read_series`.
        ValueError: an unknown word for a parameter.
    """
    decisions = Decisions(tolerate_mm, spacing, tilt, missing, duplicates)
    return _read(volume, decisions, values, padding)


def turn_of(affine: np.ndarray) -> np.ndarray:
    """The flips and permutation, as nibabel's orientations, that bring an array to kmed's axes."""
    return ornt_transform(io_orientation(RAS_TO_LPS @ affine), CANONICAL)


def _read(volume: Volume, decisions: Decisions, values, padding) -> Series:
    if values not in VALUES:
        raise ValueError(f"`values` must be one of {', '.join(VALUES)}; received {values!r}")
    plan = decided(volume, decisions)
    read = Planes(plan.headers, plan.frames, values=values, padding=padding)
    affine = plan.affine if plan.target is None else plan.target.affine
    turn = turn_of(affine)
    back = ornt_transform(CANONICAL, io_orientation(RAS_TO_LPS @ affine))

    def empty(shape: tuple[int, ...], dtype: type) -> np.ndarray:
        # In memory the array lies turned already, so that no second one is needed.
        turned = [0, 0, 0]
        for axis, length in enumerate(shape):
            turned[int(turn[axis, 0])] = length
        return apply_orientation(np.empty(turned, dtype), back)

    if plan.target is None:
        array = stacked_planes(read, empty)
    else:
        outside = read.padded()
        if plan.headers[0].modality == "CT" and values == "units" and padding is None:
            outside = AIR_HU if outside is None else min(outside, AIR_HU)
        array = resampled(plan.target, read, outside=outside, empty=empty)
    turned = np.ascontiguousarray(apply_orientation(array, turn))
    affine = affine @ inv_ornt_aff(turn, array.shape)
    along = slice(None, None, 1 if turn[0, 1] > 0 else -1)
    first = plan.headers[0]
    return Series(
        array=turned,
        affine=affine,
        spacing_mm=tuple(float(v) for v in np.linalg.norm(affine[:3, :3], axis=0)),
        modality=first.modality,
        files=tuple(header.source.name for header in plan.headers)[along],
        series_uid=first.series_uid,
        study_uid=first.study_uid,
        frame_of_reference_uid=first.frame_of_reference_uid,
        frames=tuple(frame.index for frame in plan.frames)[along],
        slice_axis=int(turn[0, 0]),
        problems=plan.problems,
        resampled=plan.target is not None,
    )
