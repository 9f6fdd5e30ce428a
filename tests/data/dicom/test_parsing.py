"""Hand-made bytes: what the structure of a DICOM file may be, and what is refused."""

import io
import struct
import tracemalloc
import zlib

import pytest

from kmed.data.dicom import structure
from kmed.data.dicom.errors import Damaged, DicomError, NotDicom, TooLarge
from kmed.data.dicom.parsing import parsed

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
BIG, DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
LONG = (b"OB", b"OW", b"SQ", b"UN", b"UT")
UNDEFINED = 0xFFFFFFFF
SQ, CLASS, ROWS, PIXELS = 0x00081140, 0x00080016, 0x00280010, 0x7FE00010
ITEM, ITEM_END, END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD


def element(tag, vr, value=b"", length=None, order="<"):
    length = len(value) if length is None else length
    head = struct.pack(f"{order}HH", tag >> 16, tag & 0xFFFF)
    if vr is None:
        return head + struct.pack(f"{order}L", length) + value
    if vr in LONG:
        return head + vr + struct.pack(f"{order}HL", 0, length) + value
    return head + vr + struct.pack(f"{order}H", length) + value


def item(value=b"", length=None):
    return element(ITEM, None, value, length)


def file(body, syntax=EXPLICIT):
    meta = b""
    if syntax:
        meta = element(0x00020010, b"UI", syntax.encode() + b"\0" * (len(syntax) % 2))
    return bytes(128) + b"DICM" + meta + body


def read(raw, pixels=False, max_bytes=None):
    return parsed(io.BytesIO(raw), len(raw), "x.dcm", pixels=pixels, max_bytes=max_bytes)


UID = element(CLASS, b"UI", b"1.2.840.10008.5.1.4.1.1.2\0")
BASE = UID + element(ROWS, b"US", b"\2\0")
DATA = element(PIXELS, b"OW", bytes(8))


@pytest.mark.parametrize("pixels", [False, True])
def test_plain_transfer_syntaxes(pixels):
    big = element(ROWS, b"US", b"\0\2", order=">") + element(PIXELS, b"OW", bytes(8), order=">")
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = deflater.compress(BASE + DATA) + deflater.flush()
    implicit = element(ROWS, None, b"\2\0") + element(PIXELS, None, bytes(8))
    for body, syntax in (
        (BASE + DATA, EXPLICIT),
        (implicit, IMPLICIT),
        (big, BIG),
        (deflated, DEFLATED),
        # The syntax stated is wrong, which the first element shows.
        (implicit, EXPLICIT),
        (BASE + DATA, IMPLICIT),
    ):
        found = read(file(body, syntax), pixels)
        assert found.dataset.Rows == 2
        assert found.dataset.file_meta.TransferSyntaxUID == syntax
        assert (found.pixels, found.pixel_length) == (True, 8)
        assert ("PixelData" in found.dataset) == pixels


def test_a_syntax_that_nothing_states():
    found = read(file(BASE + DATA, None))
    assert found.dataset.file_meta.TransferSyntaxUID == EXPLICIT
    big = element(ROWS, b"US", b"\0\2", order=">") + element(PIXELS, b"OW", bytes(8), order=">")
    found = read(file(big, None))
    assert (found.dataset.file_meta.TransferSyntaxUID, found.dataset.Rows) == (BIG, 2)
    packed = element(PIXELS, b"OB", length=UNDEFINED) + item() + item(b"ab") + element(END, None)
    found = read(file(BASE + packed, None))
    assert "TransferSyntaxUID" not in found.dataset.file_meta
    assert (found.pixels, found.pixel_length) == (True, None)


def test_a_data_set_without_prefix():
    assert read(BASE + DATA).dataset.Rows == 2
    assert read(file(BASE + DATA)[132:]).dataset.file_meta.TransferSyntaxUID == EXPLICIT
    implicit = element(CLASS, None, b"1.2\0") + element(ROWS, None, b"\2\0")
    assert read(implicit).dataset.file_meta.TransferSyntaxUID == IMPLICIT
    for raw in (BASE[:-1], BASE + b"tail", element(ROWS, b"US", b"\2\0"), b"\x08\0" * 100):
        with pytest.raises(NotDicom, match="x.dcm: not a DICOM file"):
            read(raw)


