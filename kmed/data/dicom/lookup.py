"""Lookup tables of DICOM: modality, VOI and palette, segmented ones too."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian

from kmed.data.dicom.errors import Damaged

_CHANNELS = ("Red", "Green", "Blue")


class Table(NamedTuple):
    """A lookup table.

    Attributes:
        first: input value that the first entry stands for; smaller ones get that entry too.
        entries: `(N,)` uint16; inputs beyond the last get the last.
        bits: how many an entry has.
    """

    first: int
    entries: np.ndarray
    bits: int

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Looks values up.

        Args:
            values: whole numbers, any shape.

        Returns:
            uint16, the shape of `values`.
        """
        places = np.rint(values).astype(np.int64) - self.first
        return self.entries[np.clip(places, 0, len(self.entries) - 1)]


def table(item: Dataset, name: str, *, signed: bool, big: bool = False) -> Table:
    """Reads the lookup table of a Modality or VOI LUT Sequence's item.

    Reference: DICOM PS3.3, C.11.1.1.1 and C.11.2.1.1.

    Args:
        item: with LUT Descriptor and LUT Data.
        name: of the file, for messages.
        signed: whether the values that go in may be negative.
        big: whether the file is big endian.

    Returns:
        The table.

    Raises:
        Damaged: no descriptor, or fewer entries than it declares.
    """
    count, first, bits = _descriptor(item, "LUTDescriptor", name, signed)
    return Table(first, _entries(item.get("LUTData"), count, bits, name, big), bits)


def palette(ds: Dataset, name: str, *, signed: bool, big: bool = False) -> tuple[Table, ...]:
    """Reads the palette of a PALETTE COLOR image.

    Reference: DICOM PS3.3, C.7.9 (Palette Color Lookup Table), C.7.9.2 (segmented).

    Args:
        ds: data set of the image.
        name: of the file, for messages.
        signed: whether stored values are.
        big: whether the file is big endian.

    Returns:
        The tables of red, green and blue.

    Raises:
        Damaged: tables that are missing or not as long as declared.
    """
    tables = []
    for channel in _CHANNELS:
        keyword = f"{channel}PaletteColorLookupTable"
        count, first, bits = _descriptor(ds, f"{keyword}Descriptor", name, signed)
        plain, segmented = ds.get(f"{keyword}Data"), ds.get(f"Segmented{keyword}Data")
        if plain:
            entries = _entries(plain, count, bits, name, big)
        elif segmented:
            entries = _expanded(_words(segmented, bits, big), count, name, bits)
        else:
            raise Damaged(f"{name}: PALETTE COLOR without {keyword}Data", files=[name])
        tables.append(Table(first, entries, bits))
    return tuple(tables)


def is_big_endian(ds: Dataset) -> bool:
    """Says whether the values of a data set are in big endian order."""
    meta = getattr(ds, "file_meta", None)
    return meta is not None and meta.get("TransferSyntaxUID") == ExplicitVRBigEndian


def _descriptor(item: Dataset, keyword: str, name: str, signed: bool) -> tuple[int, int, int]:
    try:
        count, first, bits = (int(value) for value in item[keyword].value)
    except Exception as error:
        # Absent, of another length or no numbers: KeyError, TypeError, ValueError ...
        raise Damaged(
            f"{name}: {keyword} must be three numbers ({type(error).__name__})", files=[name]
        ) from error
    # Its values are US or SS after Pixel Representation, the count of entries is never negative.
    count, first = count % 65536 or 65536, first % 65536
    if signed and first > 32767:
        first -= 65536
    if not 1 <= bits <= 16:
        raise Damaged(f"{name}: {keyword} declares entries of {bits} bits", files=[name])
    return count, first, bits


def _entries(data, count: int, bits: int, name: str, big: bool) -> np.ndarray:
    packed = isinstance(data, (bytes, bytearray)) and bits <= 8 and len(data) in (count, count + 1)
    if packed:
        # Two entries of 8 bits a word, the first in its low byte.
        entries = _bytes(data, big)
    elif isinstance(data, (bytes, bytearray)):
        entries = np.frombuffer(data[: len(data) // 2 * 2], ">u2" if big else "<u2")
    else:
        entries = _listed(data)
    if len(entries) < count:
        raise Damaged(
            f"{name}: a lookup table declares {count} entries and holds {len(entries)}",
            files=[name],
        )
    return entries[:count].astype(np.uint16)


def _words(data, bits: int, big: bool) -> np.ndarray:
    """Segmented data: numbers as wide as an entry."""
    if not isinstance(data, (bytes, bytearray)):
        return _listed(data)
    if bits <= 8:
        return _bytes(data, big).astype(np.int64)
    return np.frombuffer(data[: len(data) // 2 * 2], ">u2" if big else "<u2").astype(np.int64)


def _bytes(data: bytes, big: bool) -> np.ndarray:
    if big:
        return np.frombuffer(data[: len(data) // 2 * 2], np.uint8).reshape(-1, 2)[:, ::-1].ravel()
    return np.frombuffer(data, np.uint8)


def _listed(data) -> np.ndarray:
    if data is None:
        return np.empty(0, np.int64)
    try:
        return np.atleast_1d(np.array(data, np.int64)) % 65536
    except (TypeError, ValueError):
        return np.empty(0, np.int64)


def _expanded(words: np.ndarray, count: int, name: str, bits: int) -> np.ndarray:
    """Expands segments: 0 discrete, 1 linear, 2 repeats segments from an offset in bytes."""
    out: list[np.ndarray] = []
    length, at = 0, 0

    def segment(at: int, *, may_repeat: bool) -> int:
        nonlocal length
        kind, size = (int(value) for value in words[at : at + 2])
        if not size or length + size > count and kind != 2:
            raise ValueError(f"a segment of {size} entries after {length} of {count}")
        if kind == 2 and may_repeat:
            if bits <= 8:
                inner = sum(int(words[at + 2 + n]) << 8 * n for n in range(4))
            else:
                inner = (int(words[at + 2]) + (int(words[at + 3]) << 16)) // 2
            # None of a segment's repeats may be empty, so that `count` ends this.
            for _ in range(size):
                inner = segment(inner, may_repeat=False)
            return at + (6 if bits <= 8 else 4)
        if kind == 0:
            values, after = words[at + 2 : at + 2 + size], at + 2 + size
        elif kind == 1 and out:
            # From the entry before, which is not repeated, to the end given.
            values = np.linspace(int(out[-1][-1]), int(words[at + 2]), size + 1)[1:]
            after = at + 3
        else:
            raise ValueError(f"segment type {kind} is not allowed here")
        if len(values) < size:
            raise ValueError("a discrete segment is cut off")
        length += size
        out.append(np.rint(values))
        return after

    try:
        while at + 1 < len(words) and length < count:
            at = segment(at, may_repeat=True)
        if length != count:
            raise ValueError(f"{length} entries, {count} are declared")
    except (ValueError, IndexError) as error:
        raise Damaged(f"{name}: a segmented palette is broken ({error})", files=[name]) from error
    return np.concatenate(out).astype(np.uint16)
