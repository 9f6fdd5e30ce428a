"""Vectors and their rows in files that never change: the truth that an index is made from."""

from __future__ import annotations

import json
import mmap
import os
import zlib
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from kmed.data.atomic import replacing
from kmed.index.errors import VectorIndexError

_RESTORE = "restore it from a copy, or make the index anew from the images"


class Segment:
    """One finished addition: `NAME.npy` (N, D) float32 and `NAME.jsonl`, a line for each vector.

    The files are mapped, not read, when the segment is opened; what is in them is compared with
    the checksums when it is first used. A file that another process deletes stays readable.

    Args:
        folder: where the files are.
        entry: the segment's record: `name`, `count`, `vectors_crc32`, `rows_crc32`, `rows_bytes`.
        dimension: D.

    Raises:
        FileNotFoundError: if a file is gone.
        VectorIndexError: if a file hasn't the size it was written with.
    """

    def __init__(self, folder: Path, entry: dict, dimension: int):
        self.entry = entry
        self.name, self.count = entry["name"], entry["count"]
        self._vectors_path, self._rows_path = paths(folder, self.name)
        shape = (self.count, dimension)
        with open(self._vectors_path, "rb"), open(self._rows_path, "rb") as rows:
            try:
                self._vectors = np.load(self._vectors_path, mmap_mode="r", allow_pickle=False)
            except (ValueError, EOFError, OSError) as error:
                raise _damaged(self._vectors_path) from error
            if self._vectors.shape != shape or self._vectors.dtype != np.float32:
                raise _damaged(self._vectors_path)
            if os.fstat(rows.fileno()).st_size != entry["rows_bytes"]:
                raise _damaged(self._rows_path)
            self._text = mmap.mmap(rows.fileno(), 0, access=mmap.ACCESS_READ)

    @cached_property
    def vectors(self) -> np.ndarray:
        """The vectors (N, D), mapped from the file."""
        if zlib.crc32(self._vectors) != self.entry["vectors_crc32"]:
            raise _damaged(self._vectors_path)
        return np.asarray(self._vectors)

    @cached_property
    def _ends(self) -> np.ndarray:
        """Where each line ends."""
        if zlib.crc32(self._text) != self.entry["rows_crc32"]:
            raise _damaged(self._rows_path)
        return np.flatnonzero(np.frombuffer(self._text, np.uint8) == ord("\n"))

    def line(self, position: int) -> bytes:
        """Give a row as it stands in the file, without the line's end."""
        start = self._ends[position - 1] + 1 if position else 0
        return self._text[start : self._ends[position]]

    def lines(self) -> Iterator[bytes]:
        """Give all rows as they stand in the file."""
        return (self.line(position) for position in range(self.count))

    def row(self, position: int) -> tuple[str, dict]:
        """Give the id and the facts of a vector."""
        name, facts = json.loads(self.line(position))
        return name, facts


def paths(folder: Path, name: str) -> tuple[Path, Path]:
    """Give the files of a segment: the vectors' and the rows'."""
    return folder / f"{name}.npy", folder / f"{name}.jsonl"


def write_segment(
    folder: Path, name: str, arrays: list[np.ndarray], lines: Iterable[bytes]
) -> dict:
    """Write a segment's files, each whole or not at all, down to the disk.

    Args:
        folder: where to write.
        name: of the files.
        arrays: vectors (N, D) float32 in parts, which follow one another.
        lines: one for each vector.

    Returns:
        The segment's record, for the manifest that makes the segment count.
    """
    vectors_path, rows_path = paths(folder, name)
    vectors_crc = rows_crc = rows_bytes = 0
    with replacing(rows_path) as unfinished, open(unfinished, "wb") as file:
        for line in lines:
            line += b"\n"
            file.write(line)
            rows_crc = zlib.crc32(line, rows_crc)
            rows_bytes += len(line)
        to_disk(file)
    count = sum(len(array) for array in arrays)
    with replacing(vectors_path) as unfinished, open(unfinished, "wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (count, arrays[0].shape[1])}
        np.lib.format.write_array_header_1_0(file, header)
        for array in arrays:
            plain = np.ascontiguousarray(array, "<f4")
            file.write(plain.data)
            vectors_crc = zlib.crc32(plain, vectors_crc)
        to_disk(file)
    return {
        "name": name,
        "count": count,
        "vectors_crc32": vectors_crc,
        "rows_crc32": rows_crc,
        "rows_bytes": rows_bytes,
    }


def to_disk(file) -> None:
    """Have the operating system write an open file to the disk, for a cut of power comes too."""
    file.flush()
    os.fsync(file.fileno())


def _damaged(path: Path) -> VectorIndexError:
    return VectorIndexError(
        f"the index's file {path} is not what was written: {_RESTORE}; nothing was changed"
    )
