"""Where the frames of a multi-frame object lie in an array: of a series, or one of their own."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from nibabel.orientations import inv_ornt_aff, io_orientation, ornt_transform
from pydicom.dataset import Dataset

from kmed.data.dicom.attributes import number, whole
from kmed.data.dicom.errors import (
    Damaged,
    DicomError,
    GantryTilted,
    NoGeometry,
    OrientationMixed,
    SpacingUneven,
    TooLarge,
)
from kmed.data.dicom.frames import Frame, frames_of
from kmed.data.dicom.series import Series
from kmed.data.nifti_grid import CANONICAL, RAS_TO_LPS
from kmed.results.dicom.source_planes import Planes, source_planes

_NEAR = 0.1  # voxels by which a frame may miss the grid: files round positions and spacings
_MOST_PLANES = 20_000


class Place(NamedTuple):
    """Where the pixels of a frame lie in an array.

    Attributes:
        axes: array axis across the frame, along its columns and along its rows.
        plane: index on the axis across.
        start: array indices of the first pixel on the other two.
        signs: whether the array runs with (1) or against (-1) rows and columns of the frame.
        size: (rows, columns).
    """

    axes: tuple[int, int, int]
    plane: int
    start: tuple[int, int]
    signs: tuple[int, int]
    size: tuple[int, int]

    def of(self, array: np.ndarray) -> np.ndarray:
        """Gives the view `(rows, columns)` of an array that is the frame's."""
        view = array.transpose(self.axes)[self.plane]
        index = []
        for start, sign, size in zip(self.start, self.signs, self.size, strict=True):
            stop = start + sign * size
            index.append(slice(start, stop if stop >= 0 else None, sign))
        return view[tuple(index)]


