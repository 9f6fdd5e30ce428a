"""The segments of an index as one table: positions, ids, rows and vectors."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate, chain
from pathlib import Path

import numpy as np

from kmed.index.errors import IndexBusyError, VectorIndexError
from kmed.index.manifest import Manifest
from kmed.index.segments import Segment, write_segment

_SMALL = 131_072  # segments grow together up to so many vectors
_PART = 16_384  # vectors handed out at a time
_ATTEMPTS = 10


class Store:
    """What the files of an index hold; a vector's position is its place in the order of all.

    `append` and `remove` are for the holder of the folder's lock who has called `read` under it.

    Args:
        folder: with a manifest.

    Raises:
        VectorIndexError: if there is no index or it is damaged.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.manifest: Manifest | None = None
        self._segments: tuple[Segment, ...] = ()
        self._stops: list[int] = []  # positions at which the segments end
        self._positions: dict[str, int] = {}  # of ids, as far as they were needed
        self.read()

    def __len__(self) -> int:
        return self.manifest.count

    def read(self) -> bool:
        """Take up what the folder holds now.

        Returns:
            Whether known vectors have other positions now.

        Raises:
            IndexBusyError: if the folder is changed again and again meanwhile.
            VectorIndexError: if a file is damaged or gone.
        """
        for _ in range(_ATTEMPTS):
            manifest = Manifest.load(self.folder)
            if manifest == self.manifest:
                return False
            try:
                segments = manifest.open_segments(self.folder, self._segments)
            except FileNotFoundError as error:
                # A writer has put several segments into one since the manifest was read ...
                if manifest != Manifest.load(self.folder):
                    continue
                raise VectorIndexError(  # ... or it is truly gone.
                    f"the index's file {error.filename} is gone: restore it from a copy, or make "
                    "the index anew; nothing was changed"
                ) from None
            moved = self.manifest is not None and manifest.generation != self.manifest.generation
            self._adopt(manifest, segments, moved)
            return moved
        raise IndexBusyError(f"{self.folder} is changed all the time: open it again later")

    def append(self, units: np.ndarray, lines: list[bytes]) -> None:
        """Add a segment; it takes the last ones in while they are no larger than it.

        So there are few of them, however small the additions, and a vector is written again as
        often as the logarithm of their number.

        Args:
            units: vectors (N, D) float32.
            lines: their rows.
        """
        kept, count = list(self._segments), len(units)
        while kept and kept[-1].count <= count and kept[-1].count + count <= _SMALL:
            count += kept.pop().count
        taken = self._segments[len(kept) :]
        arrays = [*(segment.vectors for segment in taken), units]
        texts = chain(*(segment.lines() for segment in taken), lines)
        self._commit([*kept, (arrays, texts)], moved=False)

    def remove(self, positions: np.ndarray) -> None:
        """Write the segments that hold some positions anew without them.

        Args:
            positions: (N,) int64.
        """
        parts: list = []
        for segment, stop in zip(self._segments, self._stops, strict=True):
            places = positions - (stop - segment.count)
            places = places[(places >= 0) & (places < segment.count)]
            if not len(places):
                parts.append(segment)
            elif len(places) < segment.count:
                left = np.delete(np.arange(segment.count), places)
                parts.append(([segment.vectors[left]], map(segment.line, left.tolist())))
        self._commit(parts, moved=True)

    def row(self, position: int) -> tuple[str, dict]:
        """Give the id and the facts of a vector."""
        number = bisect_right(self._stops, position)
        segment = self._segments[number]
        return segment.row(position - (self._stops[number] - segment.count))

    def known(self) -> dict[str, int]:
        """Give the positions of all ids, in order."""
        for position in range(len(self._positions), len(self)):
            self._positions[self.row(position)[0]] = position
        return self._positions

    def arrays(self) -> list[np.ndarray]:
        """Give all vectors, segment by segment, mapped from the files."""
        return [segment.vectors for segment in self._segments]

    def parts(self, start: int) -> Iterator[np.ndarray]:
        """Give the vectors from a position on, some thousands at a time."""
        for array, stop in zip(self.arrays(), self._stops, strict=True):
            first = max(start - (stop - len(array)), 0)
            for place in range(first, len(array), _PART):
                yield array[place : place + _PART]

    def gather(self, positions: np.ndarray) -> np.ndarray:
        """Give the vectors (N, D) of some positions (N,)."""
        vectors = np.empty((len(positions), self.manifest.dimension), np.float32)
        numbers = np.searchsorted(self._stops, positions, side="right")
        for number in np.unique(numbers):
            segment, here = self._segments[number], numbers == number
            start = self._stops[number] - segment.count
            vectors[here] = segment.vectors[positions[here] - start]
        return vectors

    def sample(self, count: int) -> np.ndarray:
        """Give so many of the vectors, or all: always the same of the same."""
        chosen = np.random.default_rng(0).choice(len(self), min(count, len(self)), replace=False)
        return self.gather(np.sort(chosen))

    def _adopt(self, manifest: Manifest, segments: tuple[Segment, ...], moved: bool) -> None:
        self.manifest, self._segments = manifest, segments
        self._stops = list(accumulate(segment.count for segment in segments))
        if moved:
            self._positions = {}

    def _commit(self, parts: list, *, moved: bool) -> None:
        """Write what is new of segments, have the manifest tell it, and delete what is old."""
        self.manifest.sweep(self.folder)  # before it, too: a killed writer may have filled the disk
        serial, entries = self.manifest.serial, []
        for part in parts:
            if isinstance(part, Segment):
                entries.append(part.entry)
            else:
                entries.append(write_segment(self.folder, f"segment-{serial:08d}", *part))
                serial += 1
        manifest = replace(
            self.manifest,
            generation=self.manifest.generation + moved,
            serial=serial,
            segments=tuple(entries),
        )
        manifest.save(self.folder)
        self._adopt(manifest, manifest.open_segments(self.folder, self._segments), moved)
        manifest.sweep(self.folder)