@pytest.mark.parametrize(
    "raw", [b"", b"no image", bytes(1000), b"DICM" + BASE, bytes(127) + b"DICM" + BASE]
)
def test_no_dicom(raw):
    with pytest.raises(NotDicom, match=r"x\.dcm: "):
        read(raw)


def sequence(*parts, length=None):
    return element(SQ, b"SQ", b"".join(parts), length)


def test_sequences_of_every_form():
    inner = element(0x00080100, b"SH", b"AB")
    implicit = element(0x00080100, None, b"AB")
    open_item = item(inner + element(ITEM_END, None), UNDEFINED)
    for body, count in (
        (sequence(), 0),
        (sequence(item()), 1),
        (sequence(item(inner), item(inner)), 2),
        (sequence(open_item), 1),
        (sequence(item(inner), open_item, element(END, None), length=UNDEFINED), 2),
        (sequence(item(implicit)), 1),
        (element(SQ, b"UN", item(implicit)), 1),
        (element(SQ, b"UN", item(implicit) + element(END, None), UNDEFINED), 1),
    ):
        ds = read(file(UID + body + BASE[len(UID) :] + DATA)).dataset
        assert len(ds[SQ].value) == count
        assert all(each.CodeValue == "AB" for each in ds[SQ].value if len(each))
        assert ds.Rows == 2


@pytest.mark.parametrize(
    "body",
    [
        element(ROWS, b"US", b"\2", 2),
        element(0x00091001, b"OB", b"ab", 0xFFFFFFF0),
        element(0x00091001, b"UN", b"ab", 2**31),
        sequence(item(b"ab", 2**31)),
        sequence(item(element(ROWS, b"US", b"\2\0", 500))) + DATA,
        sequence(item(length=UNDEFINED), length=UNDEFINED),
        sequence(item(BASE), length=UNDEFINED),
        sequence(b"garbage "),
        sequence(element(ROWS, b"US", b"\2\0")),
        sequence(item(b"abc")) + DATA,
        sequence(item(sequence(item(BASE), length=UNDEFINED))) + element(END, None) + DATA,
        element(END, None) + DATA,
        element(ITEM_END, None) + DATA,
        item(BASE) + DATA,
        element(0x00091001, None, b"ab", UNDEFINED),
        b"\x28\0\x10",
        b"\x28\0\x10\0OB\0\0",
        element(PIXELS, b"OW", bytes(8), 9),
        element(PIXELS, b"OW", bytes(8), 2**32 - 2),
        element(ROWS, b"US", b"\3\0"),
    ],
)
def test_lengths_that_contradict_the_file(body):
    tracemalloc.start()
    try:
        with pytest.raises(Damaged, match=r"^x\.dcm: "):
            read(file(BASE + body))
        with pytest.raises(Damaged, match=r"^x\.dcm: "):
            read(file(BASE + body), pixels=True)
        assert tracemalloc.get_traced_memory()[1] < 10e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        item(),
        item(b"ab", 2**31),
        item(b"ab", UNDEFINED) + element(END, None),
        item(b"ab") + b"garbage!" + element(END, None),
    ],
)
def test_fragments_that_contradict_the_file(packed):
    raw = file(BASE + element(PIXELS, b"OB", packed, UNDEFINED), "1.2.840.10008.1.2.4.50")
    with pytest.raises(Damaged):
        read(raw, pixels=True)
    assert read(raw).left == len(packed)  # known without reading them


def test_every_cut_of_a_file_is_refused():
    whole = file(UID + sequence(item(BASE), length=None) + BASE[len(UID) :] + DATA)
    for keep in range(len(whole)):
        try:
            assert not read(whole[:keep]).pixels  # cut between two elements
        except DicomError as error:
            assert str(error).startswith("x.dcm: ")
    with pytest.raises(Damaged, match="ends after 300 of 400 bytes"):
        parsed(io.BytesIO(whole[:300].ljust(300, b"\0")), 400, "x.dcm", pixels=True)


