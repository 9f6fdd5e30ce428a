import io
import struct

import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames

from kmed.data.dicom.codestream import checked, fragments, frames_in
from kmed.data.dicom.errors import Damaged, TooLarge
from kmed.data.dicom.pixel_layout import PixelLayout

JPEG, JPEG_2000, RLE = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5"
GREY = np.arange(64 * 48, dtype=np.uint8).reshape(48, 64)


def layout(**changes):
    return PixelLayout(
        **{
            **{"name": "a.dcm", "element": "PixelData", "frames": 1, "rows": 48, "columns": 64},
            **{"samples": 1, "allocated": 8, "stored": 8, "high": 7, "signed": False},
            **{"photometric": "MONOCHROME2", "planar": False},
            **changes,
        }
    )


def compressed(kind, array=GREY, **options):
    out = io.BytesIO()
    Image.fromarray(array).save(out, kind, **options)
    return out.getvalue()


def joined(groups):
    return [b"".join(group) for group in groups]


@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize("fragments_each", [1, 3])
def test_frames_as_pydicom_finds_them(table, fragments_each):
    frames = [compressed("JPEG", GREY // n) for n in (1, 2, 3)]
    data = encapsulate(frames, fragments_per_frame=fragments_each, has_bot=table)
    found = joined(frames_in(data, layout(frames=3)))
    assert found == list(generate_frames(data, number_of_frames=3))
    assert [frame.rstrip(b"\0") for frame in found] == frames


def test_an_extended_offset_table():
    frames = [b"\1\2", b"\3\4\5\6"]
    data, offsets, lengths = encapsulate_extended(frames)
    assert joined(frames_in(data, layout(frames=2), (offsets, lengths))) == frames


def test_a_single_frame_in_many_fragments():
    data = encapsulate([bytes(range(30))], fragments_per_frame=5)
    assert joined(frames_in(data, layout()))[0] == bytes(range(30))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda data: data[:-20], "broken at byte 8 of"),
        (lambda data: b"\xfe\xff\x00\xe1" + data[4:], "broken at byte 0 of"),
        (lambda data: data[:8], "0 fragments of pixel data do not form the 1 frames"),
        (lambda data: b"", "no Basic Offset Table"),
        (lambda data: data[:4] + b"\2\0\0\0ab" + data[8:], "no Basic Offset Table"),
    ],
)
def test_broken_encapsulation(edit, message):
    data = encapsulate([bytes(range(30))], has_bot=False)
    with pytest.raises(Damaged, match=f"a.dcm: .*{message}"):
        frames_in(edit(data), layout())


def test_fragments_that_form_no_frames():
    data = encapsulate([b"\0\1\2\3"], fragments_per_frame=2)
    with pytest.raises(Damaged, match="2 fragments of pixel data do not form the 3 frames"):
        frames_in(data, layout(frames=3))
    table, parts = fragments(data, "a.dcm")
    assert (table, [offset for offset, _ in parts]) == ([0], [0, 10])


def test_what_a_frame_says_of_itself():
    found = checked(compressed("JPEG"), JPEG, layout())
    assert (found.rows, found.columns, found.samples, found.precision) == (48, 64, 1, 8)
    found = checked(compressed("JPEG2000", no_jp2=True), JPEG_2000, layout())
    assert (found.rows, found.columns, found.samples, found.precision) == (48, 64, 1, 8)
    boxed = checked(compressed("JPEG2000", no_jp2=False), JPEG_2000, layout())
    assert boxed == found


def test_the_colour_a_frame_says():
    colour = np.stack([GREY] * 3, axis=-1)
    three = layout(samples=3, photometric="RGB")
    assert checked(compressed("JPEG", colour), JPEG, three).colour == "YBR"  # JFIF
    assert checked(compressed("JPEG", colour, keep_rgb=True), JPEG, three).colour == "RGB"


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (compressed("JPEG")[:-40], "no end-of-image marker"),
        (compressed("JPEG2000", no_jp2=True)[:-40], "no end-of-codestream marker"),
        (b"\xff\xd8\xff\xda\0\2\xff\xd9", "no start-of-frame"),
        (b"\xff\xd8\0\0\0\0\xff\xd9", "no segment of JPEG at byte 2"),
        (b"\xff\xd8\xff\xe0\xff", "no end-of-image"),
        (b"\xff\xd8\xff\xe0\0\xff\xff\xd9", "broken"),
        (b"GIF89a", "neither a JPEG nor"),
        (b"", "neither a JPEG nor"),
        (compressed("JPEG", GREY[:-1]), r"\(47, 64, 1\), the file declares \(48, 64, 1\)"),
    ],
)
def test_broken_frames(frame, message):
    with pytest.raises(Damaged, match=f"a.dcm: .*{message}"):
        checked(frame, JPEG, layout())


def test_more_bits_than_allocated():
    frame = bytearray(compressed("JPEG"))
    frame[frame.index(b"\xff\xc0") + 4] = 12
    with pytest.raises(Damaged, match="12 bits a value, the file allocates 8"):
        checked(bytes(frame), JPEG, layout())


def test_a_small_frame_that_declares_a_huge_image():
    frame = bytearray(compressed("JPEG2000", no_jp2=True))
    size = struct.pack(">LL", 60000, 60000)
    frame[8:16] = size
    frame[24:32] = size  # one tile
    with pytest.raises(TooLarge, match="more than it can hold") as caught:
        checked(bytes(frame), JPEG_2000, layout(rows=60000, columns=60000))
    assert caught.value.figures["bytes"] == 60000**2
    frame[24:32] = struct.pack(">LL", 1, 1)
    with pytest.raises(Damaged, match="more than 65535 tiles"):
        checked(bytes(frame), JPEG_2000, layout(rows=60000, columns=60000))


def test_segments_of_rle():
    header = struct.pack("<16L", 2, 64, 66, *[0] * 13)
    wide = layout(allocated=16, stored=16, high=15)
    assert checked(header + bytes(4), RLE, wide) is None
    for broken in (
        header[:60],
        struct.pack("<16L", 1, 64, *[0] * 14) + bytes(4),
        struct.pack("<16L", 2, 64, 99, *[0] * 13) + bytes(4),
        struct.pack("<16L", 2, 66, 64, *[0] * 13) + bytes(4),
    ):
        with pytest.raises(Damaged, match="a frame of RLE needs 2 segments"):
            checked(broken, RLE, wide)


@pytest.mark.parametrize(
    ("at", "piece", "message"),
    [
        (2, b"\0\0\0", "no segment of JPEG at byte 2"),
        (2, b"\xff\xd0", "no segment of JPEG at byte 2"),
        (2, b"\xff\xe0\x00\x10JFIF\0\x85\1\0\0\1\0\1\0\0", "JFIF of an unknown version"),
        (2, b"\xff\xee\x00\x0eAdobe\0\x64\0\0\0\0\xd6", "Adobe transform 214"),
        (2, b"\xff\xc0\x00\x0b\x08\x00\x30\x00\x40\x01\x01\x11\x00", "two starts of a frame"),
    ],
)
def test_what_gdcm_would_abort_the_process_for(at, piece, message):
    frame = compressed("JPEG")
    with pytest.raises(Damaged, match=f"a.dcm: .*{message}"):
        checked(frame[:at] + piece + frame[at:], JPEG, layout())


def test_fill_bytes_are_no_error():
    frame = compressed("JPEG")
    assert checked(frame[:2] + b"\xff\xff" + frame[2:], JPEG, layout()).rows == 48
