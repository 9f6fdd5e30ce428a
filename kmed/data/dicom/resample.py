"""Slices that lie on no grid, sampled anew on one: tilt straightened, spacing evened out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.ndimage import affine_transform

from kmed.data.dicom.errors import TooLarge
from kmed.data.dicom.frames import Frame
from kmed.data.dicom.geometry import allowed_mm, axes, regular_step, usual_gap

AIR_HU = -1024
_MOST_FOLD = 64  # voxels of the grid for each of the slices'


class Target(NamedTuple):
    """The grid that slices are sampled on.

    Attributes:
        shape: (slices, rows, columns).
        affine: `(4, 4)` index (slice, row, column, 1) to LPS mm.
        spacing_mm: of the same axes.
        places: of each target slice its fractional index among the source slices.
        shifts: `(source slices, 2)`, rows and columns by which each source slice lies further
            than the target's first pixel.
        said: what is done, with figures.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray
    spacing_mm: tuple[float, float, float]
    places: np.ndarray
    shifts: np.ndarray
    said: str


def target_grid(frames: Sequence[Frame], rows: int, columns: int) -> Target:
    """Finds the rectangular grid that holds all slices.

    Pixels and their spacing stay; the grid has rows and columns more where slices are shifted
    against each other. Where all distances are one or whole multiples of it (missing slices), the
    slices there are keep their values; else the new ones lie as far apart as the least distance,
    or a little less, from the first slice to the last.

    Args:
        frames: sorted along the normal, two or more, at different places.
        rows: of every slice.
        columns: of every slice.

    Returns:
        The grid.

    Raises:
        TooLarge: positions so far apart that the grid has 64 times as many voxels as the slices.
    """
    row, column, normal = axes(frames[0])
    between_rows, between_columns = frames[0].spacing_mm
    positions = np.array([frame.position_mm for frame in frames], np.float64)
    along = positions @ normal
    shifts = np.stack(
        [
            (positions - positions[0]) @ column / between_rows,
            (positions - positions[0]) @ row / between_columns,
        ],
        axis=1,
    )
    shifts = np.where(np.abs(shifts) < 1e-2, 0.0, np.round(shifts, 6))
    first = np.floor(shifts.min(axis=0)).astype(int)
    last = np.ceil(shifts.max(axis=0)).astype(int)
    gaps = np.diff(along)
    known = _known(along)
    shape = (known[-1] + 1, rows + int(last[0] - first[0]), columns + int(last[1] - first[1]))
    if math.prod(shape) > _MOST_FOLD * len(along) * rows * columns:
        raise TooLarge(
            f"the {len(along)} slices of {rows} x {columns} pixels lie so far apart that a grid "
            f"over all of them has {shape} voxels; read a part of them",
            figures={"slices": len(along), "shape": shape, "largest_mm": float(gaps.max())},
        )
    step = float(along[-1] - along[0]) / (shape[0] - 1)
    places = np.interp(np.arange(shape[0]), known, np.arange(len(along)))
    affine = np.eye(4)
    affine[:3, 0] = normal * step
    affine[:3, 1] = column * between_rows
    affine[:3, 2] = row * between_columns
    affine[:3, 3] = positions[0] + affine[:3, 1] * first[0] + affine[:3, 2] * first[1]
    said = (
        f"sampled anew by linear interpolation: {len(along)} slices {gaps.min():.3f} to "
        f"{gaps.max():.3f} mm apart became {shape[0]} at {step:.3f} mm, {rows} x {columns} pixels "
        f"became {shape[1]} x {shape[2]}"
    )
    return Target(
        shape, affine, (step, between_rows, between_columns), places, shifts - first, said
    )


def _known(along: np.ndarray) -> list[float]:
    """At which index of the grid each slice lies; the first at 0, the last at a whole number."""
    gaps = np.diff(along)
    gap = usual_gap(gaps)
    part = (along - along[0]) / (along[-1] - along[0])
    whole = np.concatenate([[0], np.cumsum(np.maximum(np.rint(gaps / gap), 1))])
    if np.abs(part * whole[-1] - whole).max() <= allowed_mm(gap) / gap:
        known = whole
    else:
        known = part * math.ceil((along[-1] - along[0]) / regular_step(along) - 1e-3)
    return [*known[:-1].tolist(), round(known[-1])]


def resampled(
    target: Target,
    read: Callable[[int], np.ndarray],
    *,
    outside: float | None = None,
    empty: Callable[..., np.ndarray] = np.empty,
) -> np.ndarray:
    """Samples slices on a grid, two of them in memory at a time.

    Args:
        target: from `target_grid`.
        read: gives the values `(rows, columns)` of a source slice; called in order, once each.
        outside: value of places that no slice covers; None: the least of all values.
        empty: gives an array of a shape and type; of any order in memory.

    Returns:
        float32 of `target.shape`; at a place between two slices their weighted mean.
    """
    out = empty(target.shape, np.float32)
    held: dict[int, np.ndarray] = {}

    def straight(index: int) -> np.ndarray:
        if index not in held:
            for old in [one for one in held if one < index - 1]:
                del held[old]
            held[index] = affine_transform(
                read(index).astype(np.float32),
                np.ones(2),
                -target.shifts[index],
                output_shape=target.shape[1:],
                order=1,
                mode="constant",
                cval=np.nan,
            )
        return held[index]

    least = np.inf
    for number, place in enumerate(target.places):
        below = int(math.floor(place + 1e-6))
        part = place - below
        plane = straight(below)
        if part > 1e-6:
            plane = (1 - part) * plane + part * straight(below + 1)
        out[number] = plane
        least = min(least, float(np.nanmin(plane, initial=np.inf)))
    fill = (least if math.isfinite(least) else 0.0) if outside is None else outside
    for plane in out:
        plane[np.isnan(plane)] = fill
    return out
