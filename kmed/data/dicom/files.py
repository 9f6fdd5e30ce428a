"""Where DICOM files lie: folders, lists, zip archives and DICOMDIR, without following them out."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from kmed.data.dicom.archives import archive_members, member_size, open_member
from kmed.data.dicom.errors import Damaged, DicomError, NotDicom, OutsideFolder
from kmed.data.dicom.parsing import parsed
from kmed.data.dicom.raw_values import number, text
from kmed.data.dicom.typed import typed_errors

# Files that lie beside DICOM by custom. DICOM files need no suffix, so there is no list of what
# is one: whatever else is no DICOM file is left out with a reason, for it may be a broken slice.
_BESIDE = (
    *(".nii", ".nii.gz", ".json", ".jsonl", ".txt", ".md", ".csv", ".tsv", ".xml", ".html", ".pdf"),
    *(".png", ".jpg", ".jpeg", ".log", ".ini", ".db"),
)
_REFERENCED_FILE, _IN_USE = BaseTag(0x00041500), BaseTag(0x00041410)
_INACTIVE = 0  # Record In-use Flag, PS3.3 F.3.2.2


@dataclass(frozen=True)
class Source:
    """A file, or a member of a zip archive.

    Args:
        path: the file or the archive.
        member: name within the archive; None: the file itself.

    Example:
        >>> Source(Path("study.zip"), "ct/1.dcm").name
        'study.zip!ct/1.dcm'
    """

    path: Path
    member: str | None = None

    @property
    def name(self) -> str:
        """`PATH` or `PATH!MEMBER`, for messages."""
        return str(self.path) if self.member is None else f"{self.path}!{self.member}"

    @property
    def size(self) -> int:
        """Bytes; of a member those that the archive declares, which are never exceeded."""
        if self.member is None:
            return self.path.stat().st_size
        return member_size(self.path, self.member)

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Opens it for reading.

        Yields:
            A seekable binary stream at its first byte.

        Raises:
            DicomError: no regular file; a member that is absent, encrypted or too large.
        """
        if self.member is not None:
            with open_member(self.path, self.member) as stream:
                yield stream
            return
        with _open(self.path) as stream:
            yield stream


class LeftOut(NamedTuple):
    """A file that was not taken, and why."""

    name: str
    reason: str


class Found(NamedTuple):
    """What was found where DICOM was looked for."""

    files: tuple[Source, ...]
    left_out: tuple[LeftOut, ...]


def dicom_files(
    source: str | os.PathLike | Source | Iterable[str | os.PathLike | Source],
    *,
    strict: bool = False,
) -> Found:
    """Lists the files that may be DICOM; none but a DICOMDIR is read.

    In a folder, hidden files, files with the suffix of another format and DICOMDIR are passed over
    silently; links to folders are followed, each folder once.

    Reference: DICOM PS3.10, 8 (DICOM File Service); PS3.3, F (Basic Directory IOD).

    Args:
        source: a folder (with its subfolders), a file, a zip archive, a DICOMDIR, or several.
        strict: raise at the first problem, instead of leaving the file out.

    Returns:
        The files in the order of their paths (of a DICOMDIR: of its records), and what was left
        out and why.

    Raises:
        DicomError: `source` does not exist; with `strict` whatever else would be left out.
    """
    if isinstance(source, Source):
        return Found((source,), ())
    named = isinstance(source, (str, os.PathLike))
    listing = _Listing(strict)
    if named:
        listing.add(Path(source))
        return Found(tuple(listing.files), tuple(listing.left_out))
    for each in source:
        if isinstance(each, Source):
            listing.files[each] = None
            continue
        try:
            listing.add(Path(each))
        except DicomError as error:
            listing.leave(each, error)
    return Found(tuple(listing.files), tuple(listing.left_out))


