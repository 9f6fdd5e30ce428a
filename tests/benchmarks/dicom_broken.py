"""Breaks DICOM files at random, with an eye on their structure, and reads what is left.

What is changed is mostly an element that was found by walking over the file, so that the rest of
it still makes sense and the mutation reaches what lies behind the parser: geometry, decoders,
rescaling, display.
"""

import csv
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np

LARGEST_FILE = 600_000
_UNDEFINED = 0xFFFFFFFF
_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
_VRS = (*_LONG, *b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US ZZ".split())
# Elements that decide how pixels are read, where they lie and what they mean.
_TELLING = {
    2: (0x00, 0x02, 0x10),
    8: (0x05, 0x08, 0x16, 0x18, 0x60),
    0x10: (0x20,),
    0x18: (0x50, 0x81, 0x88, 0x1060, 0x9087),
    0x20: (0x0D, 0x0E, 0x11, 0x12, 0x13, 0x32, 0x37, 0x52, 0x100, 0x9056, 0x9057, 0x9157),
    0x28: (
        *(2, 3, 4, 6, 8, 0x10, 0x11, 0x30, 0x34, 0x100, 0x101, 0x102, 0x103, 0x120, 0x121),
        *(0x1050, 0x1051, 0x1052, 0x1053, 0x1055, 0x1056, 0x1101, 0x1102, 0x1103, 0x1201, 0x1202),
        *(0x1203, 0x1221, 0x3002, 0x3006, 0x3010, 0x9110, 0x9145),
    ),
    0x29: (0x1010, 0x1020),
    0x3004: (0x0C,),
    0x5200: (0x9229, 0x9230),
    0x7FE0: (0x01, 0x02),
}
_SYNTAXES = [f"1.2.840.10008.1.2{end}".encode() for end in ("", ".1", ".2", ".1.99", ".5", ".8.1")]
_JPEGS = (50, 51, 57, 70, 80, 81, 90, 91, 100, 110, 201, 203)
_SYNTAXES += [f"1.2.840.10008.1.2.4.{number}".encode() for number in _JPEGS]
_NUMBERS = (0, 1, 2, 3, 7, 8, 9, 12, 15, 16, 31, 32, 63, 64, 255, 256, 4096, 32768, 65535)
_TEXTS = rb"""nan inf 1e400 1e300 1e-300 -1 0 1 2 3 99999 2147483647 4294967295 9999999999999999 1.5
    \ \\\ 1\nan\0 1e30\1e30\1e30 1\0\0\0\1\0 0\0\0\0\0\0 1e20\1e20 1e-9\1e-9 abc A\MOSAIC CT PT SEG
    MONOCHROME1 RGB YBR_FULL YBR_FULL_422 PALETTE~COLOR ISO_IR~192 \ISO~2022~IR~87 SIGMOID"""
TEXTS = [b"", *(text.replace(b"~", b" ") for text in _TEXTS.split())]


class Element(NamedTuple):
    """Where an element, an item or a fragment lies: its bytes from `start` on, its value."""

    start: int
    value: int
    length: int
    tag: tuple[int, int]
    vr: bytes
    length_at: int
    number: str

    @property
    def end(self) -> int:
        """Where the value ends; of one of undefined length where it begins."""
        return self.value + (0 if self.length == _UNDEFINED else self.length)


def elements_of(data: bytes) -> list[Element]:
    """All elements of a good file, those of sequences after the sequence."""
    found, at = [], 132 if data[128:132] == b"DICM" else 0
    meta, order, explicit, pixels = data[at : at + 2] == b"\2\0", "<", True, False
    while at + 12 <= len(data) and len(found) < 20_000:
        if meta and data[at : at + 2] != b"\2\0":
            meta = False
            stated = [data[one.value : one.end] for one in found if one.tag == (2, 0x10)]
            syntax = stated[-1].strip(b"\0 ") if stated else b""
            if syntax.endswith(b".1.99"):
                break
            order = ">" if syntax.endswith(b".1.2.2") else "<"
            explicit = data[at + 4 : at + 6].isalpha()
        tag = struct.unpack_from(order + "HH", data, at)
        vr = data[at + 4 : at + 6] if explicit and tag[0] != 0xFFFE else b""
        long = not vr or vr in _LONG
        where, number = at + (8 if vr in _LONG else 4 if not vr else 6), order + "HL"[long]
        (length,) = struct.unpack_from(number, data, where)
        value = where + struct.calcsize(number)
        found.append(Element(at, value, length, tag, vr, where, number))
        pixels = pixels or tag == (0x7FE0, 0x10)
        inside = length == _UNDEFINED or vr == b"SQ" or (tag[0] == 0xFFFE and not pixels)
        at = value if inside else value + length
    return found


def _pick(choices, random):
    return choices[int(random.integers(len(choices)))]


def _telling(elements, random) -> Element:
    telling = [one for one in elements if one.tag[1] in _TELLING.get(one.tag[0], ())]
    return _pick(telling if telling and random.random() < 0.85 else elements, random)


def _with_value(data, element, value) -> bytes:
    value += b" " * (len(value) % 2)
    top = 0xFFFF if element.number[1] == "H" else 0xFFFFFFF0
    stated = struct.pack(element.number, min(len(value), top))
    between = data[element.length_at + len(stated) : element.value]
    return data[: element.length_at] + stated + between + value + data[element.end :]


def _value(data, elements, other, random):
    one = _telling(elements, random)
    if one.tag == (2, 0x10):
        return _with_value(data, one, _pick(_SYNTAXES, random))
    if one.vr in (b"US", b"SS") or (not one.vr and one.tag[0] == 0x28 and one.length == 2):
        count = min(one.length // 2 if random.random() < 0.8 else int(random.integers(9)), 64)
        values = [_pick(_NUMBERS, random) for _ in range(count)]
        return _with_value(data, one, struct.pack(f"{one.number[0]}{count}H", *values))
    if one.vr in (b"OB", b"OW", b"OF", b"OD", b"UN", b"FD", b"FL", b"UL", b"SL"):
        size = 8 * int(random.integers(0, 9))
        return _with_value(
            data, one, random.bytes(size) if random.random() < 0.5 else b"\xff" * size
        )
    return _with_value(data, one, _pick(TEXTS, random))


def _huge(data, elements, other, random):
    """Rows, columns, samples and frames that no memory holds."""
    for one in reversed(elements):  # so that the places of those before stay
        if one.tag in ((0x28, 0x10), (0x28, 0x11)):
            data = _with_value(data, one, b"\xff\xff")
        elif one.tag == (0x28, 8):
            data = _with_value(data, one, _pick((b"1", b"99999", b"2147483647"), random))
    return data


def _length(data, elements, other, random):
    one = _pick(elements, random)
    top, left = 0xFFFF if one.number[1] == "H" else _UNDEFINED, len(data) - one.value
    near = [one.length + more for more in (-2, -1, 1, 2)]
    values = (*near, 0, top, top - 1, top // 2, left, left + 1, left - 1, int(random.integers(top)))
    stated = struct.pack(one.number, min(max(_pick(values, random), 0), top))
    return data[: one.length_at] + stated + data[one.length_at + len(stated) :]


def _vr(data, elements, other, random):
    chosen = [one for one in elements if one.vr]
    if not chosen:
        return _flip(data, elements, other, random)
    at = _telling(chosen, random).start + 4
    return data[:at] + _pick(_VRS, random) + data[at + 2 :]


def _tag(data, elements, other, random):
    one, source = _pick(elements, random).start, _pick(elements, random).start
    return data[:one] + data[source : source + 4] + data[one + 4 :]


def _flip(data, elements, other, random):
    changed, end = bytearray(data), len(data) if random.random() < 0.5 else min(len(data), 4000)
    for _ in range(int(random.integers(1, 12))):
        changed[int(random.integers(end))] ^= 1 << int(random.integers(8))
    return bytes(changed)


def _stream(data, elements, other, random):
    """Bytes of a compressed frame, oftener where its header is, or of the pixels."""
    parts = [one for one in elements if one.tag == (0xFFFE, 0xE000) and 8 < one.length < 2**31]
    parts = parts or [one for one in elements if one.tag[0] == 0x7FE0] or elements[-1:]
    one, changed = _pick(parts, random), bytearray(data)
    for _ in range(int(random.integers(1, 6))):
        reach = 160 if random.random() < 0.6 else max(len(data) - one.value, 1)
        at = min(one.value + int(random.integers(reach)), len(data) - 1)
        changed[at] = _pick((0, 1, 127, 128, 254, 255, changed[at] ^ 1, changed[at] ^ 16), random)
    return bytes(changed)


def _cut(data, elements, other, random):
    if random.random() < 0.5:
        return data[: int(random.integers(len(data)))]
    one = _pick(elements, random)
    return data[
        : _pick((0, one.start, one.value, one.value - 2, (one.value + one.end) // 2), random)
    ]


def _drop(data, elements, other, random):
    one = _telling(elements, random)
    return data[: one.start] + data[one.end :]


def _double(data, elements, other, random):
    one = _telling(elements, random)
    times = _pick((2, 3, 1000), random) if one.length < 300 else 2
    return data[: one.start] + data[one.start : one.end] * times + data[one.end :]


def _nest(data, elements, other, random):
    depth, mode = _pick((1, 10, 31, 32, 33, 40, 200, 3000, 30_000), random), random.integers(4)
    tags = (
        b"\x08\0\x15\x11",
        b"\x09\0\x10\x10",
        b"\0\x52\x30\x92",
        b"\x28\0\0\x30",
        b"\x40\0\x96\x90",
    )
    head = _pick(tags, random) + (b"SQ\0\0" if random.random() < 0.7 else b"")
    if mode < 2:
        opened = head + b"\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff"
        closed = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
        nested = opened * depth + closed * (depth if mode else depth // 2)
    elif mode == 2:
        nested = b""
        for _ in range(min(depth, 300)):
            nested = b"\xfe\xff\0\xe0" + struct.pack("<L", len(nested)) + nested
            nested = head + struct.pack("<L", len(nested)) + nested
    else:
        nested = head + struct.pack("<L", 8 * depth) + b"\xfe\xff\0\xe0\0\0\0\0" * depth
    at = _pick([one for one in elements if one.tag[0] not in (2, 0xFFFE)] or elements, random).start
    return data[:at] + nested + data[at:]


def _splice(data, elements, other, random):
    """An element, the pixels or any bytes of another file."""
    kind, at = random.random(), int(random.integers(len(data)))
    theirs = elements_of(other) if kind < 0.7 else []
    if theirs and kind < 0.4:
        one, new = _pick(elements, random), _telling(theirs, random)
        return data[: one.start] + other[new.start : new.end] + data[one.end :]
    ours = [one.start for one in elements if one.tag == (0x7FE0, 0x10)]
    theirs = [one.start for one in theirs if one.tag == (0x7FE0, 0x10)]
    if ours and theirs:
        return data[: ours[0]] + other[theirs[0] :]
    start, size = int(random.integers(len(other))), int(random.integers(1, 8000))
    kept = at + (size if random.random() < 0.5 else 0)
    return data[:at] + other[start : start + size] + data[kept:]


MUTATIONS = {
    "value": (_value, 6), "huge": (_huge, 1), "length": (_length, 2), "vr": (_vr, 2),
    "tag": (_tag, 1), "flip": (_flip, 1.5), "stream": (_stream, 4), "cut": (_cut, 1),
    "drop": (_drop, 1), "double": (_double, 0.5), "nest": (_nest, 1.5), "splice": (_splice, 2),
}  # fmt: skip
_SHARES = np.array([share for _, share in MUTATIONS.values()])


def good_files(root: Path) -> list[list[Path]]:
    """The files that the manifest calls decodable, without the large ones, by transfer syntax."""
    with open(root / "MANIFEST.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["decode"].startswith("ok")]
    groups: dict[str, list[Path]] = {}
    for row in rows:
        path = root / row["path"]
        if path.is_file() and path.stat().st_size <= LARGEST_FILE:
            groups.setdefault(row["ts_uid"], []).append(path)
    return [groups[syntax] for syntax in sorted(groups)]


def made(groups: list[list[Path]], seed: int, number: int) -> tuple[str, str, bytes]:
    """Mutation `number`: of which file, what was done, and the bytes."""
    random = np.random.default_rng([seed, number])
    # Half of them of any file, and half of any transfer syntax, of which most have few files.
    files = sum(groups, [])
    path = _pick(files if random.random() < 0.5 else _pick(groups, random), random)
    data, done, other = path.read_bytes(), [], _pick(files, random)
    for _ in range(_pick((1, 1, 2, 3), random)):
        elements = elements_of(data) if len(data) > 16 else []
        if not elements:
            break
        done.append(str(random.choice(list(MUTATIONS), p=_SHARES / _SHARES.sum())))
        data = MUTATIONS[done[-1]][0](data, elements, other.read_bytes(), random)
    return path.name, "+".join(done), data
