"""The rows of a table in a text file, each knowing its line."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from kmed.data.sample import DataError

SUFFIXES = (".csv", ".tsv")


class Row(NamedTuple):
    """One row.

    Attributes:
        where: file and line, for error messages.
        cells: column -> text without blanks at its ends.
    """

    where: str
    cells: dict[str, str]


def read_rows(path: str | os.PathLike) -> tuple[tuple[str, ...], list[Row]]:
    """Reads a table with a header, of columns parted by commas, semicolons or tabs.

    Reference: RFC 4180 (quotes, line breaks in quotes); UTF-8, with or without a byte order mark.

    Args:
        path: the file.

    Returns:
        The names of the columns and the rows; empty lines are passed over.

    Raises:
        DataError: naming file and line: unreadable, no header, two columns of one name, a row with
            more or fewer cells than the header.
    """
    columns: tuple[str, ...] = ()
    rows = []
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            # The one that parts the header most often; commas if none does.
            delimiter = max(",;\t", key=first.count)
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            line = 1
            for values in reader:
                where, line = f"{path}, line {line}", reader.line_num + 1
                cells = [value.strip() for value in values]
                if not any(cells):
                    continue
                if not columns:
                    columns = _header(cells, where)
                elif len(cells) != len(columns):
                    raise DataError(
                        f"{where}: has {len(cells)} cells, the header has {len(columns)}"
                    )
                else:
                    rows.append(Row(where, dict(zip(columns, cells, strict=True))))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text ({error}); save it as CSV in UTF-8") from error
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}") from error
    if not rows:
        raise DataError(f"{path}: has no rows below its header")
    return columns, rows


def column_named(columns: Iterable[str], names: Sequence[str]) -> str | None:
    """Finds a column by what such columns are called.

    Args:
        columns: the table's.
        names: lower-case letters and digits, the best first.

    Returns:
        The column, or None.

    Example:
        >>> column_named(["Patient ID", "Image_Path"], ("file", "imagepath"))
        'Image_Path'
    """
    known: dict[str, str] = {}
    for column in columns:
        known.setdefault(plain(column), column)
    return next((known[name] for name in names if name in known), None)


def require_columns(path: str | os.PathLike, columns: Sequence[str], *wanted: str | None) -> None:
    """Refuses columns that the table does not have.

    Args:
        path: the table, for the error message.
        columns: its columns.
        wanted: those that it must have; None is passed over.

    Raises:
        DataError: naming the column and those that there are.
    """
    for name in wanted:
        if name is not None and name not in columns:
            raise DataError(f"{path}: has no column {name!r}; it has {', '.join(columns)}")


def plain(column: str) -> str:
    """Reduces a column's name to its letters and digits, in lower case."""
    return re.sub(r"[\W_]+", "", column).lower()


def _header(cells: list[str], where: str) -> tuple[str, ...]:
    twice = [name for name in cells if cells.count(name) > 1]
    if twice:
        raise DataError(f"{where}: two columns are called {twice[0]!r}")
    return tuple(cells)