class _Listing:
    def __init__(self, strict: bool):
        self.strict = strict
        self.files: dict[Source, None] = {}
        self.left_out: list[LeftOut] = []

    def add(self, path: Path) -> None:
        """Takes what a person named."""
        if path.is_dir():
            self._folder(path)
        elif not path.exists():
            raise NotDicom(f"{path}: no such file or folder", files=[path])
        elif path.name.upper() == "DICOMDIR":
            self._directory(path)
        elif _is_archive(path):
            sources, problems = archive_members(path)
            self.files.update(
                (Source(path, name), None) for name in sources if not _beside(PurePosixPath(name))
            )
            for name, error in problems:
                self.leave(f"{path}!{name}", error)
        else:
            self._file(path)

    def leave(self, name: object, error: DicomError) -> None:
        """Notes why something was not taken."""
        if self.strict:
            raise error
        self.left_out.append(LeftOut(str(name), str(error).removeprefix(f"{name}: ")))

    def _file(self, path: Path) -> None:
        try:
            mode = path.stat().st_mode
        except OSError as error:
            # A link that leads nowhere or to itself.
            reason = f"{path}: can't be opened ({error.strerror or type(error).__name__})"
            self.leave(path, NotDicom(reason, files=[path]))
            return
        if stat.S_ISREG(mode):
            self.files[Source(path)] = None
        else:
            self.leave(path, NotDicom(f"{path}: no regular file", files=[path]))

    def _folder(self, root: Path) -> None:
        seen: set[tuple[int, int]] = set()
        # Real folders first, so that a file has its own path rather than one through a link.
        waiting = [root]
        while waiting:
            start = waiting.pop(0)
            if start != root and _identity(start) in seen:
                self.leave(
                    start,
                    NotDicom(f"{start}: a link to a folder that is read already", files=[start]),
                )
                continue
            for folder, subfolders, names in os.walk(start, onerror=self._unreadable):
                seen.add(_identity(folder))
                visible = sorted(name for name in subfolders if not name.startswith("."))
                links = [name for name in visible if os.path.islink(os.path.join(folder, name))]
                waiting += [Path(folder, name) for name in links]
                subfolders[:] = [
                    name
                    for name in visible
                    if name not in links and _identity(os.path.join(folder, name)) not in seen
                ]
                for name in sorted(names):
                    if not _beside(PurePosixPath(name)):
                        self._file(Path(folder, name))

    def _unreadable(self, error: OSError) -> None:
        name = error.filename
        reason = f"{name}: can't be listed ({error.strerror or type(error).__name__})"
        self.leave(name, Damaged(reason, files=[name]))

    def _directory(self, path: Path) -> None:
        """Follows the records of a DICOMDIR to the files below its folder."""
        with _open(path) as stream:
            ds = parsed(stream, path.stat().st_size, str(path), pixels=False).dataset
        home = Path(os.path.realpath(path.parent))
        folders: dict[Path, dict[str, str]] = {}
        for record in _records(ds, path):
            reference = text(record, _REFERENCED_FILE)
            active = _IN_USE not in record or number(record, _IN_USE, str(path)) != _INACTIVE
            if not (reference and active):
                continue
            parts = [part.strip() for part in reference.split("\\")]
            name = "/".join(parts)
            if any(not p or p in (".", "..") or "/" in p or "\0" in p for p in parts):
                message = f"{path}: refers to {name!r}, which is no name within its folder"
                self.leave(path, OutsideFolder(message, files=[path]))
                continue
            found = _below(path.parent, parts, folders)
            if found is None:
                message = f"{path}: refers to {name!r}, which is not there"
                self.leave(path, NotDicom(message, files=[path]))
            elif not Path(os.path.realpath(found)).is_relative_to(home):
                message = f"{path}: refers to {name!r}, a link out of its folder"
                self.leave(path, OutsideFolder(message, files=[path]))
            else:
                self._file(found)


def _records(ds: Dataset, path: Path) -> list[Dataset]:
    with typed_errors(str(path), "the records of this DICOMDIR can't be read"):
        return list(ds.DirectoryRecordSequence or ())


def _below(folder: Path, parts: list[str], folders: dict[Path, dict[str, str]]) -> Path | None:
    """The file of these names; copies from a disc often change their case."""
    for part in parts:
        if not os.path.lexists(folder / part):
            if folder not in folders:
                listed = os.listdir(folder) if folder.is_dir() else []
                folders[folder] = {name.upper(): name for name in sorted(listed, reverse=True)}
            part = folders[folder].get(part.upper())
            if part is None:
                return None
        folder = folder / part
    return folder


def _beside(path: PurePosixPath) -> bool:
    hidden = any(part.startswith(".") for part in path.parts)
    return hidden or path.name.upper() == "DICOMDIR" or path.name.lower().endswith(_BESIDE)


def _identity(folder: str | os.PathLike) -> tuple[int, int]:
    try:
        status = os.stat(folder)
    except OSError:
        return (-1, -1)
    return status.st_dev, status.st_ino


def _open(path: Path) -> BinaryIO:
    try:
        # Opening a pipe would wait for its writer.
        if not stat.S_ISREG(path.stat().st_mode):
            raise NotDicom(f"{path}: no regular file", files=[path])
        return path.open("rb")
    except OSError as error:
        raise NotDicom(
            f"{path}: can't be opened ({error.strerror or type(error).__name__})", files=[path]
        ) from error


def _is_archive(path: Path) -> bool:
    # By its first bytes: a DICOM file may end with an archive, as an encapsulated document.
    with _open(path) as stream:
        return stream.read(4) in (b"PK\3\4", b"PK\5\6")
