"""Frames of a DICOM file: where each lies, how its values are scaled, what tells them apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from kmed.data.dicom.attributes import has, items_of, number, numbers, shortened, whole
from kmed.data.dicom.errors import Damaged, NoGeometry, TooLarge
from kmed.data.dicom.frame_keys import classic_keys, dimensions_of, group_keys, macro
from kmed.data.dicom.mosaic import ENHANCED_MOSAIC, is_enhanced_mosaic, is_mosaic, tiles_of

#: More frames than this in one file are refused: each costs memory before a pixel is read.
MOST_FRAMES = 50_000

_PLACES = ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
_EMPTY = Dataset()
_UNIT = 1e-3  # by how much direction cosines may miss unit length and a right angle


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """One plane of pixels and where it lies in the patient.

    Attributes:
        index: 0-based number of the frame in its file; of a mosaic the number of its tile.
        position_mm: centre of the first pixel, (x, y, z) in LPS mm; None without one.
        orientation: direction of a row, then of a column, six cosines in LPS; None without.
        spacing_mm: (between rows, between columns); None without.
        thickness_mm: slice thickness; None without.
        slope: rescale slope of the frame; None if the file has none.
        intercept: rescale intercept of the frame; None if the file has none.
        keys: (name, value) of what tells the volumes of one series apart, coarse ones first;
            names are DICOM keywords, "(gggg,eeee)" of a private dimension.
        tile: (first row, first column, rows, columns) within the stored frame; None: all of it.
        problem: why the frame can't lie in a volume; None if it can.
    """

    index: int
    position_mm: tuple[float, ...] | None = None
    orientation: tuple[float, ...] | None = None
    spacing_mm: tuple[float, ...] | None = None
    thickness_mm: float | None = None
    slope: float | None = None
    intercept: float | None = None
    keys: tuple[tuple[str, Any], ...] = ()
    tile: tuple[int, int, int, int] | None = None
    problem: str | None = None


def frames_of(ds: Dataset) -> tuple[Frame, ...]:
    """Tells where the frames of a file lie; never reads pixels.

    Attributes of a frame's functional groups come before those that all frames share, and these
    before those of the file. Rescaling is DICOM's own; the second scale that Philips stores in
    private attributes (2005,100E) is left alone. dcm2niix takes that one instead, unless it is
    called with `-p n`.

    Reference: DICOM PS3.3, C.7.6.2 (Image Plane), C.7.6.16 (Multi-frame Functional Groups),
    C.7.6.17 (Multi-frame Dimension), C.8.8.3 (RT Dose: Grid Frame Offset Vector).

    Args:
        ds: data set of one file; its pixel data may be absent.

    Returns:
        The frames in the order of the file; of a Siemens mosaic the tiles that hold a slice.
        Frames that can't be placed have a `problem`.

    Raises:
        Damaged: Number of Frames is no count, or not that of the functional groups.
        TooLarge: more than `MOST_FRAMES` frames.

    Example:
        >>> ds = Dataset()
        >>> ds.ImagePositionPatient = [-100, -100, 40]
        >>> ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        >>> ds.PixelSpacing = [0.5, 0.5]
        >>> frames_of(ds)[0].position_mm
        (-100.0, -100.0, 40.0)
    """
    count = _count(ds)
    own = items_of(ds, "PerFrameFunctionalGroupsSequence")
    shared = items_of(ds, "SharedFunctionalGroupsSequence")
    if own and len(own) != count:
        raise Damaged(
            f"NumberOfFrames is {count}, but PerFrameFunctionalGroupsSequence describes "
            f"{len(own)} frames; the file is damaged, copy it again",
            figures={"frames": count, "described": len(own)},
        )
    if own or shared:
        return _grouped(ds, count, own, shared[0] if shared else Dataset())
    if count == 1:
        return _mosaic(ds) if is_mosaic(ds) else (_placed(0, [ds], [ds], classic_keys(ds)),)
    if has(ds, "GridFrameOffsetVector"):
        return _offset(ds, count)
    rescaled = _rescale([ds])
    problem = (
        f"the file holds {count} frames without functional groups, so that none has a position "
        "in the patient"
    )
    keys, spacing = classic_keys(ds), numbers(ds, "PixelSpacing", 2)
    return tuple(
        Frame(index=i, spacing_mm=spacing, keys=keys, problem=problem, **rescaled)
        for i in range(count)
    )


def _count(ds: Dataset) -> int:
    count = whole(ds, "NumberOfFrames")
    if count is None:
        stated = ds.get_item("NumberOfFrames")
        if stated is not None and stated.value not in (None, "", b""):
            raise Damaged("NumberOfFrames is no whole number; the file is damaged, copy it again")
        count = 1
    if count < 1:
        # Some writers give 0 for a file of a single frame.
        count = 1
    if count > MOST_FRAMES:
        raise TooLarge(
            f"the file declares {count} frames; at most {MOST_FRAMES} are read from one file",
            figures={"frames": count, "most_frames": MOST_FRAMES},
        )
    return count


def _grouped(
    ds: Dataset, count: int, groups: Sequence[Dataset], shared: Dataset
) -> tuple[Frame, ...]:
    dimensions = dimensions_of(ds)

    def frame(index: int, own: Dataset) -> Frame:
        places = [macro(own, shared, name) for name in _PLACES]
        scales = [macro(own, shared, "PixelValueTransformationSequence"), ds]
        placed = _placed(index, places, scales, group_keys(own, shared, dimensions))
        if is_mosaic(ds) or is_enhanced_mosaic(own, shared):
            return replace(placed, problem=ENHANCED_MOSAIC)
        return placed

    if groups:
        return tuple(frame(index, own) for index, own in enumerate(groups))
    first = frame(0, Dataset())
    if count > 1 and first.problem is None:
        # One position for all of them is none, for instance the tiles of a slide.
        first = replace(first, problem="the file states one position for all its frames")
    return tuple(replace(first, index=i) for i in range(count))


def _mosaic(ds: Dataset) -> tuple[Frame, ...]:
    whole_picture = _placed(0, [ds], [ds], classic_keys(ds))
    if whole_picture.problem:
        return (whole_picture,)
    try:
        tiles = tiles_of(ds, whole_picture.orientation, whole_picture.spacing_mm)
    except NoGeometry as error:
        return (replace(whole_picture, problem=str(error)),)
    origin = np.array(whole_picture.position_mm)
    return tuple(
        replace(
            whole_picture,
            index=i,
            tile=tile.pixels,
            position_mm=tuple(float(v) for v in origin + tile.offset_mm),
        )
        for i, tile in enumerate(tiles)
    )


def _offset(ds: Dataset, count: int) -> tuple[Frame, ...]:
    """Frames of an RT Dose, which lie at offsets from the first along the normal."""
    first = _placed(0, [ds], [ds], classic_keys(ds))
    offsets, problem = _read(ds, "GridFrameOffsetVector", count)
    problem = first.problem or problem
    if problem is None and offsets[0] != 0:
        # The standard's other form: z coordinates, of planes across the z axis only.
        axial = np.abs(first.orientation) == (1, 0, 0, 0, 1, 0)
        if not axial.all() or abs(offsets[0] - first.position_mm[2]) > 1e-3:
            problem = (
                "GridFrameOffsetVector must begin with 0, or be the z coordinates of axial "
                f"planes; received {offsets[0]} for the first"
            )
    if problem:
        return tuple(
            replace(first, index=i, position_mm=None, problem=problem) for i in range(count)
        )
    row, column = np.array(first.orientation).reshape(2, 3)
    normal = np.cross(row, column) if offsets[0] == 0 else np.array([0.0, 0.0, 1.0])
    origin = np.array(first.position_mm)
    return tuple(
        replace(
            first,
            index=i,
            position_mm=tuple(float(v) for v in origin + (offset - offsets[0]) * normal),
        )
        for i, offset in enumerate(offsets)
    )


def _placed(index: int, places: list[Dataset], scales: list[Dataset], keys) -> Frame:
    """A frame whose plane stands in the first of `places` that has each attribute."""
    read, problem = {}, None
    for field, keyword, length in (
        ("position_mm", "ImagePositionPatient", 3),
        ("orientation", "ImageOrientationPatient", 6),
        ("spacing_mm", "PixelSpacing", 2),
    ):
        holder = next((place for place in places if has(place, keyword)), _EMPTY)
        read[field], wrong = _read(holder, keyword, length)
        problem = problem or wrong
    if problem is None and min(read["spacing_mm"]) <= 0:
        problem = f"PixelSpacing must be above 0; received {list(read['spacing_mm'])}"
    if problem is None:
        problem = _skewed(read["orientation"])
    thick = next((place for place in places if has(place, "SliceThickness")), _EMPTY)
    try:
        rescaled = _rescale(scales)
    except ValueError as error:
        rescaled, problem = {}, problem or str(error)
    return Frame(
        index=index,
        thickness_mm=number(thick, "SliceThickness"),
        keys=keys,
        problem=problem,
        **read,
        **rescaled,
    )


def _read(ds: Dataset, keyword: str, length: int) -> tuple[tuple[float, ...] | None, str | None]:
    values = numbers(ds, keyword, length)
    if values is not None:
        return values, None
    return None, (
        f"a slice of a volume needs {keyword} with {length} finite numbers; received "
        f"{shortened(ds, keyword)}"
    )


def _skewed(orientation: tuple[float, ...]) -> str | None:
    row, column = np.array(orientation).reshape(2, 3)
    if max(abs(np.linalg.norm(row) - 1), abs(np.linalg.norm(column) - 1)) > _UNIT:
        return "ImageOrientationPatient is not of unit length"
    if abs(row @ column) > _UNIT:
        return "the axes of ImageOrientationPatient are not perpendicular"
    return None


def _rescale(scales: list[Dataset]) -> dict[str, float | None]:
    """Slope and intercept of the first that has either."""
    keywords = {"slope": "RescaleSlope", "intercept": "RescaleIntercept"}
    ds = next((one for one in scales if any(has(one, k) for k in keywords.values())), None)
    if ds is None:
        return dict.fromkeys(keywords)
    found = {field: number(ds, keyword) for field, keyword in keywords.items()}
    for field, keyword in keywords.items():
        if found[field] is None and shortened(ds, keyword) not in ("none", "None", ""):
            raise ValueError(f"{keyword} must be a finite number")
    return found
