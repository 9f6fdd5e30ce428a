"""From the positions of slices to one regular grid, or a typed error with what was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kmed.data.dicom.errors import (
    DicomError,
    GantryTilted,
    NoGeometry,
    SlicesDuplicated,
    SlicesMissing,
    SpacingUneven,
)
from kmed.data.dicom.frames import Frame

#: A wrong slice is off by half a gap or more.
UNEVEN = 0.05  # of the distance between slices
ROUNDED_MM = 0.1  # headers round positions to 0.1 mm at worst: two of them may be off by that
TILT_DEG = 0.5
SAME_PLACE_MM = 1e-2


class Stack(NamedTuple):
    """Slices in the order of their normal, and the grid that they lie on.

    Attributes:
        order: indices of the given slices, along the normal.
        affine: `(4, 4)` index (slice, row, column, 1) to LPS mm; None where there is no grid.
        spacing_mm: (between slices, rows, columns); None where there is no grid.
        problem: why there is no grid.
    """

    order: tuple[int, ...]
    affine: np.ndarray | None
    spacing_mm: tuple[float, float, float] | None
    problem: DicomError | None


def axes(frame: Frame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Directions of a frame's rows and columns, and its normal, as unit vectors in LPS.

    Headers round the cosines, so that they are of unit length only nearly.

    Args:
        frame: with an orientation.

    Returns:
        Along a row, along a column, and their cross product.
    """
    row, column = np.array(frame.orientation, np.float64).reshape(2, 3)
    return tuple(one / np.linalg.norm(one) for one in (row, column, np.cross(row, column)))


def stack(
    frames: Sequence[Frame],
    names: Sequence[str],
    *,
    tolerate_mm: float | None = None,
    instances: Sequence[str] = (),
) -> Stack:
    """Sorts slices along their normal and finds their grid.

    Reference: DICOM PS3.3, C.7.6.2.1.1 (Image Position and Image Orientation).

    Args:
        frames: of one orientation, size and pixel spacing, without a `problem`.
        names: of the frames' files, for messages.
        tolerate_mm: how far a slice may lie off the regular grid; None: as of `allowed_mm`.
        instances: SOP Instance UIDs of the files, to tell copies of one file from others.

    Returns:
        The grid, or the reason why there is none.
    """
    row, column, normal = axes(frames[0])
    positions = np.array([frame.position_mm for frame in frames], np.float64)
    order = np.argsort(positions @ normal, kind="stable")
    positions = positions[order]
    names = [names[index] for index in order]
    same = [(instances[index], frames[index].index) for index in order] if instances else []
    try:
        step = _step(
            [frames[index] for index in order], names, same, positions, normal, tolerate_mm
        )
    except DicomError as error:
        return Stack(tuple(map(int, order)), None, None, error)
    affine = np.eye(4)
    affine[:3, 0] = step
    affine[:3, 1] = column * frames[0].spacing_mm[0]
    affine[:3, 2] = row * frames[0].spacing_mm[1]
    affine[:3, 3] = positions[0]
    spacing = (float(np.linalg.norm(step)), *frames[0].spacing_mm)
    return Stack(tuple(map(int, order)), affine, spacing, None)


def allowed_mm(gap: float, tolerate_mm: float | None = None) -> float:
    """Gives how far a slice may lie off the regular grid.

    Args:
        gap: between slices.
        tolerate_mm: what the user allows; None: 5 % of the gap, or 0.1 mm, to which headers round,
            where that is more, but a quarter of the gap at the most.

    Returns:
        Distance in mm.

    Example:
        >>> allowed_mm(5.0), allowed_mm(0.625), allowed_mm(0.2), allowed_mm(5.0, 1.5)
        (0.25, 0.1, 0.05, 1.5)
    """
    if tolerate_mm is not None:
        return tolerate_mm
    return max(UNEVEN * gap, min(ROUNDED_MM, gap / 4))


def regular_step(along: np.ndarray) -> float:
    """Gives the distance at which slices of uneven distances are sampled anew.

    Args:
        along: increasing places along the normal in mm, two or more.

    Returns:
        The least distance, so that no slice is lost; but a quarter of the median at the least.
    """
    gaps = np.diff(along)
    return float(max(gaps.min(), np.median(gaps) / 4))


def usual_gap(gaps: np.ndarray) -> float:
    """The median of distances; of an even number the lower one, which is no mean of two kinds."""
    return float(np.quantile(gaps, 0.5, method="lower"))


def longest_block(along: np.ndarray) -> slice:
    """Finds the longest run of slices at even distances.

    Args:
        along: increasing places along the normal in mm.

    Returns:
        Its slices; the first of several of one length.
    """
    gaps = np.diff(along)
    if not len(gaps):
        return slice(0, len(along))
    step = usual_gap(gaps)
    allowed = 2 * allowed_mm(step)
    best, start = slice(0, 1), 0
    for index in range(len(gaps) + 1):
        if index == len(gaps) or abs(gaps[index] - step) > allowed:
            if index + 1 - start > best.stop - best.start:
                best = slice(start, index + 1)
            start = index + 1
    return best


