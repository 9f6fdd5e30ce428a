"""The structure of compressed pixels, checked before a decoder in C sees them."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from pydicom.uid import JPEGTransferSyntaxes, RLELossless

from kmed.data.dicom.errors import Damaged, TooLarge
from kmed.data.dicom.pixel_layout import PixelLayout

_ITEM, _DELIMITER = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_START_OF_FRAME = (0xC0, 0xC1, 0xC2, 0xC3, 0xF7)
_ALONE = (0x00, 0x01, *range(0xD0, 0xDA))  # markers without a segment
_SOI, _SOC = b"\xff\xd8", b"\xff\x4f\xff\x51"

# Decoded bytes a compressed byte can give. A byte of RLE repeats at most 128 times in two; an 8 x 8
# block of JPEG takes two bits at least, and chroma may be shared by four; a lossless JPEG value one
# bit. JPEG 2000 and JPEG-LS have no such limit: empty images get room by the constant.
_MOST_FOLD = {"rle": 64, "jpeg": 4096, "other": 2000}
_ROOM = 16 * 2**20


@dataclass(frozen=True, kw_only=True)
class Codestream:
    """What the header of one compressed frame says.

    Attributes:
        rows: of the frame.
        columns: of the frame.
        samples: components.
        precision: bits a value.
        colour: "RGB" or "YBR" where the stream itself says which, else "".
    """

    rows: int
    columns: int
    samples: int
    precision: int
    colour: str = ""


def fragments(data: bytes, name: str) -> tuple[list[int], list[tuple[int, memoryview]]]:
    """Takes encapsulated pixel data apart.

    Reference: DICOM PS3.5, A.4.

    Args:
        data: value of Pixel Data.
        name: of the file, for messages.

    Returns:
        The Basic Offset Table, and of each fragment its offset after that table and its bytes.

    Raises:
        Damaged: items that are no items, or longer than the data.
    """
    view, at, items = memoryview(data), 0, []
    while at + 8 <= len(view):
        tag, length = bytes(view[at : at + 4]), struct.unpack_from("<L", view, at + 4)[0]
        if tag == _DELIMITER:
            break
        if tag != _ITEM or at + 8 + length > len(view):
            raise Damaged(
                f"{name}: encapsulated pixel data is broken at byte {at:,} of {len(view):,} "
                f"(tag {tag.hex()}, length {length:,}); copy the file again",
                files=[name],
            )
        items.append((at, view[at + 8 : at + 8 + length]))
        at += 8 + length
    if not items or len(items[0][1]) % 4:
        raise Damaged(f"{name}: encapsulated pixel data has no Basic Offset Table", files=[name])
    table = list(struct.unpack(f"<{len(items[0][1]) // 4}L", items[0][1]))
    start = 8 + len(items[0][1])
    return table, [(offset - start, value) for offset, value in items[1:]]


def frames_in(
    data: bytes, layout: PixelLayout, extended: tuple[bytes, bytes] | None = None
) -> list[list[memoryview]]:
    """Groups the fragments of encapsulated pixel data by frame.

    Args:
        data: value of Pixel Data.
        layout: of the file.
        extended: values of Extended Offset Table and its lengths, where the file has them.

    Returns:
        The fragments of each of the declared frames.

    Raises:
        Damaged: fragments that do not form the declared frames.
    """
    table, parts = fragments(data, layout.name)
    if extended is not None:
        offsets = extended[0]
        table = list(struct.unpack(f"<{len(offsets) // 8}Q", offsets[: len(offsets) // 8 * 8]))
    count = layout.frames
    if len(parts) == count:
        return [[value] for _, value in parts]
    if count == 1:
        starts = [0] if parts else []
    elif len(table) == count:
        places = {offset: number for number, (offset, _) in enumerate(parts)}
        starts = [places.get(offset, -1) for offset in table]
    else:
        starts = [n for n, (_, v) in enumerate(parts) if bytes(v[:2]) == _SOI or v[:4] == _SOC]
    if len(starts) != count or starts[:1] != [0] or starts != sorted(set(starts)):
        raise Damaged(
            f"{layout.name}: {len(parts)} fragments of pixel data do not form the {count} frames "
            "that Number of Frames declares; copy the file again",
            files=[layout.name],
            figures={"fragments": len(parts), "frames": count},
        )
    ends = [*starts[1:], len(parts)]
    return [[value for _, value in parts[a:b]] for a, b in zip(starts, ends, strict=True)]


def checked(frame: bytes, syntax: str, layout: PixelLayout) -> Codestream | None:
    """Compares a compressed frame's own header with the file's.

    Args:
        frame: its bytes.
        syntax: Transfer Syntax UID.
        layout: of the file.

    Returns:
        What the frame's header says; None of RLE, which has none but offsets.

    Raises:
        Damaged: a frame that is no such codestream, is cut off, or has another size than the
            file declares.
        TooLarge: more pixels than a frame of that length can hold.
    """
    kind = "jpeg" if syntax in JPEGTransferSyntaxes else "other"
    if syntax == RLELossless:
        kind, found = "rle", None
        _check_rle(frame, layout)
    else:
        try:
            found = _jpeg(frame) if frame[:2] == _SOI else _jpeg2000(frame)
        except (struct.error, IndexError, ValueError) as error:
            raise Damaged(
                f"{layout.name}: a compressed frame is broken ({error}); copy the file again",
                files=[layout.name],
            ) from error
        wanted = (layout.rows, layout.columns, layout.samples)
        if (found.rows, found.columns, found.samples) != wanted:
            raise Damaged(
                f"{layout.name}: a compressed frame has rows, columns, samples "
                f"{(found.rows, found.columns, found.samples)}, the file declares {wanted}",
                files=[layout.name],
            )
        if found.precision > layout.allocated:
            raise Damaged(
                f"{layout.name}: a compressed frame has {found.precision} bits a value, the file "
                f"allocates {layout.allocated}",
                files=[layout.name],
            )
    size = layout.frame_values * layout.dtype.itemsize
    if size > _ROOM + _MOST_FOLD[kind] * len(frame):
        raise TooLarge(
            f"{layout.name}: a frame of {len(frame):,} compressed bytes declares {size:,} bytes "
            "of pixels, more than it can hold",
            files=[layout.name],
            figures={"bytes": size, "compressed": len(frame)},
        )
    return found


def _check_rle(frame: bytes, layout: PixelLayout) -> None:
    count = layout.samples * max(layout.allocated // 8, 1)
    header = struct.unpack("<16L", frame[:64]) if len(frame) >= 64 else (0,) * 16
    offsets = header[1 : count + 1]
    rising = all(a < b for a, b in zip(offsets, (*offsets[1:], len(frame)), strict=True))
    if header[0] != count or count > 15 or offsets[0] != 64 or not rising:
        raise Damaged(
            f"{layout.name}: a frame of RLE needs {count} segments within its {len(frame):,} "
            f"bytes; its header says {header[0]} at {list(offsets)}; copy the file again",
            files=[layout.name],
        )


def _jpeg(frame: bytes) -> Codestream:
    """Header of JPEG and JPEG-LS: ISO/IEC 10918-1 annex B, ISO/IEC 14495-1 annex C."""
    if b"\xff\xd9" not in frame[-64:]:
        # A decoder would fill the rest with grey.
        raise ValueError("no end-of-image marker")
    at, colour, found = 2, "", None
    # Up to the first scan nothing may be out of order: GDCM aborts the process where libjpeg only
    # warns, of bytes between markers, another JFIF than 1 and unknown Adobe transforms.
    while True:
        marker = frame[at + 1]
        if frame[at] != 0xFF or marker in _ALONE:
            raise ValueError(f"no segment of JPEG at byte {at}")
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker == 0xDA:
            break
        (length,) = struct.unpack_from(">H", frame, at + 2)
        content = frame[at + 4 : at + 2 + length]
        if length < 2 or len(content) != length - 2:
            raise ValueError(f"a segment of {length} bytes at byte {at} of {len(frame)}")
        if marker == 0xE0 and content.startswith(b"JFIF\0"):
            if len(content) < 14 or content[5] != 1:
                raise ValueError("JFIF of an unknown version")
            colour = "YBR"
        elif marker == 0xEE and content.startswith(b"Adobe") and len(content) >= 12:
            if content[11] not in (0, 1):
                raise ValueError(f"Adobe transform {content[11]}")
            colour = colour or ("YBR" if content[11] else "RGB")
        elif marker in _START_OF_FRAME:
            if found is not None:
                raise ValueError("two starts of a frame")
            found = content
        at += 2 + length
    if found is None:
        raise ValueError("no start-of-frame before the first scan")
    precision, rows, columns, samples = struct.unpack_from(">BHHB", found)
    if found[6 : 6 + 3 * samples : 3] in (b"RGB", b"rgb"):
        colour = "RGB"
    return Codestream(
        rows=rows, columns=columns, samples=samples, precision=precision, colour=colour
    )


def _jpeg2000(frame: bytes) -> Codestream:
    """Header of JPEG 2000 and HTJ2K, bare or in a JP2 box: ISO/IEC 15444-1, A.5.1."""
    at = frame.find(_SOC, 0, 4096)
    if at < 0:
        raise ValueError("neither a JPEG nor a JPEG 2000 codestream")
    box = 0
    while box < at:
        length, kind = struct.unpack_from(">L4s", frame, box)
        if kind == b"jp2c":
            break
        if length < 8:  # who skips boxes by their length would not get on
            raise ValueError(f"a JP2 box of {length} bytes")
        box += length
    if b"\xff\xd9" not in frame[-64:]:
        raise ValueError("no end-of-codestream marker")
    (*sizes, samples, depth) = struct.unpack_from(">8LHB", frame, at + 8)
    right, bottom, left, top, tile_width, tile_height = sizes[:6]
    if not (tile_width and tile_height and samples):
        raise ValueError("tiles or components of size 0")
    if -(-right // tile_width) * -(-bottom // tile_height) > 65535:
        raise ValueError("more than 65535 tiles")
    return Codestream(
        rows=bottom - top, columns=right - left, samples=samples, precision=(depth & 0x7F) + 1
    )
