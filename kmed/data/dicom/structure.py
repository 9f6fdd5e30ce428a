"""DICOM's structure: tags and lengths walked before anything is parsed or allocated."""

from __future__ import annotations

import string
import struct

from pydicom.datadict import DicomDictionary
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from kmed.data.dicom.buffers import Buffer, More
from kmed.data.dicom.errors import Damaged, TooLarge

# Nested deeper than any object of the standard; pydicom recurses.
DEPTH = 32
# An enhanced image of 20,000 frames; for each pydicom takes about 0.3 kB, for an item 1 kB.
ELEMENTS = 2**21
_ITEM_COST = 16

LETTERS = frozenset(string.ascii_uppercase.encode())
_UNDEFINED = 0xFFFFFFFF
_PIXEL_ELEMENTS = (0x0008, 0x0009, 0x0010)  # of group 7FE0: float, double, integer
_LONG = frozenset(vr.encode() for vr in EXPLICIT_VR_LENGTH_32)
_SEQUENCES = frozenset(tag for tag, entry in DicomDictionary.items() if entry[0] == "SQ")


class Walk:
    """One pass over tags and lengths, as pydicom will read them."""

    def __init__(self, buffer: Buffer, big: bool, pixels: bool, group: int | None = None):
        self.buffer, self.data, self.name = buffer, buffer.data, buffer.name
        order = "><"[not big]
        self.unpack_explicit = struct.Struct(f"{order}HH2sH").unpack_from
        self.unpack_implicit = struct.Struct(f"{order}HHL").unpack_from
        self.unpack_length = struct.Struct(f"{order}L").unpack_from
        self.through_pixels, self.only = pixels, group
        self.count = self.top = self.top_count = self.left = 0
        # Of the data set itself: tag, VR, length, where the value is.
        self.elements: list[tuple[int, bytes | None, int, int]] = []
        self.plain = True  # no length of these is undefined
        self.pixels_at = self.pixel_length = None
        self.encapsulated = False

    def whole(self, start: int, explicit: bool) -> int:
        """Walks the data set from `start`; gives where it, or what is wanted of it, ends."""
        self.top = start
        while True:
            try:
                end = self._level(self.top, self.buffer.size, explicit, 0)
                if end > len(self.data):
                    raise More(end)
                return end
            except More as more:
                before = len(self.data)
                self.buffer.grow(min(more.args[0], self.buffer.size))
                self.data = self.buffer.data
                if len(self.data) == before and len(self.data) < self.buffer.size:
                    raise self._cut(before) from None
                self.count = self.top_count

    def _level(self, at: int, end: int, explicit: bool, depth: int, closed: bool = True) -> int:
        """Elements of one data set or item, until `end` or, if not closed, a delimiter."""
        data, count, only = self.data, 0, self.only
        unpack = self.unpack_explicit if explicit else self.unpack_implicit
        while at < end:
            count += 1
            try:
                if explicit:
                    group, element, vr, length = unpack(data, at)
                else:
                    group, element, length = unpack(data, at)
                    vr = None
            except struct.error:
                if depth == 0 and end - at < 8 and not data[at:].strip(b"\0"):
                    return end  # padding
                raise self._short(at + 8) from None
            if group == 0xFFFE:
                if closed or element != 0xE00D:
                    raise self._wrong(at, "a delimiter or item where an element belongs")
                self._counted(count)
                return at + 8
            if only is not None and group != only:
                return at
            if group == element == depth == 0 and not data[at:].strip(b"\0"):
                return at  # padding
            start, at = at, at + 8
            if explicit:
                if vr in _LONG:
                    try:
                        (length,) = self.unpack_length(data, at)
                    except struct.error:
                        raise self._short(at + 4) from None
                    at += 4
                elif not b"AA" <= vr <= b"ZZ":
                    # Writers switch to implicit VR within sequences.
                    group, element, length = self.unpack_implicit(data, start)
                    vr = None
            if length != _UNDEFINED and length > end - at:
                raise self._beyond(group, element, start, length, end - at)
            if group == 0x7FE0 and depth == 0 and element in _PIXEL_ELEMENTS:
                self._pixels(start, at, length)
                if not self.through_pixels:
                    return start
            tag = group << 16 | element
            value = at
            if length == _UNDEFINED:
                if self._holds_items(tag, vr, at):
                    at = self._items(at, None, explicit, depth + 1)
                else:
                    at = self._fragments(at)
            elif vr == b"SQ" or (vr in (None, b"UN") and tag in _SEQUENCES):
                at = self._items(at, at + length, explicit, depth + 1)
            else:
                at += length
            if depth == 0:
                # Here the walk goes on when more bytes have been read.
                self.top, self.top_count = at, self.count
                self.elements.append((tag, vr, length, value))
                if length == _UNDEFINED:
                    self.plain = False
            if count > ELEMENTS:
                self._counted(count)
        if not closed:
            raise self._cut(end)
        if at > end:
            raise self._wrong(end, "an element reaches beyond the end of what holds it")
        self._counted(count)
        return at

    def _items(self, at: int, end: int | None, explicit: bool, depth: int) -> int:
        """The items of a sequence, until `end` or, without one, its delimiter."""
        if depth > DEPTH:
            raise TooLarge(
                f"{self.name}: sequences nested more than {DEPTH} deep",
                files=[self.name],
                figures={"depth": depth, "max_depth": DEPTH},
            )
        bound = self.buffer.size if end is None else end
        while at < bound:
            start = at
            try:
                group, element, length = self.unpack_implicit(self.data, at)
            except struct.error:
                raise self._short(at + 8) from None
            at += 8
            if (group, element) == (0xFFFE, 0xE0DD) and (end is None or at == end):
                return at
            if (group, element) != (0xFFFE, 0xE000):
                raise self._wrong(start, "no item where an item of a sequence belongs")
            self._counted(_ITEM_COST)
            first = self.data[at + 4 : at + 6]
            if len(first) < 2 and length:
                raise self._short(at + 6)
            plain = explicit and length and first[0] in LETTERS and first[1] in LETTERS
            if length == _UNDEFINED:
                at = self._level(at, bound, bool(plain), depth, closed=False)
            elif length > bound - at:
                raise self._beyond(group, element, start, length, bound - at)
            else:
                at = self._level(at, at + length, bool(plain), depth)
        if end is None:
            raise self._cut(bound)
        if at > end:
            raise self._wrong(end, "an item reaches beyond the end of its sequence")
        return at

    def _fragments(self, at: int) -> int:
        """The items of encapsulated pixel data, which hold bytes."""
        size, count = self.buffer.size, 0
        while at < size:
            start = at
            try:
                group, element, length = self.unpack_implicit(self.data, at)
            except struct.error:
                raise self._short(at + 8) from None
            at += 8
            if (group, element) == (0xFFFE, 0xE0DD):
                self._counted(count)
                return at
            if (group, element) != (0xFFFE, 0xE000):
                raise self._wrong(start, "no fragment where one of encapsulated data belongs")
            if length > size - at:
                raise self._beyond(group, element, start, length, size - at)
            at += length
            count += 1
        raise self._cut(size)

    def _holds_items(self, tag: int, vr: bytes | None, at: int) -> bool:
        """Whether an element of undefined length is a sequence, not encapsulated pixel data."""
        if vr is None:
            if tag in DicomDictionary:
                return tag in _SEQUENCES
            try:
                return self.unpack_implicit(self.data, at)[:2] == (0xFFFE, 0xE000)
            except struct.error:
                raise self._short(at + 8) from None
        return vr in (b"SQ", b"UN")

    def _pixels(self, start: int, at: int, length: int) -> None:
        self.pixels_at, self.left = start, max(self.buffer.size - at, 0)
        self.encapsulated = length == _UNDEFINED
        self.pixel_length = None if self.encapsulated else length

    def _counted(self, elements: int) -> None:
        self.count += elements
        if self.count > ELEMENTS:
            raise TooLarge(
                f"{self.name}: more than {ELEMENTS} elements before the pixel data's end",
                files=[self.name],
                figures={"elements": self.count, "max_elements": ELEMENTS},
            )

    def _short(self, needed: int) -> Exception:
        if len(self.data) < self.buffer.size:
            return More(needed)
        return self._cut(len(self.data))

    def _cut(self, at: int) -> Damaged:
        return Damaged(
            f"{self.name}: ends after {at} bytes within an element or sequence; it was cut off: "
            "copy it again",
            files=[self.name],
            figures={"bytes": at},
        )

    def _wrong(self, at: int, what: str) -> Damaged:
        return Damaged(
            f"{self.name}: {what}, at byte {at}; copy it again",
            files=[self.name],
            figures={"offset": at},
        )

    def _beyond(self, group: int, element: int, at: int, length: int, left: int) -> Damaged:
        return Damaged(
            f"{self.name}: element ({group:04X},{element:04X}) at byte {at} declares {length} "
            f"bytes where {max(left, 0)} are left; it is cut off or damaged: copy it again",
            files=[self.name],
            figures={"offset": at, "declared": length, "left": max(left, 0)},
        )