def _step(ordered, names, same, positions, normal, tolerate_mm) -> np.ndarray:
    """Vector from one slice to the next, in LPS mm."""
    if len(ordered) == 1:
        thickness = ordered[0].thickness_mm
        if thickness is None or not 1e-3 <= thickness <= 1e4:
            raise NoGeometry(
                f"{names[0]}: a single slice needs SliceThickness; received {thickness}",
                files=names,
            )
        return normal * thickness
    along = positions @ normal
    gaps = np.diff(along)
    nearest = int(gaps.argmin())
    if gaps[nearest] < SAME_PLACE_MM:
        copies = len(same) - len(set(same))
        raise SlicesDuplicated(
            f"{names[nearest]} and {names[nearest + 1]}: two slices at one position "
            f"({np.round(positions[nearest], 3).tolist()} mm) and "
            + (
                f"{copies} of {len(names)} slices are copies, of a SOP Instance UID that is there "
                'already; leave them out, or duplicates="first" takes one of each'
                if copies
                else "nothing in the headers that tells their volumes apart; "
                'duplicates="first" takes the one of the lower number'
            ),
            files=names[nearest : nearest + 2],
            figures={
                "distance_mm": float(gaps[nearest]),
                "slices": len(names),
                "copies": copies,
            },
        )
    gap = usual_gap(gaps)
    step = (positions[-1] - positions[0]) / (len(ordered) - 1)
    aside = float(np.linalg.norm(step - (step @ normal) * normal))
    tilt = math.degrees(math.atan2(aside, float(step @ normal)))
    sheared = tilt > TILT_DEG and aside * (len(ordered) - 1) > ROUNDED_MM
    uneven = _unevenness(names, along, gaps, gap, tolerate_mm)
    if sheared:
        also = "" if uneven is None else f"; also {uneven}"
        raise GantryTilted(
            f"{names[0]} and {len(names) - 1} more: the slices are sheared by {tilt:.1f} degrees "
            f'(gantry tilt), not a rectangular grid; tilt="resample" straightens them{also}',
            files=names,
            figures={"tilt_deg": round(tilt, 3), **({} if uneven is None else uneven.figures)},
        ) from uneven
    if uneven is not None:
        raise uneven
    regular = positions[0] + np.arange(len(ordered))[:, None] * step
    off = np.linalg.norm(positions - regular, axis=1)
    allowed = allowed_mm(gap, tolerate_mm)
    if off.max() > allowed:
        widest = int(off.argmax())
        raise SpacingUneven(
            f"{names[widest]}: lies {off[widest]:.3f} mm off the line of the other slices, whose "
            "spacing is uneven or whose stack is bent; tolerate_mm= allows it, "
            'spacing="resample" evens it out',
            files=[names[widest]],
            figures={"off_mm": float(off[widest]), "allowed_mm": float(allowed)},
        )
    return step


def _unevenness(names, along, gaps, gap, tolerate_mm) -> DicomError | None:
    """What is wrong with the distances along the normal."""
    allowed = allowed_mm(gap, tolerate_mm)
    line = np.linspace(along[0], along[-1], len(along))
    if np.abs(along - line).max() <= allowed:
        return None
    widest = int(np.abs(gaps - gap).argmax())
    figures = {
        "gap_mm": float(gaps[widest]),
        "step_mm": gap,
        "least_mm": float(gaps.min()),
        "largest_mm": float(gaps.max()),
    }
    between = (
        f"{names[widest]} and {names[widest + 1]}: a gap of {gaps[widest]:.3f} mm where slices are "
        f"{gap:.3f} mm apart"
    )
    whole = np.rint(gaps / gap)
    close = np.maximum(min(2 * allowed, gap / 4), UNEVEN * gaps)
    multiples = np.abs(gaps - whole * gap) <= close
    if multiples.all() and whole.min() >= 1:
        absent = int((whole - 1).clip(0).sum())
        if absent:
            return SlicesMissing(
                f"{between}: {absent} slice{'s are' if absent > 1 else ' is'} missing; "
                'missing="largest_block" takes the longest part without a gap, '
                'missing="resample" interpolates',
                files=names[widest : widest + 2],
                figures={**figures, "missing": absent},
            )
    return SpacingUneven(
        f"{between}: a slice is missing or the spacing uneven ({gaps.min():.3f} to "
        f"{gaps.max():.3f} mm); complete the series, or tolerate_mm= allows it, "
        'spacing="resample" evens it out',
        files=names[widest : widest + 2],
        figures=figures,
    )
