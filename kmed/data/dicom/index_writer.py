"""What a build writes into an archive's index, in transactions that each leave it in order."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import kmed
from kmed.data.dicom.deidentification.pseudonyms import Key
from kmed.data.dicom.header import Header
from kmed.data.dicom.header_text import Row
from kmed.data.dicom.index_tables import Name, headers_of, loaded, stored


class Known(NamedTuple):
    """What tells whether a file has changed.

    Attributes:
        size: in bytes.
        mtime_ns: its time of change.
        series: number of its series; None for what is left out.
    """

    size: int
    mtime_ns: int
    series: int | None


class Described(NamedTuple):
    """A series as it is shown.

    Attributes:
        patient: pseudonym, or Patient ID.
        modality: "CT", "MR" ...
        slices: of its largest volume.
        volumes: as JSON.
    """

    patient: str
    modality: str
    slices: int
    volumes: str


class Writer:
    """Writes what a build finds.

    Args:
        db: from `Tables.writing`.
        root: absolute path of the archive.
    """

    def __init__(self, db: sqlite3.Connection, root: Path):
        self._db, self._root = db, root
        about = dict(db.execute("SELECT name, value FROM about"))
        self.key = Key(about["key"])
        self._outdated = about["version"] != kmed.__version__
        self._series: dict[tuple[str, str], int] = {}
        self._shared: dict[str, int] = {}

    @contextmanager
    def _at_once(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def known(self) -> dict[Name, Known]:
        """The files of the index; those read by another version of kmed count as changed."""
        rows = self._db.execute("SELECT path, member, size, mtime_ns, series FROM files")
        outdated = self._outdated
        return {
            (loaded(path), loaded(member)): Known(-1 if outdated else size, mtime_ns, series)
            for path, member, size, mtime_ns, series in rows
        }

    def remove(self, names: Iterable[Name]) -> None:
        """Forgets files."""
        with self._at_once():
            for path, member in names:
                which = (stored(path), stored(member))
                self._touch("SELECT series FROM files WHERE path = ? AND member = ?", which)
                self._db.execute("DELETE FROM files WHERE path = ? AND member = ?", which)

    def add(self, rows: Sequence[tuple[Name, Known, Row]]) -> None:
        """Stores files in one transaction, new ones and changed ones."""
        with self._at_once():
            for (path, member), known, row in rows:
                if known.series is not None:
                    self._touch("SELECT ?", (known.series,))
                own = series = shared = None
                if row.text is not None:
                    own, shared = row.text.own, self._number_of_text(row.text.shared)
                    series = self._number_of_series(row.study_uid, row.series_uid)
                self._db.execute(
                    "INSERT INTO files (path, member, size, mtime_ns, reason, series, own, shared) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path, member) DO UPDATE SET "
                    "size = excluded.size, mtime_ns = excluded.mtime_ns, reason = excluded.reason, "
                    "series = excluded.series, own = excluded.own, shared = excluded.shared",
                    (
                        *(stored(path), stored(member), known.size, known.mtime_ns, row.reason),
                        *(series, own, shared),
                    ),
                )

    def _touch(self, which: str, values: tuple) -> None:
        self._db.execute(f"UPDATE series SET stale = 1 WHERE id IN ({which})", values)
        self._series.clear()

    def _number_of_text(self, text: str) -> int:
        if text not in self._shared:
            if len(self._shared) > 10_000:
                self._shared.clear()
            self._db.execute("INSERT OR IGNORE INTO shared (text) VALUES (?)", (text,))
            row = self._db.execute("SELECT id FROM shared WHERE text = ?", (text,))
            self._shared[text] = row.fetchone()[0]
        return self._shared[text]

    def _number_of_series(self, study_uid: str, series_uid: str) -> int:
        uids = (study_uid, series_uid)
        if uids not in self._series:
            row = self._db.execute(
                "INSERT INTO series (study_uid, series_uid) VALUES (?, ?) "
                "ON CONFLICT (study_uid, series_uid) DO UPDATE SET stale = 1 RETURNING id",
                uids,
            )
            self._series[uids] = row.fetchone()[0]
        return self._series[uids]

    def stale(self) -> list[int]:
        """Series with files that came, changed or went since they were described."""
        self._db.execute(
            "DELETE FROM series WHERE stale AND id NOT IN "
            "(SELECT series FROM files WHERE series IS NOT NULL)"
        )
        return [row[0] for row in self._db.execute("SELECT id FROM series WHERE stale")]

    def headers(self, series: int) -> list[Header]:
        """The headers of a series."""
        return headers_of(self._db, self._root, series)

    def describe(self, described: Mapping[int, Described]) -> None:
        """Stores how series are shown."""
        with self._at_once():
            self._db.executemany(
                "UPDATE series SET patient = ?, modality = ?, slices = ?, volumes = ?, stale = 0 "
                "WHERE id = ?",
                [(*one, number) for number, one in described.items()],
            )

    def finish(self, unlisted: Mapping[str, str]) -> int:
        """Ends a build.

        Args:
            unlisted: by name what could not even be opened, with the reason.

        Returns:
            The number of files left out.
        """
        with self._at_once():
            self._db.execute(
                "DELETE FROM shared WHERE id NOT IN "
                "(SELECT shared FROM files WHERE shared IS NOT NULL)"
            )
            self._db.execute("DELETE FROM unlisted")
            rows = [(stored(name), reason) for name, reason in unlisted.items()]
            self._db.executemany("INSERT INTO unlisted VALUES (?, ?)", rows)
            self._db.execute(
                "UPDATE about SET value = ? WHERE name = 'version'", (kmed.__version__,)
            )
        count = "SELECT count(*) FROM files WHERE reason IS NOT NULL"
        return self._db.execute(count).fetchone()[0] + len(rows)
