"""An archive's headers in a file: scanned once, then only what has changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from kmed.data.dicom.files import Source, dicom_files
from kmed.data.dicom.index_tables import FileRow, Tables
from kmed.data.sample import DataError

_AT_ONCE = 64  # files of one task
_WORTH_PROCESSES = 4_000  # files that take longer than processes take to start


class Counts(NamedTuple):
    """What a build found.

    Attributes:
        added: files that are new.
        changed: files whose size or time has changed.
        removed: files that are no more.
        unchanged: files that were not read again.
        left_out: of all these files those that are no image or can't be read.
    """

    added: int
    changed: int
    removed: int
    unchanged: int
    left_out: int


class IndexedVolume(NamedTuple):
    """A volume of a series.

    Attributes:
        shape: (slices, rows, columns).
        spacing_mm: of the same axes; None where there is no grid.
        split_by: what tells it from the others of its series.
        problem: name of the error that reading it as it is would raise; None if it can be read.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float] | None
    split_by: dict[str, Any]
    problem: str | None


@dataclass(frozen=True, kw_only=True)
class IndexedSeries:
    """What the index knows of a series.

    Attributes:
        patient: pseudonym of the Patient ID, or itself in an index with identifiers; "" where
            absent.
        study_uid: Study Instance UID.
        series_uid: Series Instance UID.
        modality: "CT", "MR" ...
        volumes: the one with most slices first.
        files: with localizers and others that are no part of a volume.
    """

    patient: str
    study_uid: str
    series_uid: str
    modality: str
    volumes: tuple[IndexedVolume, ...]
    files: tuple[str, ...]


class ArchiveIndex:
    """The headers of an archive in an SQLite file, from which its volumes are found at once.

    Names, dates and descriptions are not stored, and of each Patient ID only a pseudonym, from a
    key of the index's own: splits by patient work, and equal patients of two indices differ. Who
    has the file can test a guessed Patient ID, and it holds paths: it belongs with the archive.

    Args:
        path: of the index; made by the first `build`.
        identifiers: store Patient IDs as they are.

    Raises:
        DataError: `path` is no index, or one of another kind.

    Example:
        >>> import tempfile
        >>> from kmed.data.phantoms import phantoms
        >>> folder = Path(tempfile.mkdtemp())
        >>> root = phantoms(folder / "archive", patients=1, shape=(8, 16, 16))
        >>> index = ArchiveIndex(folder / "archive.index")
        >>> index.build(root).added, index.build(root).unchanged
        (24, 24)
        >>> [row.volumes[0].shape for row in index.series(modality="CT")]
        [(8, 16, 16)]
    """

    def __init__(self, path: str | os.PathLike, *, identifiers: bool = False):
        self._tables = Tables(Path(path), identifiers)

    def build(
        self,
        root: str | os.PathLike,
        *,
        workers: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Counts:
        """Reads the headers of new and changed files, and forgets those that are no more.

        A file whose size and time of change are the same is not opened, also if it could not be
        read. What has been read is kept if the build is interrupted, and the next one goes on.

        Args:
            root: folder, file or zip archive; the same at every build, unless it was moved.
            workers: number of processes that read; None: as many as there are processors, for many
                files, else this one alone.
            progress: called with the numbers of files read and to read.

        Returns:
            What was found.

        Raises:
            DataError: `root` does not exist, or the index is of another one.
        """
        root = Path(os.path.abspath(root))
        if root.name.upper() == "DICOMDIR":
            raise DataError(f"{root}: an index is of a folder; give {root.parent}")
        found = dicom_files(root)
        with self._tables.writing(root) as tables:
            known = tables.known()
            added = changed = 0
            to_read: list[tuple[Source, FileRow]] = []
            for source in found.files:
                row = _row(source, root)
                if row is None or source.path == self._tables.path:
                    continue
                before = known.pop(row.name, None)
                if before is None:
                    added += 1
                elif (before.size, before.mtime_ns) != (row.size, row.mtime_ns):
                    changed += 1
                    row = row._replace(series=before.series)
                else:
                    continue
                to_read.append((source, row))
            unlisted = [one for one in found.left_out if _is_folder(one.name)]
            gone = [name for name in known if not _below(root, name, unlisted)]
            tables.remove(gone)
            self._read(tables, to_read, workers, progress)
            for number, headers in tables.stale(root):
                tables.describe(number, *_described(headers))
            left_out = tables.left_out(
                {_relative(one.name, root): one.reason for one in found.left_out}
            )
        unchanged = len(found.files) - len(to_read)
        return Counts(added, changed, len(gone), unchanged, left_out)