class OwnGrid(NamedTuple):
    """A regular grid that the frames of an object span.

    Attributes:
        shape: `(D, H, W)` in kmed's orientation.
        spacing_mm: of its axes.
        affine: `(4, 4)` index (d, h, w, 1) to LPS mm.
        places: of the frames.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    affine: np.ndarray
    places: tuple[Place, ...]


def places_in(ds: Dataset, name: str, series: Series) -> tuple[Place, ...]:
    """Finds the places of an object's frames in the array of a series.

    Args:
        ds: the object.
        name: of its file, for messages.
        series: the volume.

    Returns:
        A place for each frame.

    Raises:
        DicomError: frames without geometry, or that lie on another grid.
    """
    planes = source_planes(series)
    shape = tuple(series.array.shape)
    return tuple(
        _place(frame, _size(ds), series.affine, shape, name, planes) for frame in _frames(ds, name)
    )


def own_grid(ds: Dataset, name: str) -> OwnGrid:
    """Finds the grid that an object's frames span; planes without a frame belong to it.

    Args:
        ds: the object.
        name: of its file, for messages.

    Returns:
        The grid, as little turned as kmed's orientation allows.

    Raises:
        DicomError: frames without geometry, of several orientations, tilted or at uneven distances.
    """
    frames = _frames(ds, name)
    first = frames[0]
    for frame in frames[1:]:
        same = np.allclose(frame.orientation, first.orientation, rtol=0, atol=1e-4)
        if not same or not np.allclose(frame.spacing_mm, first.spacing_mm, rtol=1e-4):
            raise OrientationMixed(
                f"{name}: frames of several orientations or spacings, which are no one volume",
                files=[name],
            )
    row, column = np.array(first.orientation).reshape(2, 3)
    normal = np.cross(row, column)
    positions = np.array([frame.position_mm for frame in frames])
    along = positions @ normal
    step, count = _step(ds, first, along, name)
    lowest = positions[along.argmin()]
    planes = np.rint((along - along.min()) / step)
    off = positions - (lowest + planes[:, None] * step * normal)
    aside = off - np.outer(off @ normal, normal)
    if np.linalg.norm(aside, axis=1).max() > _NEAR * min(first.spacing_mm):
        raise GantryTilted(f"{name}: its frames are sheared against their normal", files=[name])
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 3] = normal * step, lowest
    affine[:3, 1], affine[:3, 2] = column * first.spacing_mm[0], row * first.spacing_mm[1]
    stored = (count, *_size(ds))
    turn = ornt_transform(io_orientation(RAS_TO_LPS @ affine), CANONICAL)
    turned = affine @ inv_ornt_aff(turn, stored)
    shape = [0, 0, 0]
    for axis, length in enumerate(stored):
        shape[int(turn[axis, 0])] = length
    return OwnGrid(
        shape=tuple(shape),
        spacing_mm=tuple(float(v) for v in np.linalg.norm(turned[:3, :3], axis=0)),
        affine=turned,
        places=tuple(_place(frame, _size(ds), turned, tuple(shape), name) for frame in frames),
    )


def _frames(ds: Dataset, name: str) -> tuple[Frame, ...]:
    try:
        frames = frames_of(ds)
    except DicomError as error:
        message = f"{name}: {error}"
        raise type(error)(message, files=[name], figures=error.figures) from error
    except Exception as error:
        # pydicom's errors of values differ from one VR to the next.
        raise Damaged(
            f"{name}: its frames can't be placed ({type(error).__name__}); its header is damaged",
            files=[name],
        ) from error
    for frame in frames:
        if frame.problem:
            raise NoGeometry(f"{name}: frame {frame.index + 1}: {frame.problem}", files=[name])
    return frames


def _size(ds: Dataset) -> tuple[int, int]:
    return whole(ds, "Rows") or 0, whole(ds, "Columns") or 0


def _step(ds: Dataset, first: Frame, along: np.ndarray, name: str) -> tuple[float, int]:
    """Distance of neighbouring planes and their number."""
    shared = (ds.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    measures = (shared.get("PixelMeasuresSequence") or [Dataset()])[0]
    stated = abs(number(measures, "SpacingBetweenSlices") or 0.0)
    distinct = np.sort(along)
    gaps = np.diff(distinct)
    gaps = gaps[gaps > 1e-2]
    if not len(gaps):
        if not (thickness := stated or first.thickness_mm):
            raise NoGeometry(f"{name}: frames of one plane need a SliceThickness", files=[name])
        return float(thickness), 1
    # Slices where no segment occurs have no frame, so that the smallest gap may be several steps.
    for step in (stated, float(gaps.min())):
        if step > 0 and np.abs(gaps / step - np.rint(gaps / step)).max() <= _NEAR:
            extent = (distinct[-1] - distinct[0]) / step
            if extent > _MOST_PLANES:
                raise TooLarge(f"{name}: frames on {extent:.0f} planes", files=[name])
            # Over all planes, as the stated step is rounded.
            count = round(extent)
            return float((distinct[-1] - distinct[0]) / count), count + 1
    raise SpacingUneven(
        f"{name}: its frames lie at distances of {gaps.min():.3f} to {gaps.max():.3f} mm that are "
        "no multiples of one step; read it with series=, the volume that was segmented",
        files=[name],
        figures={"smallest_mm": float(gaps.min()), "largest_mm": float(gaps.max())},
    )


def _place(
    frame: Frame,
    size: tuple[int, int],
    affine: np.ndarray,
    shape: tuple[int, int, int],
    name: str,
    planes: Planes | None = None,
) -> Place:
    row, column = np.array(frame.orientation).reshape(2, 3)
    steps = np.stack([column * frame.spacing_mm[0], row * frame.spacing_mm[1]], axis=1)
    to_index = np.linalg.inv(affine[:3, :3])
    moves = to_index @ steps  # array steps of one row and one column down the frame
    axes = np.abs(moves).argmax(axis=0)
    signs = np.sign(moves[axes, (0, 1)])
    whole = np.zeros((3, 2))
    whole[axes, (0, 1)] = signs
    drift = np.abs(moves - whole) * (np.array(size) - 1).clip(1)
    across = 3 - int(axes.sum())
    if axes[0] == axes[1] or drift.max() > _NEAR * 2:
        raise DicomError(
            f"{name}: frame {frame.index + 1} has other axes or pixel spacing "
            f"({frame.spacing_mm} mm) than the series; resample the series' labels instead",
            files=[name],
            figures={"drift_voxels": float(drift.max())},
        )
    start = to_index @ (np.array(frame.position_mm) - affine[:3, 3])
    if planes is not None and planes.axes[0] == across:
        # Slices may lie off a grid that is regular; frames lie where the slices do.
        moved = np.array(frame.position_mm) - planes.positions_mm
        nearest = int(np.abs(moved @ np.cross(row, column)).argmin())
        start = to_index @ moved[nearest] + planes.corners(shape)[nearest]
    index = np.rint(start).astype(int)
    ends = index.copy()
    ends[axes] += (signs * (np.array(size) - 1)).astype(int)
    inside = ((index >= 0) & (ends >= 0) & (index < shape) & (ends < shape)).all()
    off = float(np.abs(start - index).max())
    if off > _NEAR or not inside:
        raise DicomError(
            f"{name}: frame {frame.index + 1} lies {off:.2f} voxels off the grid of the series"
            f"{'' if inside else ' and outside of its array'}: it is of another series, or the "
            "series was cropped or resampled",
            files=[name],
            figures={"off_voxels": off},
        )
    return Place(
        axes=(across, int(axes[0]), int(axes[1])),
        plane=int(index[across]),
        start=(int(index[axes[0]]), int(index[axes[1]])),
        signs=(int(signs[0]), int(signs[1])),
        size=size,
    )
