"""From the positions of slices to one regular grid, or a refusal that says what is wrong."""

from __future__ import annotations

import math

import numpy as np

from kmed.data.dicom.slices import SliceHeader
from kmed.data.sample import DataError

# Headers round positions, to 0.1 mm at worst; a wrong slice is off by half a gap or more.
_UNEVEN = 0.05  # of the distance between slices
_TILT_DEG = 0.5


def stacked(headers: list[SliceHeader]) -> tuple[list[SliceHeader], np.ndarray]:
    """Sorts the slices of one series along their normal and finds their grid.

    Reference: DICOM PS3.3, C.7.6.2.1.1 (Image Position and Image Orientation).

    Args:
        headers: the slices of one series, in any order.

    Returns:
        The sorted slices, and the affine `(4, 4)` from index (slice, row, column, 1) to LPS mm.

    Raises:
        DataError: slices of several sizes, orientations or frames of reference; two at one place;
            uneven distances; a tilted gantry; what this reader does not support.
    """
    for header in headers:
        if header.refusal:
            raise DataError(f"{header.path}: {header.refusal}")
    _require_alike(headers)
    first = headers[0]
    row, column = np.array(first.orientation).reshape(2, 3)
    if abs(np.linalg.norm(row) - 1) > 1e-3 or abs(np.linalg.norm(column) - 1) > 1e-3:
        raise DataError(f"{first.path}: ImageOrientationPatient is not of unit length")
    if abs(row @ column) > 1e-3:
        raise DataError(f"{first.path}: the axes of ImageOrientationPatient are not perpendicular")
    normal = np.cross(row, column)
    normal /= np.linalg.norm(normal)
    ordered = sorted(headers, key=lambda header: float(normal @ np.array(header.position_mm)))
    positions = np.array([header.position_mm for header in ordered])
    affine = np.eye(4)
    affine[:3, 0] = _step(ordered, positions, normal)
    affine[:3, 1] = column * first.spacing_mm[0]
    affine[:3, 2] = row * first.spacing_mm[1]
    affine[:3, 3] = positions[0]
    return ordered, affine


def _require_alike(headers: list[SliceHeader]) -> None:
    first = headers[0]
    rules = (
        ("shape", "size (rows, columns)", 0.0),
        ("spacing_mm", "PixelSpacing", 1e-4),
        ("orientation", "ImageOrientationPatient", 1e-4),
    )
    for header in headers[1:]:
        for attribute, name, tolerance in rules:
            one, other = getattr(first, attribute), getattr(header, attribute)
            if not np.allclose(one, other, rtol=0, atol=tolerance):
                raise DataError(
                    f"{header.path}: all slices of a series must have one {name}; this one has "
                    f"{other}, {first.path} has {one}; give read_series the files of one volume"
                )
        if header.frame_of_reference_uid != first.frame_of_reference_uid:
            raise DataError(
                f"{header.path}: another frame of reference than {first.path}: their positions "
                "can't be compared; give read_series the files of one volume"
            )


def _step(ordered: list[SliceHeader], positions: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Vector from one slice to the next, in LPS mm."""
    if len(ordered) == 1:
        thickness = ordered[0].thickness_mm
        if not thickness or not math.isfinite(thickness) or thickness < 0:
            raise DataError(
                f"{ordered[0].path}: a single slice needs SliceThickness; received {thickness}"
            )
        return normal * thickness
    along = positions @ normal
    gaps = np.diff(along)
    gap = float(np.median(gaps))
    nearest = int(gaps.argmin())
    if gaps[nearest] < 1e-2:
        raise DataError(
            f"{ordered[nearest].path} and {ordered[nearest + 1].path}: two slices at one position "
            f"({np.round(positions[nearest], 3).tolist()} mm); where the series holds several "
            "time points or echoes, give read_series the files of one of them"
        )
    step = (positions[-1] - positions[0]) / (len(ordered) - 1)
    tilt = math.degrees(math.acos(min(1.0, float(step @ normal) / float(np.linalg.norm(step)))))
    if tilt > _TILT_DEG:
        raise DataError(
            f"{ordered[0].path.parent}: the slices are sheared by {tilt:.1f} degrees (gantry "
            "tilt), not a rectangular grid; resample the series without tilt first"
        )
    regular = positions[0] + np.arange(len(ordered))[:, None] * step
    off = np.linalg.norm(positions - regular, axis=1)
    if off.max() > _UNEVEN * gap:
        widest = int(np.abs(gaps - gap).argmax())
        raise DataError(
            f"{ordered[widest].path} and {ordered[widest + 1].path}: a gap of "
            f"{gaps[widest]:.3f} mm where slices are {gap:.3f} mm apart: a slice is missing or "
            "the spacing uneven; complete the series or resample it"
        )
    return step
