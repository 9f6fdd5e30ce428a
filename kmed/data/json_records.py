"""Lists of records in a JSON file, each record knowing its line."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection
from typing import Any, NamedTuple

from kmed.data.sample import DataError

_BLANK = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


class Record(NamedTuple):
    """One entry of a list.

    Attributes:
        line: of the file, from 1, in which it begins.
        value: a dictionary.
    """

    line: int
    value: dict[str, Any]


def read_records(path: str | os.PathLike, keys: Collection[str]) -> dict[str, list[Record]]:
    """Reads the lists of records that stand under the keys of a JSON object.

    Args:
        path: the file.
        keys: the lists that are wanted.

    Returns:
        Key -> records; a list that the file does not have is empty.

    Raises:
        DataError: naming file and line: no JSON, no object, or a list of something else.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read()
        return _Reader(text).lists(keys)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except RecursionError as error:
        raise DataError(f"{path}: cannot be read as JSON (too deep)") from error
    except json.JSONDecodeError as error:
        place = f"{path}, line {error.lineno}"
        raise DataError(f"{place}: cannot be read as JSON ({error.msg})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text ({error})") from error


class _Reader:
    """Walks over the outermost object by hand, since only a place in the text has a line."""

    def __init__(self, text: str):
        self.text, self.at = text, 0
        self.line, self.counted = 1, 0

    def lists(self, keys: Collection[str]) -> dict[str, list[Record]]:
        found: dict[str, list[Record]] = {key: [] for key in keys}
        self._need("{")
        while not self._next("}"):
            key = self._value()
            self._need(":")
            if key in found:
                found[key] = self._records()
            else:
                self._value()
            if not self._next(","):
                self._need("}")
                break
        if self.at != len(self.text):
            self._refuse("Extra data")
        return found

    def _records(self) -> list[Record]:
        records = []
        self._need("[")
        while not self._next("]"):
            self.line += self.text.count("\n", self.counted, self.at)
            self.counted = self.at
            value = self._value()
            if not isinstance(value, dict):
                self._refuse("Expecting a list of objects")
            records.append(Record(self.line, value))
            if not self._next(","):
                self._need("]")
                break
        return records

    def _value(self) -> Any:
        value, self.at = _DECODER.raw_decode(self.text, self._skipped())
        self._skipped()
        return value

    def _skipped(self) -> int:
        self.at = _BLANK.match(self.text, self.at).end()
        return self.at

    def _next(self, sign: str) -> bool:
        if not self.text.startswith(sign, self._skipped()):
            return False
        self.at += 1
        self._skipped()
        return True

    def _need(self, sign: str) -> None:
        if not self._next(sign):
            self._refuse(f"Expecting {sign!r}")

    def _refuse(self, what: str) -> None:
        raise json.JSONDecodeError(what, self.text, self.at)
