"""From values to what a screen shows: VOI, palette, YCbCr, MONOCHROME1."""

from __future__ import annotations

import math

import numpy as np
from pydicom.dataset import Dataset

from kmed.data.dicom.attributes import filled, numbers
from kmed.data.dicom.errors import UnsupportedPixels
from kmed.data.dicom.lookup import Table, is_big_endian, palette, table
from kmed.data.dicom.typed import typed_errors


def windowed(
    values: np.ndarray, center: float, width: float, *, function: str = "LINEAR", top: int = 255
) -> np.ndarray:
    """Applies a window.

    Reference: DICOM PS3.3, C.11.2.1.2.1 (LINEAR), C.11.2.1.3.2 (LINEAR_EXACT), C.11.2.1.3.1
    (SIGMOID).

    Args:
        values: modality values, any shape.
        center: Window Center.
        width: Window Width; LINEAR: at least 1, else above 0.
        function: VOI LUT Function.
        top: largest output value; the smallest is 0.

    Returns:
        float64 from 0 to `top`, the shape of `values`.

    Raises:
        UnsupportedPixels: another function, or a width that it does not allow.

    Example:
        >>> windowed(np.array([-160, 40, 239]), 40, 400).round(1).tolist()
        [0.0, 127.8, 255.0]
    """
    least = 1 if function == "LINEAR" else 0
    if not (math.isfinite(center) and math.isfinite(width) and width >= least and width > 0):
        raise UnsupportedPixels(
            f"Window Center {center}, Window Width {width} are no window of {function}; give "
            "`window` as (center, width)"
        )
    x = values.astype(np.float64)
    if function == "LINEAR":
        middle, span = center - 0.5, width - 1
    elif function == "LINEAR_EXACT":
        middle, span = center, width
    elif function == "SIGMOID":
        return top / (1 + np.exp(np.clip(-4 * (x - center) / width, -700, 700)))
    else:
        raise UnsupportedPixels(
            f"VOI LUT Function {function[:20]!r} is not supported; there are LINEAR, LINEAR_EXACT "
            "and SIGMOID"
        )
    if span == 0:
        return np.where(x > middle, float(top), 0.0)
    return np.clip((x - middle) / span + 0.5, 0, 1) * top


def ybr_to_rgb(values: np.ndarray) -> np.ndarray:
    """Turns YBR_FULL or YBR_FULL_422 to RGB.

    Reference: DICOM PS3.3, C.7.6.3.1.2, its equations solved for R, G and B.

    Args:
        values: `(..., 3)` unsigned integers that use all of their bits.

    Returns:
        RGB of the same shape and type.
    """
    top = np.iinfo(values.dtype).max
    y, cb, cr = np.moveaxis(values.astype(np.float64), -1, 0)
    cb, cr = cb - (top + 1) / 2, cr - (top + 1) / 2
    green = y - (0.114 * 1.772 / 0.587) * cb - (0.299 * 1.402 / 0.587) * cr
    colour = np.stack([y + 1.402 * cr, green, y + 1.772 * cb], axis=-1)
    return np.clip(np.floor(colour + 0.5), 0, top).astype(values.dtype)


def rgb(ds: Dataset, stored: np.ndarray, *, photometric: str | None = None) -> np.ndarray:
    """Turns stored colour to RGB.

    Args:
        ds: data set of the file.
        stored: stored values: `(..., 3)`, or `(...)` of a palette.
        photometric: the space they are in, from `stored`; None: as the file says.

    Returns:
        RGB `(..., 3)`: of a palette uint8 or uint16 as wide as its entries, else the type stored.

    Raises:
        UnsupportedPixels: no colour.
        Damaged: a palette that is missing or cut off.
    """
    name = str(getattr(ds, "filename", None) or "data set")
    photometric = photometric or str(filled(ds, "PhotometricInterpretation"))
    if photometric == "PALETTE COLOR":
        tables = palette(
            ds, name, signed=bool(ds.get("PixelRepresentation")), big=is_big_endian(ds)
        )
        colour = np.stack([channel(stored) for channel in tables], axis=-1)
        return colour.astype(np.uint8) if max(t.bits for t in tables) <= 8 else colour
    if photometric in ("YBR_FULL", "YBR_FULL_422"):
        if stored.dtype.kind != "u":
            raise UnsupportedPixels(f"{name}: {photometric} with signed values", files=[name])
        return ybr_to_rgb(stored)
    if photometric in ("RGB", "YBR_RCT", "YBR_ICT"):
        # The decoder of JPEG 2000 has undone its own transforms.
        return stored
    raise UnsupportedPixels(f"{name}: {photometric} is no colour", files=[name])


