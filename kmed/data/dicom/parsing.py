"""From the bytes of a DICOM file to a data set, once its structure has been found in order."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import BinaryIO

from pydicom.charset import convert_encodings
from pydicom.dataelem import (
    RawDataElement,
    convert_raw_data_element,
    empty_value_for_VR,
)
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from kmed.data.dicom.buffers import FIRST_READ, Buffer, Inflated
from kmed.data.dicom.errors import Damaged, DicomError, NotDicom, TooLarge
from kmed.data.dicom.raw_values import tag_of
from kmed.data.dicom.structure import LETTERS, Walk

# What one file may take before its pixel data, and altogether.
HEADER_BYTES = INFLATED_BYTES = 2**28
FILE_BYTES = 2**32
_TRANSFER_SYNTAX = 0x00020010
_CHARACTER_SET = 0x00080005


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """A data set and what stands behind it.

    Attributes:
        content: all that was asked for, without file meta information.
        meta: elements of group 0002.
        syntax: Transfer Syntax UID as stated, or found where it is not stated and plain.
        pixels: whether the file has pixel data.
        pixel_length: their declared bytes; None where absent or of undefined length (encapsulated).
        left: bytes from the start of their value to the end of the file.
        name: of the file.
        preamble: its first 128 bytes, if it has the prefix.
    """

    content: Dataset
    meta: Dataset
    syntax: str
    pixels: bool
    pixel_length: int | None
    left: int
    name: str
    preamble: bytes | None

    @cached_property
    def dataset(self) -> FileDataset:
        """The data set with file meta, as pydicom reads it; a header is quicker without."""
        content = self.content
        implicit, little = content.original_encoding
        meta = FileMetaDataset(self.meta)
        meta.set_original_encoding(self.meta.original_encoding[0], True, "iso8859")
        if _TRANSFER_SYNTAX not in meta and self.syntax:
            meta.TransferSyntaxUID = self.syntax
        dataset = FileDataset(None, content, self.preamble, meta, implicit, little)
        dataset.set_original_encoding(implicit, little, content.original_character_set)
        dataset.filename = self.name
        return dataset


def parsed(
    stream: BinaryIO, size: int, name: str, *, pixels: bool, max_bytes: int | None = None
) -> Parsed:
    """Parses a file whose lengths, depth and number of elements have been found in order.

    Reference: DICOM PS3.5, 7 (The Data Set), A (Transfer Syntax); PS3.10, 7.1 (File Meta).

    Args:
        stream: at the file's first byte.
        size: of the file, in bytes.
        name: of the file, for messages.
        pixels: whether to read the pixel data and what follows them.
        max_bytes: what may be read; None: `HEADER_BYTES`, or with pixels `FILE_BYTES`; of a
            deflated file what it may inflate to; None: `INFLATED_BYTES`.

    Returns:
        The data set.

    Raises:
        NotDicom: no DICM prefix, and no data set at the file's first byte either.
        Damaged: an element beyond the end of what holds it, a sequence without items or end.
        TooLarge: more bytes, elements or nesting than allowed.
    """
    limit = max_bytes or (FILE_BYTES if pixels else HEADER_BYTES)
    inflated = max_bytes or INFLATED_BYTES
    if size == 0:
        raise NotDicom(f"{name}: an empty file; copy it again", files=[name])
    try:
        return _parsed(Buffer(stream, size, name, limit), pixels, inflated)
    except DicomError:
        raise
    except MemoryError as error:
        raise TooLarge(
            f"{name}: {size} bytes do not fit into the memory",
            files=[name],
            figures={"bytes": size},
        ) from error
    except Exception as error:
        # pydicom raises whatever its parts do; its words may repeat the patient's attributes.
        raise Damaged(
            f"{name}: damaged DICOM ({type(error).__name__}); copy it again", files=[name]
        ) from error


def _parsed(buffer: Buffer, pixels: bool, inflated: int) -> Parsed:
    buffer.grow(buffer.size if pixels else min(buffer.size, FIRST_READ))
    name, start = buffer.name, 132
    prefixed = buffer.data[128:132] == b"DICM"
    if not prefixed:
        start = 0
        if not _begins_a_data_set(buffer.data):
            hint = "; a zip archive, to be given by itself" if buffer.data[:2] == b"PK" else ""
            raise NotDicom(f"{name}: not a DICOM file (no DICM prefix){hint}", files=[name])
    preamble = buffer.data[:128] if prefixed else None
    meta, start = _file_meta(buffer, start)
    stated = meta.get_item(_TRANSFER_SYNTAX)
    syntax = _uid(stated.value) if stated is not None else ""
    if syntax == DeflatedExplicitVRLittleEndian:
        buffer = Inflated(buffer, start, inflated)
        start = 0
    first = buffer.data[start : start + 6]
    explicit = len(first) == 6 and first[4] in LETTERS and first[5] in LETTERS
    big = syntax == ExplicitVRBigEndian
    if not syntax and explicit:
        big = int.from_bytes(first[:2], "little") >= 0x0400
    walk = Walk(buffer, big, pixels)
    try:
        end = walk.whole(start, explicit)
    except Damaged as error:
        if prefixed:
            raise
        raise NotDicom(f"{name}: not a DICOM file (no DICM prefix)", files=[name]) from error
    content = _content(walk, start, end, explicit, big)
    if len(content) != len(walk.elements):
        raise Damaged(f"{name}: contradicts itself, an element comes twice", files=[name])
    if prefixed and not content:
        raise Damaged(f"{name}: cut off, its data set is empty; copy it again", files=[name])
    if not prefixed and "SOPClassUID" not in content:
        raise NotDicom(f"{name}: not a DICOM file (no DICM prefix)", files=[name])
    if not syntax and not walk.encapsulated:
        syntax = ExplicitVRLittleEndian if explicit else ImplicitVRLittleEndian
        syntax = ExplicitVRBigEndian if big else syntax
    return Parsed(
        content=content,
        meta=meta,
        syntax=str(syntax),
        pixels=walk.pixels_at is not None,
        pixel_length=walk.pixel_length,
        left=walk.left,
        name=name,
        preamble=preamble,
    )


def _content(walk: Walk, start: int, end: int, explicit: bool, big: bool) -> Dataset:
    """The data set that has been walked, as pydicom reads it; that takes twice as long."""
    data = walk.data
    if not walk.plain:
        return read_dataset(_window(data, start, end), not explicit, not big)
    elements = {}
    for number, vr, length, at in walk.elements:
        tag, said = tag_of(number), _vr(vr)
        value = data[at : at + length] if length else empty_value_for_VR(said, raw=True)
        # As its constructor, which is written in Python and takes thrice as long.
        row = (tag, said, length, value, at, not explicit, not big, True, False)
        elements[tag] = tuple.__new__(RawDataElement, row)
    content = Dataset(elements)
    character_set = elements.get(_CHARACTER_SET)
    encoding = "iso8859" if character_set is None else list(_encodings(character_set[:4]))
    content.set_original_encoding(not explicit, not big, encoding)
    return content


@cache
def _vr(letters: bytes | None) -> str | None:
    return None if letters is None else letters.decode("latin-1")


@lru_cache(maxsize=64)
def _encodings(element: tuple) -> list[str]:
    return convert_encodings(
        convert_raw_data_element(RawDataElement(*element, 0, False, True)).value
    )


def _window(data: bytes, start: int, end: int) -> io.BytesIO:
    # A stream over all bytes shares them, and a whole slice is no copy.
    stream = io.BytesIO(data[:end])
    stream.seek(start)
    return stream


def _begins_a_data_set(data: bytes) -> bool:
    # The lowest groups of any object that is stored: 0002 and 0008, in either byte order.
    return data[:2] in (b"\2\0", b"\x08\0", b"\0\x08") and len(data) > 8


def _uid(value: object) -> str:
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value or "")
    return text.strip("\0 ")


def _file_meta(buffer: Buffer, start: int) -> tuple[Dataset, int]:
    """The elements of group 0002, and where they end."""
    first = buffer.data[start : start + 6]
    if first[:2] != b"\2\0" or len(first) < 6:
        none = Dataset()
        none.set_original_encoding(False, True, "iso8859")
        return none, start
    explicit = first[4] in LETTERS and first[5] in LETTERS
    walk = Walk(buffer, False, pixels=False, group=0x0002)
    end = walk.whole(start, explicit)
    return _content(walk, start, end, explicit, False), end
