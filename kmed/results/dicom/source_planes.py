"""The planes of a series as its files hold them, for objects that lie on the same planes."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from kmed.data.dicom.errors import NoGeometry
from kmed.data.dicom.files import Source
from kmed.data.dicom.frames import Frame
from kmed.data.dicom.header import Header, read_dataset, read_header
from kmed.data.dicom.series import Series

_NEAREST = 0.5  # voxels by which a plane may lie off the series' grid; from there it is another


@dataclass(frozen=True, kw_only=True)
class Instance:
    """A source image, or one frame of it.

    Attributes:
        sop_class_uid: SOP Class UID.
        instance_uid: SOP Instance UID.
        frame: 1-based number of the frame; None of a single-frame image.
    """

    sop_class_uid: str
    instance_uid: str
    frame: int | None = None


@dataclass(frozen=True, kw_only=True)
class Planes:
    """A series as planes of rows and columns.

    Attributes:
        positions_mm: `(S, 3)` centre of each plane's first pixel, LPS.
        orientation: direction of a row, then of a column, six cosines in LPS.
        spacing_mm: (between planes, between rows, between columns).
        thickness_mm: slice thickness.
        sources: the image of each plane whose pixels are the plane's; None where there is none.
        instances: all source images, each once, without frame numbers.
        axes: which axis of the series' array counts planes, rows and columns.
        flipped: whether the array runs against rows and columns; never against the planes.
    """

    positions_mm: np.ndarray
    orientation: tuple[float, ...]
    spacing_mm: tuple[float, float, float]
    thickness_mm: float
    sources: tuple[Instance | None, ...]
    instances: tuple[Instance, ...]
    axes: tuple[int, int, int]
    flipped: tuple[bool, bool]

    def stacked(self, array: np.ndarray) -> np.ndarray:
        """Turns `(D, H, W, ...)` of the series to a view of planes, rows and columns."""
        array = array.transpose(*self.axes, *range(3, array.ndim))
        rows, columns = (slice(None, None, -1 if flip else 1) for flip in self.flipped)
        return array[:, rows, columns]

    def corners(self, shape: tuple[int, ...]) -> np.ndarray:
        """Gives the array indices `(S, 3)` of each plane's first pixel, in an array of `shape`."""
        corners = np.zeros((shape[self.axes[0]], 3))
        corners[:, self.axes[0]] = np.arange(len(corners))
        for axis, flip in zip(self.axes[1:], self.flipped, strict=True):
            corners[:, axis] = shape[axis] - 1 if flip else 0
        return corners


def source_planes(series: Series) -> Planes:
    """Finds the planes on which a series' slices were stored.

    The array of a series may be turned and flipped against its files; its voxels lie on the same
    planes. Those of a resampled series do not, and its planes are made from its own grid.

    Reference: DICOM PS3.3, C.7.6.2 (Image Plane Module), C.7.6.16 (Functional Groups).

    Args:
        series: a volume, and the files it was read from.

    Returns:
        The planes.

    Raises:
        DicomError: files that can't be read, or that aren't the series'.
    """
    headers = {name: read_header(source_of(name)) for name in dict.fromkeys(series.files)}
    instances = tuple(_instance(header) for header in headers.values())
    if series.resampled or not headers:
        return _own(series, instances)
    numbers = series.frames or (0,) * len(series.files)
    if len(numbers) != len(series.files):
        raise NoGeometry(
            f"the series has {len(series.files)} files and {len(numbers)} frames, one of each a "
            "slice; give the series as read_series returned it",
            files=series.files[:1],
        )
    headers = [headers[name] for name in series.files]
    frames = [_frame(header, number) for header, number in zip(headers, numbers, strict=True)]
    first = frames[0]
    axes, flipped = _turn(series, first)
    step = float(series.spacing_mm[axes[0]])
    planes = Planes(
        positions_mm=np.array([frame.position_mm for frame in frames]),
        orientation=tuple(first.orientation),
        spacing_mm=(step, *first.spacing_mm),
        thickness_mm=first.thickness_mm or step,
        sources=tuple(map(_source, headers, frames)),
        instances=instances,
        axes=axes,
        flipped=flipped,
    )
    _require_grid(series, planes, headers[0], first)
    return planes