def display(
    ds: Dataset,
    values: np.ndarray,
    *,
    window: tuple[float, float] | None = None,
    frame: int = 0,
    photometric: str | None = None,
    bits: int = 8,
) -> np.ndarray:
    """Gives an image as a screen shows it.

    Grey values go through the window given, else the file's VOI LUT or first window, else from
    smallest to largest; then MONOCHROME1 is inverted, so that large is always bright. Colour
    becomes RGB. Overlays are left out.

    Reference: DICOM PS3.3, C.11.2 (VOI LUT), C.7.6.3.1.2 (Photometric Interpretation).

    Args:
        ds: data set of the file.
        values: modality values of grey images, stored values of colour and palettes.
        window: (center, width), by the LINEAR function; None: the file's.
        frame: 0-based number of the frame, whose window it is in a multi-frame file.
        photometric: colour space of `values` after decoding; None: as the file says.
        bits: 8 or 16 of the output.

    Returns:
        uint8 or uint16: the shape of `values`, of a palette with three samples last.

    Raises:
        ValueError: other `bits`.
        UnsupportedPixels: a window without width, colour of an unknown kind.
        Damaged: a lookup table that is cut off.
    """
    if bits not in (8, 16):
        raise ValueError(f"`bits` must be 8 or 16; received {bits}")
    name = str(getattr(ds, "filename", None) or "data set")
    with typed_errors(name, "it can't be displayed"):
        return _displayed(ds, values, window, frame, photometric, bits)


def _displayed(ds: Dataset, values: np.ndarray, window, frame, photometric, bits) -> np.ndarray:
    kind, top = (np.uint8 if bits == 8 else np.uint16), 2**bits - 1
    photometric = photometric or str(filled(ds, "PhotometricInterpretation"))
    if not photometric.startswith("MONOCHROME"):
        colour = rgb(ds, values, photometric=photometric)
        given = 8 * colour.dtype.itemsize
        if photometric != "PALETTE COLOR":
            given = int(ds.get("BitsStored") or given)
        shown = colour.astype(np.float64) * (top / (2**given - 1))
    else:
        shown = _voi(ds, values, window, frame, top)
        if photometric == "MONOCHROME1":
            shown = top - shown
    return np.clip(np.rint(shown), 0, top).astype(kind)


def _voi(ds: Dataset, values: np.ndarray, window, frame: int, top: int) -> np.ndarray:
    name = str(getattr(ds, "filename", None) or "data set")
    item = _voi_item(ds, frame)
    sequence = filled(item, "VOILUTSequence")
    if window is None and sequence is not None:
        signed = values.dtype.kind != "u"
        lut: Table = table(sequence[0], name, signed=signed, big=is_big_endian(ds))
        return lut(values) * (top / (2**lut.bits - 1))
    function = "LINEAR"
    if window is None:
        center, width = numbers(item, "WindowCenter"), numbers(item, "WindowWidth")
        if center and width:
            window = (center[0], width[0])
            function = str(filled(item, "VOILUTFunction") or "LINEAR").strip()
    if window is None:
        finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        if low == high:
            return np.zeros(values.shape)
        window, function = ((low + high) / 2, high - low), "LINEAR_EXACT"
    try:
        return np.nan_to_num(windowed(values, *window, function=function, top=top))
    except UnsupportedPixels as error:
        raise UnsupportedPixels(f"{name}: {error}", files=[name]) from error


def _voi_item(ds: Dataset, frame: int) -> Dataset:
    per_frame = filled(ds, "PerFrameFunctionalGroupsSequence") or []
    shared = filled(ds, "SharedFunctionalGroupsSequence") or []
    for group in (*per_frame[frame : frame + 1], *shared[:1]):
        found = filled(group, "FrameVOILUTSequence")
        if found:
            return found[0]
    return ds
