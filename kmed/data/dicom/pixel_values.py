"""From stored values to those that mean something: Hounsfield units, Gy, real-world values."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike
from pydicom.dataset import Dataset

from kmed.data.dicom.attributes import filled, number, numbers
from kmed.data.dicom.errors import UnsupportedPixels
from kmed.data.dicom.frames import Frame
from kmed.data.dicom.lookup import is_big_endian, table
from kmed.data.dicom.typed import typed_errors

_PADDING = ("PixelPaddingValue", "FloatPixelPaddingValue", "DoubleFloatPixelPaddingValue")
_LIMITS = ("PixelPaddingRangeLimit", "FloatPixelPaddingRangeLimit")
_LIMITS += ("DoubleFloatPixelPaddingRangeLimit",)
WHOLE = (np.int16, np.int32)


def frame_values(
    ds: Dataset, stored: np.ndarray, frame: Frame, *, kinds: Sequence[DTypeLike] = WHOLE
) -> np.ndarray:
    """Turns the stored values of one frame to modality values.

    A Modality LUT or the frame's own rescale; without either Dose Grid Scaling, or a real-world
    value mapping where there is exactly one. Without any the stored values are the values, but for
    CT, where that would be a guess.

    Reference: DICOM PS3.3, C.11.1 (Modality LUT), C.7.6.16.2.9 (Pixel Value Transformation),
    C.7.6.16.2.11 (Real World Value Mapping), C.8.8.3 (RT Dose).

    Args:
        ds: data set of the file.
        stored: stored values of the frame or a part of it, any shape.
        frame: from `frames_of`.
        kinds: integer types for whole values, the first that holds them.

    Returns:
        One of `kinds` where the values are whole and fit, else float32, or float64 where stored
        values have more than 16 bits.

    Raises:
        UnsupportedPixels: half a rescale; CT without; several mappings.
        Damaged: a lookup table shorter than it declares.
    """
    name = str(getattr(ds, "filename", None) or "data set")
    with typed_errors(name, "its values can't be converted"):
        return _frame_values(ds, stored, frame, name, kinds)


def _frame_values(ds: Dataset, stored: np.ndarray, frame: Frame, name: str, kinds) -> np.ndarray:
    modality_lut = filled(ds, "ModalityLUTSequence")
    slope, intercept = frame.slope, frame.intercept
    if modality_lut is not None:
        signed = bool(ds.get("PixelRepresentation"))
        item = table(modality_lut[0], name, signed=signed, big=is_big_endian(ds))
        return narrowed(item(stored), kinds)
    if slope is None and intercept is None:
        dose = number(ds, "DoseGridScaling")
        if dose is not None:
            slope, intercept = dose, 0.0
        else:
            mapped = _real_world(ds, stored, frame.index, name, kinds)
            if mapped is not None:
                return mapped
            if ds.get("Modality") != "CT" or stored.dtype.kind == "f":
                return narrowed(stored, kinds)
    if slope is None or intercept is None:
        raise UnsupportedPixels(
            f"{name}: needs RescaleSlope and RescaleIntercept, else its units are unknown; "
            f"received {slope} and {intercept}",
            files=[name],
        )
    return rescaled(stored, slope, intercept, name, kinds)


def table_bits(ds: Dataset) -> int | None:
    """Gives the bits of an entry of the file's Modality LUT, or None if it has no such table."""
    sequence = filled(ds, "ModalityLUTSequence")
    descriptor = numbers(sequence[0], "LUTDescriptor", 3) if sequence else None
    return None if descriptor is None else int(descriptor[2])


def rescaled(
    stored: np.ndarray,
    slope: float,
    intercept: float,
    name: str,
    kinds: Sequence[DTypeLike] = WHOLE,
) -> np.ndarray:
    """Computes `stored * slope + intercept`, exactly where both are whole.

    Args:
        stored: stored values.
        slope: Rescale Slope.
        intercept: Rescale Intercept.
        name: of the file, for messages.
        kinds: integer types to choose from, the first that fits.

    Returns:
        As of `frame_values`.

    Raises:
        UnsupportedPixels: a slope of 0, or numbers that are not finite.

    Example:
        >>> rescaled(np.array([0, 3], np.uint16), 1.0, -1024.0, "a.dcm")
        array([-1024, -1021], dtype=int16)
    """
    slope, intercept = float(slope), float(intercept)
    if not (math.isfinite(slope) and math.isfinite(intercept) and slope):
        raise UnsupportedPixels(
            f"{name}: RescaleSlope {slope}, RescaleIntercept {intercept}: the slope must not be 0 "
            "and both must be finite",
            files=[name],
        )
    whole = stored.dtype.kind in "iu" and stored.dtype.itemsize <= 4
    if (slope, intercept) == (1, 0):
        return narrowed(stored, kinds)
    if whole and slope.is_integer() and intercept.is_integer() and abs(slope) < 2**30:
        if abs(intercept) < 2**62:
            return _whole(stored, int(slope), int(intercept), kinds)
    narrow = stored.dtype in (np.int8, np.uint8, np.int16, np.uint16, np.float32)
    kind = np.float32 if narrow else np.float64
    if stored.size and stored.dtype.kind != "f":
        ends = [float(stored.min()) * slope + intercept, float(stored.max()) * slope + intercept]
        if max(map(abs, ends)) > float(np.finfo(kind).max):
            raise UnsupportedPixels(
                f"{name}: RescaleSlope {slope}, RescaleIntercept {intercept} give values that are "
                f"too large for {np.dtype(kind).name}",
                files=[name],
            )
    return (stored.astype(np.float64) * slope + intercept).astype(kind)


