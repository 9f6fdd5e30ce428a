"""The SQLite file of an archive's index: its tables, and what is done to them."""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import kmed
from kmed.data.dicom.files import LeftOut, Source
from kmed.data.dicom.header import Header
from kmed.data.dicom.header_text import LAYOUT, HeaderText, header_of
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


Name = tuple[str, str]  # path below the root, member of a zip archive or ""


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
    def writing(self, root: Path) -> Iterator[sqlite3.Connection]:
        """Opens the file to bring it up to date with an archive.

        Args:
            root: absolute path of the archive.

        Yields:
            The connection, without a transaction.
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
            self._set_root(db, root)
            yield db

    def _set_root(self, db: sqlite3.Connection, root: Path) -> None:
        before = root_of(db)
        if before is not None and before != root and before.exists():
            raise DataError(
                f"{self.path}: an index of {before}, which is still there; make another index for "
                f"{root}"
            )
        db.execute("UPDATE about SET value = ? WHERE name = 'root'", (stored(str(root)),))


def root_of(db: sqlite3.Connection) -> Path | None:
    """The archive that an index is of; None before its first build."""
    (value,) = db.execute("SELECT value FROM about WHERE name = 'root'").fetchone()
    return None if value is None else Path(loaded(value))


class Chosen(NamedTuple):
    """A series in its table.

    Attributes:
        number: of the series.
        study_uid: Study Instance UID.
        series_uid: Series Instance UID.
        patient: pseudonym, or Patient ID.
        modality: "CT", "MR" ...
        volumes: as JSON.
    """

    number: int
    study_uid: str
    series_uid: str
    patient: str
    modality: str
    volumes: str


def chosen(db: sqlite3.Connection, modality: str | None, min_slices: int) -> list[Chosen]:
    """The series of a modality, or of all, whose largest volume has as many slices."""
    rows = db.execute(
        "SELECT id, study_uid, series_uid, patient, modality, volumes FROM series WHERE NOT stale "
        "AND slices >= ?1 AND (?2 IS NULL OR upper(modality) = upper(?2)) "
        "ORDER BY patient, study_uid, series_uid",
        (min_slices, modality),
    )
    return [Chosen(*row) for row in rows]


def left_out_of(db: sqlite3.Connection, root: Path) -> list[LeftOut]:
    """The files without a usable header, and why."""
    rows = db.execute("SELECT path, member, reason FROM files WHERE reason IS NOT NULL")
    found = [
        LeftOut(source_of(root, (loaded(path), loaded(member))).name, reason)
        for path, member, reason in rows
    ]
    rows = db.execute("SELECT path, reason FROM unlisted")
    return sorted(found + [LeftOut(loaded(path), reason) for path, reason in rows])


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