def nested(depth, form):
    body = element(0x00080100, b"SH", b"AB")
    for _ in range(depth):
        if form == "defined":
            body = sequence(item(body))
        else:
            closed = item(body + element(ITEM_END, None), UNDEFINED) + element(END, None)
            body = sequence(closed, length=UNDEFINED)
    return body


@pytest.mark.parametrize("form", ["defined", "undefined"])
def test_depth(form):
    assert read(file(UID + nested(32, form))).dataset[SQ].value[0]
    for depth in (33, 2000):
        with pytest.raises(TooLarge, match="nested more than 32 deep"):
            read(file(UID + nested(depth, form)))
    # Without any end, as deep as the file is long.
    endless = (element(SQ, b"SQ", length=UNDEFINED) + item(length=UNDEFINED)) * 20_000
    with pytest.raises(TooLarge):
        read(file(UID + endless))


def test_number_of_elements(monkeypatch):
    monkeypatch.setattr(structure, "ELEMENTS", 1000)
    many = b"".join(element(0x00110000 + i, b"LO") for i in range(1001))
    assert read(file(UID + many[: 8 * 900])).dataset
    with pytest.raises(TooLarge, match="more than 1000 elements"):
        read(file(UID + many))
    with pytest.raises(TooLarge, match="more than 1000 elements"):
        read(file(UID + sequence(item() * 300)))
    with pytest.raises(TooLarge, match="more than 1000 elements"):
        read(file(UID + sequence(item(many[: 8 * 600]), item(many[: 8 * 600]))))


def test_a_large_header_is_read_as_far_as_needed():
    large = element(0x00091001, b"UN", bytes(300_000)) + sequence(
        item(element(0x00091001, b"UN", bytes(300_000)) + element(ITEM_END, None), UNDEFINED),
        element(END, None),
        length=UNDEFINED,
    )
    raw = file(UID + element(0x00090010, b"UN", bytes(200_000)) + large + BASE[len(UID) :] + DATA)
    stream = io.BytesIO(raw + bytes(10**6))
    found = parsed(stream, len(raw) + 10**6, "x.dcm", pixels=False)
    assert found.dataset.Rows == 2
    assert found.left == 8 + 10**6
    assert stream.tell() < len(raw) + 10**6
    with pytest.raises(TooLarge, match="max_bytes="):
        read(raw, max_bytes=500_000)
    with pytest.raises(TooLarge, match="max_bytes="):
        read(raw, pixels=True, max_bytes=500_000)


def test_a_file_of_terabytes_is_read_no_further_than_its_header():
    class Endless(io.BytesIO):
        asked = 0

        def read(self, size=-1):
            self.asked += size
            assert 0 <= self.asked < 10**6
            return super().read(size)

    raw = file(BASE + element(PIXELS, b"OB", bytes(100), UNDEFINED))
    stream = Endless(raw.ljust(2**17, b"\0"))
    assert parsed(stream, 10**13, "x.dcm", pixels=False).dataset.Rows == 2
    with pytest.raises(TooLarge, match="max_bytes="):
        parsed(Endless(raw), 10**13, "x.dcm", pixels=True)


def test_padding_after_the_data_set():
    for padding in (b"\0", bytes(7), bytes(512)):
        assert read(file(BASE + DATA + padding), pixels=True).dataset.Rows == 2
    for rest in (b"abc", bytes(100) + b"a"):
        with pytest.raises(Damaged):
            read(file(BASE + DATA + rest), pixels=True)


def test_messages_never_repeat_a_value():
    named = element(0x00100010, b"PN", b"Doe^Jane") + sequence(item(b"Doe^Jane"))
    with pytest.raises(Damaged) as error:
        read(file(UID + named))
    assert "Doe" not in str(error.value)
    assert error.value.files == ("x.dcm",)
    assert error.value.figures["left"] == 0
