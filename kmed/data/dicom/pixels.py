"""From the bytes of a DICOM file to its stored values, exact and bounded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRBigEndian

from kmed.data.dicom.codecs import DEFLATED_FRAMES, RLE, decode_frame, plugin_for
from kmed.data.dicom.codestream import frames_in
from kmed.data.dicom.display import display
from kmed.data.dicom.errors import Damaged, MissingCodec, TooLarge
from kmed.data.dicom.header import read_dataset
from kmed.data.dicom.pixel_layout import PixelLayout, layout_of
from kmed.data.dicom.pixel_values import frame_values, padding_mask
from kmed.data.dicom.typed import typed_errors

__all__ = ["Stored", "display", "frame_values", "padding_mask", "stored", "stored_values"]

_NATIVE = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"}
_NATIVE |= {str(ExplicitVRBigEndian)}


class Stored(NamedTuple):
    """Stored values and the colour space they are in.

    Attributes:
        values: `(F, rows, columns)`, or `(F, rows, columns, 3)` of colour.
        photometric: their Photometric Interpretation after decoding.
    """

    values: np.ndarray
    photometric: str


def stored_values(source, *, frames: Sequence[int] | None = None) -> np.ndarray:
    """Decodes the pixels of a DICOM file to the values it stores.

    Values are cut to Bits Stored below High Bit and sign-extended. Neither rescale, palette nor
    window is applied; overlays are left out; YCbCr stays YCbCr, but for the transform that JPEG
    2000 undoes itself.

    Reference: DICOM PS3.5, sections 8 and A.4.

    Args:
        source: path, `Source`, or a data set with its pixel data.
        frames: 0-based numbers of the frames wanted, in the order wanted; None: all.

    Returns:
        `(F, rows, columns)` or `(F, rows, columns, 3)`, integers as wide as allocated, or floats.

    Raises:
        DicomError: no pixels, a damaged or unsupported description, more than memory or the file
            can hold, a decoder that is missing.
    """
    return stored(source, frames=frames).values


def stored(source, *, frames: Sequence[int] | None = None) -> Stored:
    """As `stored_values`, with the colour space the values are in.

    Args:
        source: as of `stored_values`.
        frames: as of `stored_values`.

    Returns:
        Values and Photometric Interpretation.

    Raises:
        DicomError: as `stored_values`.
    """
    ds, name = _dataset(source)
    with typed_errors(name, "its pixels can't be read"):
        return _stored(ds, name, frames)


def _stored(ds: Dataset, name: str, frames: Sequence[int] | None) -> Stored:
    layout = layout_of(ds, name)
    chosen = range(layout.frames) if frames is None else [int(index) for index in frames]
    if frames is not None and any(not 0 <= index < layout.frames for index in chosen):
        raise Damaged(
            f"{name}: `frames` must be from 0 to {layout.frames - 1}; received {list(chosen)[:8]}",
            files=[name],
        )
    syntax = _syntax(ds, name)
    data = ds[layout.element].value
    if not isinstance(data, (bytes, bytearray)) or not len(data):
        raise Damaged(f"{name}: its pixel data is empty; copy the file again", files=[name])
    try:
        if syntax in _NATIVE:
            big = syntax == ExplicitVRBigEndian
            words = ds[layout.element].VR == "OW"
            return _native(data, layout, chosen, big=big, words=words)
        return _compressed(ds, data, layout, chosen, syntax)
    except MemoryError as error:
        raise TooLarge(
            f"{name}: not enough memory for {len(chosen)} frames of {layout.shape}; decode fewer "
            "at a time with `frames`",
            files=[name],
        ) from error


def _dataset(source) -> tuple[Dataset, str]:
    if isinstance(source, Dataset):
        return source, str(getattr(source, "filename", None) or "data set")
    name = str(source) if isinstance(source, (str, os.PathLike)) else source.name
    return read_dataset(source, pixels=True), name


def _syntax(ds: Dataset, name: str) -> str:
    meta = getattr(ds, "file_meta", None)
    syntax = str(meta.get("TransferSyntaxUID") or "") if meta is not None else ""
    if not syntax:
        raise Damaged(
            f"{name}: its file meta information has no Transfer Syntax UID, so how its pixels are "
            "encoded is unknown",
            files=[name],
        )
    if not UID(syntax).is_valid:
        raise MissingCodec(f"{name}: {syntax[:64]!r} is no transfer syntax", files=[name])
    return syntax


def _native(
    data: bytes, layout: PixelLayout, chosen: Sequence[int], *, big: bool, words: bool
) -> Stored:
    """Values that are not compressed; PS3.5, section 8.1 and 8.2."""
    subsampled = layout.photometric == "YBR_FULL_422" and layout.samples == 3
    count = layout.frame_values * 2 // 3 if subsampled else layout.frame_values
    declared = -(-count * layout.frames * layout.allocated // 8)
    if declared > len(data):
        raise Damaged(
            f"{layout.name}: declares {layout.frames} frame(s) of {layout.rows} x "
            f"{layout.columns} x {layout.samples} values of {layout.allocated} bits, "
            f"{declared:,} bytes; it holds {len(data):,}: cut off, or its description is wrong",
            files=[layout.name],
            figures={"declared": declared, "present": len(data)},
        )
    if len(data) - declared >= max(2, -(-count * layout.allocated // 8)):
        raise Damaged(
            f"{layout.name}: declares {declared:,} bytes of pixels and holds {len(data):,}, one "
            "frame more or many: its description is wrong",
            files=[layout.name],
            figures={"declared": declared, "present": len(data)},
        )
    if subsampled and (layout.columns % 2 or layout.allocated != 8):
        raise Damaged(
            f"{layout.name}: YBR_FULL_422 needs an even number of columns and 8 bits; received "
            f"{layout.columns} and {layout.allocated}",
            files=[layout.name],
        )
    layout.require_size(len(chosen))
    out = np.empty((len(chosen), *layout.shape), layout.dtype)
    raw = layout.dtype.newbyteorder(">" if big else "<")
    for place, index in enumerate(chosen):
        if layout.allocated == 1:
            first = index * count
            packed = np.frombuffer(data, np.uint8)[first // 8 : -(-(first + count) // 8)]
            bits = np.unpackbits(packed, bitorder="little")
            frame = bits[first % 8 : first % 8 + count]
        elif layout.allocated == 8 and big and words:
            # In big endian words the second of two bytes comes first.
            where = np.arange(index * count, (index + 1) * count) ^ 1
            frame = np.frombuffer(data, raw)[np.minimum(where, len(data) - 1)]
        else:
            frame = np.frombuffer(data, raw, count, index * count * raw.itemsize)
        out[place] = _arranged(frame, layout, subsampled)
    return Stored(_significant(out, layout), layout.photometric)


def _arranged(frame: np.ndarray, layout: PixelLayout, subsampled: bool) -> np.ndarray:
    if layout.samples == 1:
        return frame.reshape(layout.shape)
    if subsampled:
        # Y1 Y2 Cb Cr of two neighbours; PS3.3, C.7.6.3.1.2.
        pairs = frame.reshape(layout.rows, layout.columns // 2, 4)
        colour = np.repeat(pairs[..., 2:], 2, axis=1)
        luminance = pairs[..., :2].reshape(layout.rows, layout.columns, 1)
        return np.concatenate([luminance, colour], axis=-1)
    if layout.planar:
        return frame.reshape(layout.samples, layout.rows, layout.columns).transpose(1, 2, 0)
    return frame.reshape(layout.shape)


def _significant(values: np.ndarray, layout: PixelLayout) -> np.ndarray:
    """Cuts to the stored bits; what lies beside them may be an overlay or anything else."""
    if layout.element != "PixelData" or layout.stored == layout.allocated:
        return values
    above = layout.allocated - 1 - layout.high
    np.left_shift(values, above, out=values)
    np.right_shift(values, layout.allocated - layout.stored, out=values)
    return values


def _compressed(
    ds: Dataset, data: bytes, layout: PixelLayout, chosen: Sequence[int], syntax: str
) -> Stored:
    if layout.element != "PixelData":
        raise Damaged(f"{layout.name}: {layout.element} can't be compressed", files=[layout.name])
    if syntax != DEFLATED_FRAMES:
        plugin_for(syntax, layout.name)  # before bytes of an unknown syntax are called broken
    extended = None
    if ds.get("ExtendedOffsetTable") and ds.get("ExtendedOffsetTableLengths"):
        extended = (ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths)
    parts = frames_in(data, layout, extended)
    layout.require_size(len(chosen))
    out, spaces = None, set()
    for place, index in enumerate(chosen):
        frame = b"".join(parts[index])
        values, photometric = decode_frame(frame, syntax, layout)
        if out is None:
            # Only now: that the first frame has its declared size bounds what follows.
            out = np.empty((len(chosen), *layout.shape), values.dtype)
        out[place] = values
        spaces.add(photometric)
    if len(spaces) > 1:
        raise Damaged(
            f"{layout.name}: its frames have several colour spaces: {sorted(spaces)}",
            files=[layout.name],
        )
    if out is None:
        return Stored(np.empty((0, *layout.shape), layout.dtype), layout.photometric)
    if syntax in (RLE, DEFLATED_FRAMES) and layout.allocated > 1:
        out = _significant(out, layout)
    return Stored(out, spaces.pop())
