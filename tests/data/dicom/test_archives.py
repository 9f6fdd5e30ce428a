"""Zip archives that lie about themselves."""

import struct
import time
import zipfile

import pytest

from kmed.data.dicom import archives
from kmed.data.dicom.errors import Damaged, DicomError, NotDicom, OutsideFolder, TooLarge
from kmed.data.dicom.files import Source, dicom_files
from kmed.data.dicom.header import read_dataset


def write(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as out:
        for name, content in members:
            out.writestr(name, content)
    return path


def patched(path, old, new):
    raw = path.read_bytes()
    assert old in raw
    path.write_bytes(raw.replace(old, new))


@pytest.mark.parametrize("name", ["../out.dcm", "a/../../out.dcm", "/etc/out.dcm", "C:out.dcm"])
def test_names_that_lead_out_of_the_folder(tmp_path, name):
    path = write(tmp_path / "a.zip", [("good", b"x"), (name, b"x")])
    found = dicom_files(path)
    assert [source.member for source in found.files] == ["good"]
    assert "outside of the archive's folder" in found.left_out[0].reason
    assert found.left_out[0].name == f"{path}!{name}"
    with pytest.raises(OutsideFolder):
        dicom_files(path, strict=True)
    with pytest.raises(OutsideFolder), Source(path, name).open():
        pass


def test_links_encrypted_and_doubled_members(tmp_path):
    path = tmp_path / "a.zip"
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    write(path, [(link, "/etc/passwd"), ("ENCR", b"x"), ("good", b"x")])
    raw = bytearray(path.read_bytes())
    listed = raw.index(b"ENCR", raw.index(b"PK\1\2"))
    raw[listed - 46 + 8] |= 1  # the flag bits in the archive's listing
    path.write_bytes(raw)
    found = dicom_files(path)
    assert [source.member for source in found.files] == ["good"]
    assert sorted(reason.split(";")[0] for _, reason in found.left_out) == [
        "a link, no file",
        "encrypted",
    ]
    with pytest.warns(UserWarning, match="Duplicate name"):
        write(tmp_path / "b.zip", [("one", b"x"), ("two", b"x"), ("one", b"y")])
    found = dicom_files(tmp_path / "b.zip")
    assert [source.member for source in found.files] == ["two"]
    assert "second member" in found.left_out[0].reason


def test_a_bomb_by_its_declared_size(tmp_path, monkeypatch):
    path = write(tmp_path / "a.zip", [("bomb", bytes(2**20)), ("good", b"x")])
    assert path.stat().st_size < 3000
    monkeypatch.setattr(archives, "MEMBER_BYTES", 2**20 - 1)
    found = dicom_files(path)
    assert [source.member for source in found.files] == ["good"]
    assert "1048576 bytes" in found.left_out[0].reason
    with pytest.raises(TooLarge) as error, Source(path, "bomb").open():
        pass
    assert error.value.figures == {"declared": 2**20, "max_bytes": 2**20 - 1}


def test_a_bomb_that_declares_less_than_it_holds(tmp_path):
    path = write(tmp_path / "a.zip", [("bomb", bytes(2**24))])
    patched(path, struct.pack("<L", 2**24), struct.pack("<L", 1000))
    source = Source(path, "bomb")
    assert source.size == 1000
    with pytest.raises(Damaged, match="a.zip!bomb: can't be unpacked"), source.open() as stream:
        assert len(stream.read()) <= 1000
    with pytest.raises(DicomError):
        read_dataset(source, pixels=True)


def test_a_member_that_declares_more_than_it_holds(tmp_path):
    path = write(tmp_path / "a.zip", [("short", b"\0" * 128 + b"DICM" + bytes(868))])
    patched(path, struct.pack("<L", 1000), struct.pack("<L", 10**8))
    started = time.monotonic()
    with pytest.raises(DicomError, match="short"):
        read_dataset(Source(path, "short"), pixels=True)
    assert time.monotonic() - started < 1


def test_damaged_content(tmp_path):
    path = write(tmp_path / "a.zip", [("member", b"0123456789" * 100)], zipfile.ZIP_STORED)
    patched(path, b"0123456789" * 100, b"0123456780" * 100)
    with pytest.raises(Damaged, match=r"a.zip!member: .*\(BadZipFile"):
        with Source(path, "member").open() as stream:
            stream.read()
    with pytest.raises(NotDicom, match="no such member"), Source(path, "other").open():
        pass


@pytest.mark.parametrize("keep", [4, 40, 100, -1, -10, -60])
def test_an_archive_that_is_cut_off(tmp_path, keep):
    path = write(tmp_path / "a.zip", [("one", b"x" * 50), ("two", b"y" * 50)], zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(Damaged, match="a.zip: a zip archive"):
        dicom_files(path)
    assert len(dicom_files([path]).left_out) == 1


def test_a_listing_that_would_fill_the_memory(tmp_path):
    path = write(tmp_path / "a.zip", [("one", b"x")])
    raw = bytearray(path.read_bytes())
    end = raw.rindex(b"PK\5\6")
    raw[end + 12 : end + 16] = struct.pack("<L", 2**31)
    path.write_bytes(raw)
    with pytest.raises(TooLarge, match="2147483648 bytes; unpack it first"):
        dicom_files(path)
    # The same by the records of ZIP64.
    record = struct.pack("<4sQHHLLQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, 10**9, 10**9, 46, 0)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, end, 1)
    tail = struct.pack("<4sHHHHLLH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 46, 0xFFFFFFFF, 0)
    path.write_bytes(bytes(raw[:end]) + record + locator + tail)
    with pytest.raises(TooLarge, match="1000000000 members"):
        dicom_files(path)


def test_an_archive_that_was_written_anew_is_read_anew(tmp_path):
    path = write(tmp_path / "a.zip", [("one", b"x")])
    assert [source.member for source in dicom_files(path).files] == ["one"]
    write(path, [("two", b"xy")])
    assert [source.member for source in dicom_files(path).files] == ["two"]