def source_of(name: str) -> Source:
    """Gives the file that a series names: a path, or `ARCHIVE!MEMBER`."""
    archive, mark, member = name.partition("!")
    if mark and not os.path.exists(name):
        return Source(Path(archive), member)
    return Source(Path(name))


def study_of(series: Series) -> Dataset:
    """Reads what describes patient, study and equipment: the first file without pixels."""
    return read_dataset(source_of(series.files[0]))


def _instance(header: Header, frame: int | None = None) -> Instance:
    return Instance(
        sop_class_uid=header.sop_class_uid, instance_uid=header.instance_uid, frame=frame
    )


def _frame(header: Header, number: int) -> Frame:
    frame = next((frame for frame in header.frames if frame.index == number), None)
    if frame is None or frame.problem:
        name = header.source.name
        raise NoGeometry(
            f"{name}: frame {number + 1} can't be placed in the patient: "
            f"{frame.problem if frame else 'the file has no such frame'}",
            files=[name],
        )
    return frame


def _source(header: Header, frame: Frame) -> Instance | None:
    if frame.tile:
        return None  # a tile's pixels are not those of the picture at the same rows and columns
    return _instance(header, frame.index + 1 if header.number_of_frames > 1 else None)


def _turn(series: Series, frame: Frame) -> tuple[tuple[int, int, int], tuple[bool, bool]]:
    """Array axes of planes, rows and columns; whether rows and columns are flipped."""
    row, column = np.array(frame.orientation).reshape(2, 3)
    steps = series.affine[:3, :3] / np.linalg.norm(series.affine[:3, :3], axis=0)
    cosines = steps.T @ np.stack([column, row], axis=1)  # (array axis, row or column number)
    within = np.abs(cosines).argmax(axis=0)
    if within[0] == within[1]:
        raise NoGeometry("the axes of the series' array do not run along its slices' rows")
    across = 3 - int(within.sum())
    flipped = tuple(bool(cosines[axis, k] < 0) for k, axis in enumerate(within))
    return (across, int(within[0]), int(within[1])), flipped


def _require_grid(series: Series, planes: Planes, header: Header, frame: Frame) -> None:
    """Refuses a series whose array is not that of its files."""
    name = header.source.name
    size = tuple(frame.tile[2:]) if frame.tile else (header.rows, header.columns)
    shape = tuple(series.array.shape[axis] for axis in planes.axes)
    if shape != (len(planes.sources), *size):
        raise NoGeometry(
            f"{name}: the series' array has (planes, rows, columns) {shape}, its files have "
            f"{(len(planes.sources), *size)}; give the series as read_series returned it",
            files=[name],
        )
    off = _indices(planes.positions_mm, series.affine) - planes.corners(series.array.shape)
    if np.abs(off).max() > _NEAREST:
        raise NoGeometry(
            f"{name}: the series' affine lies up to {np.abs(off).max():.2f} voxels off its files' "
            "planes; give the series as read_series returned it",
            files=[name],
            figures={"off_voxels": float(np.abs(off).max())},
        )


def _indices(points_mm: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Array indices `(N, 3)` of points `(N, 3)`."""
    return np.linalg.solve(affine[:3, :3], (points_mm - affine[:3, 3]).T).T


def _own(series: Series, instances: tuple[Instance, ...]) -> Planes:
    """Planes across `slice_axis`, with rows that go down where they can."""
    rows, columns = (axis for axis in range(3) if axis != series.slice_axis)
    steps, flipped = series.affine[:3, :3], (rows == 0, False)
    row, column = (
        steps[:, axis] / np.linalg.norm(steps[:, axis]) * (-1 if flip else 1)
        for axis, flip in ((columns, flipped[1]), (rows, flipped[0]))
    )
    axes = (series.slice_axis, rows, columns)
    count = series.array.shape[series.slice_axis]
    spacing = tuple(float(series.spacing_mm[axis]) for axis in axes)
    planes = Planes(
        positions_mm=np.zeros((count, 3)),
        orientation=tuple(float(v) for v in (*row, *column)),
        spacing_mm=spacing,
        thickness_mm=spacing[0],
        sources=(None,) * count,
        instances=instances,
        axes=axes,
        flipped=flipped,
    )
    corners = planes.corners(series.array.shape)
    return replace(planes, positions_mm=corners @ steps.T + series.affine[:3, 3])
