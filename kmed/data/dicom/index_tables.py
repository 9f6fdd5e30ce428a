"""The SQLite file of an archive's index: its tables, and what is done to them."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import kmed
from kmed.data.dicom.deidentification.pseudonyms import Key
from kmed.data.dicom.files import Source
from kmed.data.dicom.header import Header
from kmed.data.dicom.header_text import LAYOUT, HeaderText, Row, header_of
from kmed.data.sample import DataError

_KIND = 0x6B6D6978  # application_id: what makes an SQLite file an index
_VERSION = 1  # user_version: raise it when the tables below change their meaning
_PATIENCE_S = 60.0  # for another process that writes
_TABLES = """
CREATE TABLE about (name TEXT PRIMARY KEY, value);
CREATE TABLE series (
    id INTEGER PRIMARY KEY, study_uid TEXT, series_uid TEXT, patient TEXT, modality TEXT,
    slices INTEGER, volumes TEXT, stale INTEGER NOT NULL DEFAULT 1,
    UNIQUE (study_uid, series_uid)
);
CREATE TABLE shared (id INTEGER PRIMARY KEY, text TEXT UNIQUE);
CREATE TABLE files (
    id INTEGER PRIMARY KEY, path, member, size INTEGER, mtime_ns INTEGER, reason TEXT,
    series INTEGER, own TEXT, shared INTEGER, UNIQUE (path, member)
);
CREATE INDEX files_of_series ON files (series);
CREATE TABLE unlisted (path PRIMARY KEY, reason TEXT);
"""


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


Name = tuple[str, str]  # path below the root, member of a zip archive or ""


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


class Tables:
    """An index's file.

    Args:
        path: made if it is not there.
        identifiers: whether Patient IDs are stored as they are.
    """

    def __init__(self, path: Path, identifiers: bool):
        self.path, self.identifiers = Path(os.path.abspath(path)), identifiers
        if self.path.is_file() and self.path.stat().st_size:
            with self.reading() as db:
                self._require_own(db)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Opens the file; errors of SQLite become `DataError`."""
        if not self.path.is_file():
            raise DataError(f"{self.path}: no index; make it with build(root)")
        with self._opened() as db:
            yield db

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        db = None
        try:
            db = sqlite3.connect(self.path, timeout=_PATIENCE_S, isolation_level=None)
            yield db
        except sqlite3.Error as error:
            raise DataError(
                f"{self.path}: can't be used as an index ({error}); if no other process is "
                "writing to it, delete it and build it again"
            ) from error
        finally:
            if db is not None:
                db.close()

    def _require_own(self, db: sqlite3.Connection) -> None:
        if db.execute("PRAGMA application_id").fetchone()[0] != _KIND:
            raise DataError(f"{self.path}: no index of kmed; name another file")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        about = dict(db.execute("SELECT name, value FROM about"))
        if version != _VERSION or about.get("layout") != LAYOUT:
            raise DataError(
                f"{self.path}: an index of another version of kmed; delete it and build it again"
            )
        if bool(about["identifiers"]) != self.identifiers:
            raise DataError(
                f"{self.path}: made with identifiers={bool(about['identifiers'])}; received "
                f"identifiers={self.identifiers}"
            )

    @contextmanager
    def writing(self, root: Path) -> Iterator[Writer]:
        """Opens the file to bring it up to date with an archive.

        Args:
            root: absolute path of the archive.

        Yields:
            What writes; what is committed stays, whatever happens later.
        """
        new = not self.path.is_file() or not self.path.stat().st_size
        if new:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Paths and pseudonyms are nobody else's business.
            os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600))
        with self._opened() as db:
            db.execute("PRAGMA synchronous = NORMAL")
            if new:
                about = {
                    "layout": LAYOUT,
                    "identifiers": int(self.identifiers),
                    "key": secrets.token_bytes(32),
                    "root": None,
                    "version": kmed.__version__,
                }
                db.executescript(
                    f"BEGIN IMMEDIATE; PRAGMA application_id = {_KIND}; "
                    f"PRAGMA user_version = {_VERSION}; {_TABLES}"
                )
                db.executemany("INSERT INTO about VALUES (?, ?)", about.items())
                db.execute("COMMIT")
            else:
                self._require_own(db)
            yield Writer(db, self._root(db, root))

    def _root(self, db: sqlite3.Connection, root: Path) -> Path:
        before = root_of(db)
        if before is not None and before != root and before.exists():
            raise DataError(
                f"{self.path}: an index of {before}, which is still there; make another index for "
                f"{root}"
            )
        db.execute("UPDATE about SET value = ? WHERE name = 'root'", (stored(str(root)),))
        return root


class Writer:
    """Writes what a build finds; see `Tables.writing`."""

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


def root_of(db: sqlite3.Connection) -> Path | None:
    """The archive that an index is of; None before its first build."""
    (value,) = db.execute("SELECT value FROM about WHERE name = 'root'").fetchone()
    return None if value is None else Path(loaded(value))


def headers_of(db: sqlite3.Connection, root: Path, series: int) -> list[Header]:
    """The headers of a series, in the order in which a folder is read."""
    rows = db.execute(
        "SELECT path, member, own, text FROM files JOIN shared ON shared.id = files.shared "
        "WHERE series = ?",
        (series,),
    )
    found = []
    for path, member, own, text in rows:
        name = (loaded(path), loaded(member))
        found.append((_order(name), header_of(HeaderText(own, text), source_of(root, name))))
    return [header for _, header in sorted(found, key=lambda pair: pair[0])]


def _order(name: Name) -> tuple:
    # The files of a folder come before those of its subfolders.
    *folders, file = name[0].split(os.sep)
    return (folders, file, name[1])


def source_of(root: Path, name: Name) -> Source:
    """The file of this name; a root that is no folder has the name "."."""
    return Source(root if name[0] == "." else root / name[0], name[1] or None)


def stored(text: str) -> str | bytes:
    """Text as SQLite takes it: names that are no UTF-8 as bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return os.fsencode(text)
    return text


def loaded(value: str | bytes) -> str:
    """What `stored` was given."""
    return os.fsdecode(value)
