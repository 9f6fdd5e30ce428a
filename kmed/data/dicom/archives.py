"""Zip archives of DICOM files, read in place with what each member may take bounded."""

from __future__ import annotations

import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from kmed.data.dicom.errors import Damaged, DicomError, NotDicom, OutsideFolder, TooLarge

# Of one member. Python's zipfile never yields more than a member declares.
MEMBER_BYTES = 2**30
# The archive's own listing, which is held in memory: some 300,000 members.
_LISTING_BYTES = 32 * 2**20
_LISTING_ENTRIES = 300_000
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_ENCRYPTED = 0x1
_DRIVE = re.compile(r"[A-Za-z]:")


def archive_members(path: Path) -> tuple[list[str], list[tuple[str, DicomError]]]:
    """Lists the files in a zip archive.

    Reference: PKWARE APPNOTE 6.3.10, 4.3 (General Format of a .ZIP file).

    Args:
        path: of the archive.

    Returns:
        Names of the members that may be read, in order, and those that may not with the reason.

    Raises:
        DicomError: the archive is damaged or its listing too large.
    """
    names: dict[str, None] = {}
    problems = []
    for info in _archive(path).infolist():
        if info.is_dir():
            continue
        try:
            _require_harmless(path, info)
            if info.filename in names:
                raise Damaged(f"{path}!{info.filename}: a second member of this name", files=[path])
            names[info.filename] = None
        except DicomError as error:
            problems.append((info.filename, error))
    doubled = {name for name, _ in problems}
    return sorted(name for name in names if name not in doubled), problems


def member_size(path: Path, member: str) -> int:
    """Gives the bytes that a member declares; it yields no more."""
    return _member(path, member).file_size


@contextmanager
def open_member(path: Path, member: str) -> Iterator[BinaryIO]:
    """Opens a member of a zip archive as a seekable stream.

    Args:
        path: of the archive.
        member: its name in the archive.

    Yields:
        The stream.

    Raises:
        DicomError: the member is absent, encrypted, outside the folder, too large or damaged.
    """
    info = _member(path, member)
    _require_harmless(path, info)
    try:
        with _archive(path).open(info) as stream:
            yield stream
    except DicomError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
        raise Damaged(
            f"{path}!{member}: can't be unpacked ({type(error).__name__}: {error})",
            files=[f"{path}!{member}"],
        ) from error


def _member(path: Path, member: str) -> zipfile.ZipInfo:
    try:
        return _archive(path).getinfo(member)
    except KeyError as error:
        raise NotDicom(f"{path}!{member}: no such member", files=[path]) from error


def _require_harmless(path: Path, info: zipfile.ZipInfo) -> None:
    name = f"{path}!{info.filename}"
    pure = PurePosixPath(info.filename.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or _DRIVE.match(info.filename):
        raise OutsideFolder(f"{name}: a member outside of the archive's folder", files=[name])
    if stat.S_ISLNK(info.external_attr >> 16):
        raise OutsideFolder(f"{name}: a link, no file", files=[name])
    if info.flag_bits & _ENCRYPTED:
        raise NotDicom(f"{name}: encrypted; unpack the archive first", files=[name])
    if info.compress_type not in _METHODS:
        raise NotDicom(
            f"{name}: compressed by method {info.compress_type}; unpack the archive first",
            files=[name],
        )
    if info.file_size > MEMBER_BYTES:
        raise TooLarge(
            f"{name}: declares {info.file_size} bytes, {MEMBER_BYTES} are allowed for a member of "
            "an archive; unpack it first",
            files=[name],
            figures={"declared": info.file_size, "max_bytes": MEMBER_BYTES},
        )


def _archive(path: Path) -> zipfile.ZipFile:
    try:
        status = os.stat(path)
    except OSError as error:
        raise NotDicom(f"{path}: can't be opened ({error.strerror})", files=[path]) from error
    # A process forked from this one must not share the position in the open file.
    return _opened(str(path), status.st_mtime_ns, status.st_size, os.getpid())


@lru_cache(maxsize=4)
def _opened(path: str, mtime_ns: int, size: int, process: int) -> zipfile.ZipFile:
    _require_short_listing(path, size)
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError, struct.error) as error:
        raise Damaged(
            f"{path}: a zip archive whose listing can't be read ({type(error).__name__}: {error})",
            files=[path],
        ) from error


def _require_short_listing(path: str, size: int) -> None:
    with open(path, "rb") as file:
        file.seek(max(0, size - 2**16 - 42))
        tail = file.read()
        at = tail.rfind(b"PK\5\6")
        if at < 0 or len(tail) < at + 22:
            raise Damaged(f"{path}: a zip archive without its end; copy it again", files=[path])
        entries, length = struct.unpack_from("<HL", tail, at + 10)
        if at >= 20 and tail[at - 20 : at - 16] == b"PK\6\7":  # ZIP64
            (offset,) = struct.unpack_from("<Q", tail, at - 12)
            file.seek(min(offset, size))
            record = file.read(56)
            if record[:4] == b"PK\6\6" and len(record) == 56:
                entries, length = struct.unpack_from("<QQ", record, 32)
    if length > _LISTING_BYTES or entries > _LISTING_ENTRIES:
        raise TooLarge(
            f"{path}: an archive of {entries} members, its listing {length} bytes; unpack it first",
            files=[path],
            figures={"members": entries, "listing_bytes": length},
        )
