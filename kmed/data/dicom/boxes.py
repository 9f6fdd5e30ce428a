"""Boxes in millimetres to pixels of DICOM images: in the image's plane or in the patient."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kmed.data.dicom.header import read_dataset
from kmed.data.dicom.slices import SliceHeader
from kmed.data.sample import DataError

_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing")


def plane_mm_to_pixels(
    corners_mm: tuple[float, float, float, float], header: SliceHeader
) -> tuple[float, float, float, float]:
    """Turns millimetres in an image's plane to its pixels.

    Reference: DICOM PS3.3, 10.7.1.3 (Pixel Spacing), C.8.11.4 (Imager Pixel Spacing).

    Args:
        corners_mm: (x1, y1, x2, y2) in mm from the left and the upper edge of the image.
        header: of its file.

    Returns:
        (x1, y1, x2, y2) in pixels.

    Raises:
        DataError: if the file says no spacing of its pixels.
    """
    down, across = header.spacing_mm[:2] or _spacing(header)
    x1, y1, x2, y2 = corners_mm
    return x1 / across, y1 / down, x2 / across, y2 / down


def patient_mm_on_slices(
    corners_mm: Sequence[float], headers: Sequence[SliceHeader]
) -> dict[int, tuple[float, float, float, float]]:
    """Lays a cuboid in the patient on the slices that it meets.

    A slice gets the box around the cuboid's projection if its plane cuts the cuboid. One that is
    so thin that it lies between two planes goes to the nearest slice, if it is within that slice's
    thickness.

    Reference: DICOM PS3.3, C.7.6.2.1.1, equation C.7.6.2.1-1.

    Args:
        corners_mm: (x1, y1, z1, x2, y2, z2) in DICOM's patient coordinates: mm to the left, to
            posterior, to superior.
        headers: slices of one frame of reference.

    Returns:
        Number of a slice -> (x1, y1, x2, y2) in its pixels; nothing if it meets none.

    Raises:
        DataError: if a slice does not say where it lies.
    """
    low, high = np.array(corners_mm, np.float64).reshape(2, 3)
    ends = np.array([[*index] for index in np.ndindex(2, 2, 2)])
    points = np.where(ends, high, low)  # (8, 3)
    found, apart = {}, {}
    for number, header in enumerate(headers):
        if header.refusal:
            raise DataError(f"{header.path}: {header.refusal}")
        row, column = np.array(header.orientation).reshape(2, 3)
        from_first = points - np.array(header.position_mm)
        # The position is that of the first pixel's centre, half a pixel inside of the image.
        x = from_first @ row / header.spacing_mm[1] + 0.5
        y = from_first @ column / header.spacing_mm[0] + 0.5
        depth = from_first @ np.cross(row, column)
        found[number] = (float(x.min()), float(y.min()), float(x.max()), float(y.max()))
        apart[number] = max(float(depth.min()), -float(depth.max()), 0.0)
    met = [number for number, distance in apart.items() if distance == 0]
    if not met:
        nearest = min(apart, key=apart.get)
        within = (headers[nearest].thickness_mm or 0) / 2
        met = [nearest] if apart[nearest] <= within else []
    return {number: found[number] for number in met}


def _spacing(header: SliceHeader) -> tuple[float, float]:
    # A radiograph's header has it, although it is no slice of a volume.
    ds = read_dataset(header.path)
    stated = ds.get(_SPACINGS[0]) or ds.get(_SPACINGS[1])
    values = [float(value) for value in stated or ()]
    if len(values) != 2 or not min(values) > 0:
        raise DataError(
            f"{header.path}: boxes in millimetres need PixelSpacing or ImagerPixelSpacing; "
            f"received {stated}"
        )
    return values[0], values[1]
