"""Comments and camera data that encoders put into compressed pixels: blanked."""

from __future__ import annotations

import struct

_ITEM = b"\xfe\xff\x00\xe0"
_SOI, _SOC = b"\xff\xd8", b"\xff\x4f\xff\x51"
# Comment, Exif and XMP, Photoshop: no decoder needs them. Others tell colours and dimensions.
_JPEG = frozenset((0xFE, 0xE1, 0xED))
_JPEG_DATA = frozenset((0xDA, 0xD9))
_JPEG_2000, _JPEG_2000_DATA = frozenset((0x64,)), frozenset((0x90, 0x93, 0xD9))


def without_comments(value: bytes) -> bytes:
    """Blanks the comments of JPEG, JPEG-LS and JPEG 2000 frames; no length changes.

    Reference: ITU-T T.81, B.2.4.5 and B.2.4.6; T.800, A.9.2; DICOM PS3.5, A.4.

    Args:
        value: encapsulated Pixel Data, beginning with the item of the offset table.

    Returns:
        The value itself where no frame has a comment.

    Example:
        >>> frame = bytes.fromhex("ffd8 fffe 000a") + b"Jane Roe" + bytes.fromhex("ffd9")
        >>> item = bytes.fromhex("feff00e0")
        >>> value = item + bytes(4) + item + bytes.fromhex("10000000") + frame
        >>> b"Jane" in without_comments(value), len(without_comments(value)) == len(value)
        (False, True)
    """
    blanks = []
    at = 0
    while value[at : at + 4] == _ITEM and at + 8 <= len(value):
        (length,) = struct.unpack_from("<I", value, at + 4)
        start, end = at + 8, min(at + 8 + length, len(value))
        if value[start : start + 2] == _SOI:
            blanks += _segments(value, start + 2, end, _JPEG, _JPEG_DATA, 0)
        elif value[start : start + 4] == _SOC:
            blanks += _segments(value, start + 2, end, _JPEG_2000, _JPEG_2000_DATA, 2)
        at += 8 + length
    if not blanks:
        return value
    new = bytearray(value)
    for start, end in blanks:
        new[start:end] = b" " * (end - start)
    return bytes(new)


def _segments(value, at, end, wanted, last, keep) -> list[tuple[int, int]]:
    """Gives begin and end of the wanted segments' contents, up to the first of the data."""
    found = []
    while at + 4 <= end and value[at] == 0xFF and value[at + 1] not in last:
        if value[at + 1] == 0xFF:  # a fill byte
            at += 1
            continue
        length = int.from_bytes(value[at + 2 : at + 4], "big")
        if length < 2:
            break
        if value[at + 1] in wanted:
            found.append((at + 4 + keep, min(at + 2 + length, end)))
        at += 2 + length
    return [(start, stop) for start, stop in found if start < stop]