def _whole(stored: np.ndarray, slope: int, intercept: int, kinds) -> np.ndarray:
    """Exact, and without a wider copy: arithmetic modulo 2**16 is right where the result fits."""
    ends = [int(stored.min()), int(stored.max())] if stored.size else [0, 0]
    low, high = sorted(end * slope + intercept for end in ends)
    for kind in kinds:
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            values = stored.astype(kind)
            if slope != 1:
                values *= np.array(slope).astype(kind)
            if intercept:
                values += np.array(intercept).astype(kind)
            return values
    return (stored.astype(np.int64) * slope + intercept).astype(np.float64)


def narrowed(values: np.ndarray, kinds: Sequence[DTypeLike] = WHOLE) -> np.ndarray:
    """Gives whole numbers the first type of `kinds` that holds them all, without loss.

    Args:
        values: numbers; floats stay as they are.
        kinds: integer types in order of preference.

    Returns:
        The same numbers; float64 where no type of `kinds` holds them.
    """
    if values.dtype.kind == "f":
        return values
    if not values.size:
        return values.astype(kinds[0])
    low, high = int(values.min()), int(values.max())
    for kind in kinds:
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return values.astype(kind)
    return values.astype(np.float64)


def padding_mask(ds: Dataset, stored: np.ndarray) -> np.ndarray | None:
    """Marks pixels that are no part of the image, by Pixel Padding Value and its Range Limit.

    Reference: DICOM PS3.3, C.7.5.1.1.2.

    Args:
        ds: data set of the file.
        stored: stored values, before any rescale.

    Returns:
        Of the shape of `stored`, true where padded; None if the file declares no padding.
    """
    found = padding_range(ds, stored.dtype)
    if found is None:
        return None
    low, high = sorted(found)
    return (stored >= low) & (stored <= high)


def padding_range(ds: Dataset, dtype: np.dtype) -> tuple[float, float] | None:
    """Gives Pixel Padding Value and its Range Limit.

    Reference: DICOM PS3.3, C.7.5.1.1.2.

    Args:
        ds: data set of the file.
        dtype: of the stored values.

    Returns:
        The value, and the limit or the value again; None if the file declares no padding.
    """
    if not str(filled(ds, "PhotometricInterpretation") or "").startswith("MONOCHROME"):
        return None
    for keyword, limit in zip(_PADDING, _LIMITS, strict=True):
        value, end = number(ds, keyword), number(ds, limit)
        if value is None or (keyword == _PADDING[0]) != (dtype.kind in "iu"):
            continue
        if dtype.kind in "iu":
            # Written as US or SS whatever Pixel Representation says: the bits count.
            value = _as_stored(int(value), dtype)
            end = value if end is None else _as_stored(int(end), dtype)
        return value, value if end is None else end
    return None


def _as_stored(value: int, dtype: np.dtype) -> int:
    size = 2 ** (8 * dtype.itemsize)
    value %= size
    return value - size if dtype.kind == "i" and value >= size // 2 else value


def _real_world(
    ds: Dataset, stored: np.ndarray, index: int, name: str, kinds: Sequence[DTypeLike]
) -> np.ndarray | None:
    found = _mappings(ds, index)
    if not found:
        return None
    if len(found) > 1:
        raise UnsupportedPixels(
            f"{name}: has {len(found)} real-world value mappings and no rescale, so the units "
            "meant are unknown; read its stored values",
            files=[name],
            figures={"mappings": len(found)},
        )
    item = found[0]
    data = filled(item, "RealWorldValueLUTData")
    if data is None:
        slope = number(item, "RealWorldValueSlope")
        intercept = number(item, "RealWorldValueIntercept")
        if slope is None or intercept is None:
            raise UnsupportedPixels(
                f"{name}: a real-world value mapping needs slope and intercept; received {slope} "
                f"and {intercept}",
                files=[name],
            )
        return rescaled(stored, slope, intercept, name, kinds)
    first = number(item, "RealWorldValueFirstValueMapped")
    entries = np.atleast_1d(np.array(data, np.float64))
    low, high = (int(stored.min()), int(stored.max())) if stored.size else (first, first)
    if first is None or low < first or high >= first + len(entries):
        raise UnsupportedPixels(
            f"{name}: a real-world value table of {len(entries)} entries from {first} on does not "
            f"cover the stored values {low} to {high}",
            files=[name],
        )
    return entries[stored.astype(np.int64) - int(first)]


def _mappings(ds: Dataset, index: int) -> list[Dataset]:
    per_frame = filled(ds, "PerFrameFunctionalGroupsSequence") or []
    shared = filled(ds, "SharedFunctionalGroupsSequence") or []
    groups = [*per_frame[index : index + 1], *shared[:1], ds]
    for group in groups:
        found = filled(group, "RealWorldValueMappingSequence")
        if found:
            return list(found)
    return []
