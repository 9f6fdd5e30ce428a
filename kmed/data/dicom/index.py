"""An archive's headers in a file: scanned once, then only what has changed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from kmed.data.dicom.files import LeftOut, Source, dicom_files
from kmed.data.dicom.header import Header
from kmed.data.dicom.header_text import Reading, read_rows
from kmed.data.dicom.index_tables import Name, Tables, chosen, headers_of, left_out_of, root_of
from kmed.data.dicom.index_writer import Described, Known, Writer
from kmed.data.dicom.processes import Processes
from kmed.data.dicom.samples import samples_of
from kmed.data.dicom.volumes import archive_of
from kmed.data.sample import DataError, Sample

_COMMITTED = 2_048  # files of one transaction
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
        with self._tables.writing(root) as db:
            writer = Writer(db, root)
            known, to_read = writer.known(), []
            added = changed = unchanged = 0
            for source in found.files:
                now = _known(source)
                if now is None or source.path == self._tables.path:
                    continue  # gone since it was listed, or the index itself
                name = _name(source, root)
                before = known.pop(name, None)
                if before is not None and before[:2] == now[:2]:
                    unchanged += 1
                    continue
                added += before is None
                changed += before is not None
                to_read.append((source, name, now._replace(series=before and before.series)))
            # A folder that can't be listed for the moment keeps its files.
            kept = tuple(f"{one.name}{os.sep}" for one in found.left_out if _is_folder(one.name))
            gone = [name for name in known if not str(root / name[0]).startswith(kept)]
            writer.remove(gone)
            self._read(writer, to_read, workers, progress)
            for some in _batched(writer.stale(), _AT_ONCE):
                writer.describe({number: _described(writer.headers(number)) for number in some})
            left_out = writer.finish({one.name: one.reason for one in found.left_out})
        return Counts(added, changed, len(gone), unchanged, left_out)

    def _read(
        self,
        writer: Writer,
        to_read: list[tuple[Source, Name, Known]],
        workers: int | None,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        if workers is None:
            workers = (os.cpu_count() or 1) if len(to_read) >= _WORTH_PROCESSES else 1
        done, waiting = 0, []
        batches = list(_batched(to_read, _AT_ONCE))
        tasks = [
            Reading(tuple(source for source, *_ in some), writer.key, self._tables.identifiers)
            for some in batches
        ]
        with ExitStack() as stack:
            run = map if workers < 2 else stack.enter_context(Processes(workers)).map
            for some, rows in zip(batches, run(read_rows, tasks), strict=True):
                waiting += [(*one[1:], row) for one, row in zip(some, rows, strict=True)]
                done += len(some)
                if len(waiting) >= _COMMITTED or done == len(to_read):
                    writer.add(waiting)
                    waiting = []
                if progress is not None:
                    progress(done, len(to_read))

    def series(self, *, modality: str | None = None, min_slices: int = 1) -> list[IndexedSeries]:
        """Lists series.

        Args:
            modality: only those of this Modality, for instance "CT".
            min_slices: only those whose largest volume has as many slices.

        Returns:
            The series, by patient, study and series UID.

        Raises:
            DataError: the index is not built.
        """
        with self._tables.reading() as db:
            root = root_of(db)
            return [
                IndexedSeries(
                    patient=row.patient,
                    study_uid=row.study_uid,
                    series_uid=row.series_uid,
                    modality=row.modality,
                    volumes=tuple(_volume(one) for one in json.loads(row.volumes)),
                    files=tuple(one.source.name for one in headers_of(db, root, row.number)),
                )
                for row in chosen(db, modality, min_slices)
            ]

    def samples(
        self,
        *,
        modality: str | None = None,
        min_slices: int = 1,
        left_out: list[tuple[str, str]] | None = None,
        **options,
    ) -> list[Sample]:
        """Lists series as samples; no file is opened before a sample is read.

        Args:
            modality: as of `series`.
            min_slices: as of `series`.
            left_out: gets pairs of what is not taken and the reason; None: a series that can't be
                read raises.
            **options: as of `dicom_series`.

        Returns:
            As `dicom_series`, with the index's patients.

        Raises:
            DataError: as `dicom_series`; the index is not built.
        """
        with self._tables.reading() as db:
            root = root_of(db)
            rows = chosen(db, modality, min_slices)
            headers = [one for row in rows for one in headers_of(db, root, row.number)]
        archive = archive_of(headers, () if left_out is None else self.left_out())
        return samples_of(archive, root, left_out=left_out, **options)

    def left_out(self) -> list[LeftOut]:
        """Lists the files that are no image or can't be read, and why."""
        with self._tables.reading() as db:
            return left_out_of(db, root_of(db))


def _name(source: Source, root: Path) -> Name:
    return (os.path.relpath(source.path, root), source.member or "")


def _known(source: Source) -> Known | None:
    try:
        status = os.stat(source.path)
    except OSError:
        return None
    return Known(status.st_size, status.st_mtime_ns, None)


def _is_folder(name: str) -> bool:
    return os.path.isdir(name) and not os.path.islink(name)


def _described(headers: list[Header]) -> Described:
    (series,) = archive_of(headers).series
    volumes = sorted(series.volumes, key=lambda one: -one.shape[0])
    content = [
        IndexedVolume(
            one.shape, one.spacing_mm, one.split_by, one.problem and type(one.problem).__name__
        )
        for one in volumes
    ]
    slices = volumes[0].shape[0] if volumes else 0
    return Described(series.patient, series.modality, slices, json.dumps(content))


def _volume(content: list) -> IndexedVolume:
    shape, spacing_mm, split_by, problem = content
    return IndexedVolume(tuple(shape), spacing_mm and tuple(spacing_mm), split_by, problem)


def _batched(items: Iterable, count: int) -> Iterator[list]:
    """Gives items in lists of `count`, the last perhaps of fewer."""
    items = iter(items)
    while some := list(islice(items, count)):
        yield some
