"""Siemens mosaics: the slices of one volume side by side as tiles of a single picture."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from pydicom.dataset import Dataset

from kmed.data.dicom.attributes import filled, number, private, private_numbers, whole
from kmed.data.dicom.errors import NoGeometry

#: Why a multi-frame file whose frames are mosaics can't be a volume.
ENHANCED_MOSAIC = (
    "the frame is a mosaic in a multi-frame (enhanced) file, whose slices have no stated places; "
    "export the series without mosaics, or as classic DICOM"
)

_MOST_TAGS = 512  # of a CSA header; scanners write about 100
_MOST_ITEMS = 4096  # of one tag
_PARALLEL = 1e-3


class Tile(NamedTuple):
    """One slice of a mosaic.

    Attributes:
        pixels: (first row, first column, rows, columns) in the picture.
        offset_mm: from Image Position (Patient) of the picture to the centre of the tile's first
            pixel, LPS.
    """

    pixels: tuple[int, int, int, int]
    offset_mm: np.ndarray


def is_mosaic(ds: Dataset) -> bool:
    """Tells whether Image Type says that a file is a mosaic."""
    return _names_mosaic(filled(ds, "ImageType"))


def is_enhanced_mosaic(own: Dataset, shared: Dataset) -> bool:
    """Tells whether the functional groups of a frame say that it is a mosaic.

    Frame Type may say so; scanners of the XA line say it in a private attribute, (0021,xx75) within
    (0021,xxFE).

    Args:
        own: the frame's item of Per-Frame Functional Groups Sequence.
        shared: the item of Shared Functional Groups Sequence.
    """
    for ds in (own, shared):
        kinds = filled(ds, "MRImageFrameTypeSequence") or ()
        siemens = private(ds, 0x0021, "SIEMENS MR SDI 02", 0xFE) or ()
        for item in (*kinds, *siemens):
            if isinstance(item, Dataset) and (
                _names_mosaic(filled(item, "FrameType"))
                or _names_mosaic(private(item, 0x0021, "SIEMENS MR SDI 02", 0x75))
            ):
                return True
    return False


def _names_mosaic(image_type: Any) -> bool:
    if image_type is None or isinstance(image_type, (str, bytes)):
        return False
    return "MOSAIC" in [str(value).strip() for value in image_type]


def tiles_of(
    ds: Dataset, orientation: tuple[float, ...], spacing_mm: tuple[float, ...]
) -> tuple[Tile, ...]:
    """Finds the slices of a mosaic and where they lie.

    The tiles fill a square grid row by row. Image Position (Patient) is that of a picture as large
    as the mosaic with the first slice at its middle; further slices follow along the slice normal
    of the CSA header, which may point against the cross product of row and column.

    Reference: Siemens syngo MR DICOM conformance statements (CSA Non-Image Module, (0029,xx10));
    Li et al. 2016, doi:10.1016/j.jneumeth.2016.03.001.

    Args:
        ds: data set of the file.
        orientation: direction of a row, then of a column, in LPS.
        spacing_mm: between rows, between columns.

    Returns:
        The tiles in the order of the picture, without the empty ones at its end.

    Raises:
        NoGeometry: naming what is missing: Siemens' private attributes were removed, or
            contradict the picture.
    """
    csa = csa_header(_csa_bytes(ds))
    count = _count(ds, csa)
    rows, columns = whole(ds, "Rows"), whole(ds, "Columns")
    side = math.isqrt(count - 1) + 1
    if not rows or not columns or rows % side or columns % side:
        raise NoGeometry(
            f"a mosaic of {count} slices has {side} x {side} tiles, which do not fill "
            f"{rows} rows and {columns} columns",
            figures={"slices": count, "rows": rows, "columns": columns},
        )
    gap = number(ds, "SpacingBetweenSlices")
    if gap is None or gap <= 0:
        raise NoGeometry("a mosaic needs SpacingBetweenSlices above 0 to place its slices")
    row, column = np.array(orientation).reshape(2, 3)
    height, width = rows // side, columns // side
    first = (
        row * spacing_mm[1] * (columns - width) / 2 + column * spacing_mm[0] * (rows - height) / 2
    )
    step = _normal(csa, np.cross(row, column)) * gap
    return tuple(
        Tile((i // side * height, i % side * width, height, width), first + i * step)
        for i in range(count)
    )


def csa_header(data: bytes) -> dict[str, tuple[str, ...]]:
    """Parses the tags of a Siemens CSA header of either version.

    Every length is checked against the bytes there are before it is used, so that time and memory
    are bounded by the length of the data.

    Reference: the layout as described at https://nipy.org/nibabel/dicom/siemens_csa.html.

    Args:
        data: value of CSA Image Header Info (0029,xx10) or CSA Series Header Info (0029,xx20).

    Returns:
        Of each tag its values, stripped; empty if the header is damaged.

    Example:
        >>> csa_header(b"no header")
        {}
    """
    second = data[:4] == b"SV10"
    start = 8 if second else 0
    found: dict[str, tuple[str, ...]] = {}
    try:
        tags, _ = struct.unpack_from("<II", data, start)
        if not 0 < tags <= _MOST_TAGS:
            return {}
        position, first_items = start + 8, None
        for _ in range(tags):
            name, _, _, _, items, _ = struct.unpack_from("<64si4siii", data, position)
            position += 84
            first_items = items if first_items is None else first_items
            if not 0 <= items <= _MOST_ITEMS:
                return {}
            values = []
            for _ in range(items):
                lengths = struct.unpack_from("<4i", data, position)
                # Version 1 adds the number of items of the first tag to each length.
                length = lengths[1] if second else lengths[0] - first_items
                position += 16
                if length < 0 or position + length > len(data):
                    if second:
                        return {}
                    break  # version 1 leaves such items at the end of a tag
                values.append(_text(data[position : position + length]))
                position += -(-length // 4) * 4
            found[_text(name)] = tuple(value for value in values if value)
    except struct.error:  # fewer bytes than the counts say
        return {}
    return found


def _text(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("latin-1").strip()


def _csa_bytes(ds: Dataset) -> bytes:
    value = private(ds, 0x0029, "SIEMENS CSA HEADER", 0x10)
    return value if isinstance(value, bytes) else b""


def _count(ds: Dataset, csa: Mapping[str, tuple[str, ...]]) -> int:
    """Number of slices: in the CSA header, else in the attribute that repeats it."""
    numbers = _numbers(csa, "NumberOfImagesInMosaic", 1) or private_numbers(
        ds, 0x0019, "SIEMENS MR HEADER", 0x0A, 1
    )
    if numbers is None:
        raise NoGeometry(
            "a mosaic without NumberOfImagesInMosaic, in Siemens' CSA header (0029,xx10) or "
            "(0019,xx0A): how many slices it holds is unknown; keep these private attributes "
            "when de-identifying"
        )
    count = int(numbers[0])
    rows = whole(ds, "Rows") or 1
    if count != numbers[0] or not 1 <= count <= rows**2:
        raise NoGeometry(
            f"NumberOfImagesInMosaic is {numbers[0]:g} in a picture of {rows} rows",
            figures={"slices": numbers[0]},
        )
    return count


def _normal(csa: Mapping[str, tuple[str, ...]], across: np.ndarray) -> np.ndarray:
    """Unit vector from slice to slice: the picture's own, with the sign of the CSA header."""
    across = across / np.linalg.norm(across)
    stated = _numbers(csa, "SliceNormalVector", 3)
    if stated is None:
        raise NoGeometry(
            "a mosaic without SliceNormalVector in Siemens' CSA header (0029,xx10): whether its "
            "slices run along the normal or against it is unknown; keep this private attribute "
            "when de-identifying"
        )
    cosine = float(across @ np.array(stated))
    if abs(abs(cosine) - 1) > _PARALLEL:
        raise NoGeometry(
            "SliceNormalVector of the CSA header is not perpendicular to the slices "
            f"(cosine {cosine:.3f})",
            figures={"cosine": cosine},
        )
    return math.copysign(1.0, cosine) * across


def _numbers(csa: Mapping[str, tuple[str, ...]], name: str, length: int) -> tuple | None:
    try:
        values = tuple(float(value) for value in csa.get(name, ()))
    except ValueError:
        return None
    return values if len(values) == length and all(map(math.isfinite, values)) else None
