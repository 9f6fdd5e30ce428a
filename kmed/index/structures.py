"""faiss' structures for approximate search, derived from the segments and kept in one file."""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import faiss
import numpy as np

from kmed.data.atomic import replacing
from kmed.index.errors import VectorIndexError

NAME = "structure.faiss"
_SEAL = 256  # bytes after faiss' own, which faiss doesn't read: what the file was derived from

# What a kind takes, with its defaults; `SEARCHING` may differ from one opening to the next.
OPTIONS = {
    "exact": {},
    "hnsw": {"M": 16, "efConstruction": 100, "efSearch": 128},
    "ivf_pq": {"nlist": None, "m": None, "nprobe": 128, "rerank": 10, "sample": 262_144},
}
SEARCHING = {"efSearch", "nprobe", "rerank"}


def checked_options(kind: str, dimension: int, options: dict | None) -> dict:
    """Complete a kind's options by its defaults.

    Args:
        kind: "exact", "hnsw" or "ivf_pq".
        dimension: length of a vector, from 1.
        options: some of the kind's.

    Returns:
        All of the kind's options.

    Raises:
        VectorIndexError: for an unknown kind, an unknown option or a value out of range.

    Example:
        >>> checked_options("hnsw", 128, {"M": 24})
        {'M': 24, 'efConstruction': 100, 'efSearch': 128}
    """
    if isinstance(dimension, bool) or not isinstance(dimension, int) or dimension < 1:
        raise VectorIndexError(f"`dimension` must be a whole number from 1; received {dimension!r}")
    if kind not in OPTIONS:
        raise VectorIndexError(f"`kind` must be one of {', '.join(OPTIONS)}; received {kind!r}")
    chosen = OPTIONS[kind] | (options or {})
    if unknown := set(chosen) - set(OPTIONS[kind]):
        raise VectorIndexError(
            f"`options` of kind {kind!r} are {', '.join(OPTIONS[kind]) or 'none'}; received "
            f"{', '.join(sorted(unknown))}"
        )
    if kind == "ivf_pq" and chosen["m"] is None:
        chosen["m"] = next((m for m in range(dimension // 2, 1, -1) if dimension % m == 0), 0)
    for name, value in chosen.items():
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
        if not whole and not (name == "nlist" and value is None):
            raise VectorIndexError(
                f"option {name!r} of kind {kind!r} must be a whole number from 1; received "
                f"{value!r}" + _no_divisor(name, dimension)
            )
    if kind == "hnsw" and chosen["M"] < 2:
        raise VectorIndexError(f"option 'M' must be at least 2; received {chosen['M']}")
    if kind == "ivf_pq" and dimension % chosen["m"]:
        raise VectorIndexError(
            f"option 'm', the parts that a vector is cut into, must divide its dimension; received "
            f"{chosen['m']}, dimension {dimension}"
        )
    return chosen


def _no_divisor(name: str, dimension: int) -> str:
    prime = f": dimension {dimension} is prime and can't be cut; take kind 'hnsw'"
    return prime if name == "m" else ""


def first_count(kind: str, options: dict) -> int:
    """Vectors from which on a kind has a structure; below, search is exact and fast anyway.

    Args:
        kind: "hnsw" or "ivf_pq".
        options: all of the kind's.

    Example:
        >>> first_count("ivf_pq", {"nlist": None})
        10000
    """
    if kind == "hnsw":
        return 1
    # faiss wants 39 examples for a centre: of the lists, and of the 16 words of 4 bits.
    return 10_000 if options["nlist"] is None else 39 * max(options["nlist"], 16)


class Structure:
    """A faiss index over the vectors of the positions 0, 1, 2 ...

    Args:
        kind: "hnsw" or "ivf_pq".
        options: all of the kind's.
        index: faiss' own.
        trained: vectors there were when the structure was made.
    """

    def __init__(self, kind: str, options: dict, index: faiss.Index, trained: int):
        self.kind, self.options, self.trained = kind, options, trained
        self._index = index

    @classmethod
    def make(
        cls, kind: str, options: dict, dimension: int, sample: np.ndarray | None, count: int
    ) -> Structure:
        """Make an empty structure.

        Args:
            kind: "hnsw" or "ivf_pq".
            options: all of the kind's.
            dimension: length of a vector.
            sample: vectors (N, D) to learn the lists and words of "ivf_pq" from.
            count: vectors that will come.
        """
        if kind == "hnsw":
            index = faiss.IndexHNSWFlat(dimension, options["M"], faiss.METRIC_INNER_PRODUCT)
            index.hnsw.efConstruction = options["efConstruction"]
            return cls(kind, options, index, count)
        lists = options["nlist"] or list_count(count, len(sample))
        text = f"IVF{lists},PQ{options['m']}x4fs"
        index = faiss.index_factory(dimension, text, faiss.METRIC_INNER_PRODUCT)
        index.cp.max_points_per_centroid = math.ceil(len(sample) / lists)  # the sample is chosen
        index.train(sample)
        return cls(kind, options, index, count)

    def __len__(self) -> int:
        return self._index.ntotal

    @property
    def approximate(self) -> bool:
        """Whether its scores are guesses, which the vectors have to correct."""
        return self.kind == "ivf_pq"

    def outgrown(self, count: int) -> bool:
        """Tell whether the lists were chosen for a quarter of so many vectors, or less."""
        return self.kind == "ivf_pq" and count >= 4 * self.trained

    def add(self, vectors: np.ndarray) -> None:
        """Take vectors (N, D) for the next positions."""
        self._index.add(np.ascontiguousarray(vectors))

    def candidates(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Find positions that are probably the nearest.

        Args:
            queries: (Q, D) float32.
            k: how many are wanted.

        Returns:
            Inner products (Q, k) or approximations of them, and positions (Q, K >= k), -1 where
            the structure found fewer.
        """
        if self.kind == "hnsw":
            breadth = max(self.options["efSearch"], k)
            found = faiss.SearchParametersHNSW(efSearch=breadth)
        else:
            found = faiss.SearchParametersIVF(nprobe=self.options["nprobe"])
            k = min(len(self), k * self.options["rerank"])
        return self._index.search(queries, k, params=found)

    def save(self, folder: Path, generation: int) -> None:
        """Write the structure, whole or not at all."""
        skip = faiss.IO_FLAG_SKIP_STORAGE if self.kind == "hnsw" else 0  # segments have the vectors
        with replacing(folder / NAME) as unfinished:
            faiss.write_index(self._index, str(unfinished), skip)
            seal = {
                "generation": generation,
                "count": len(self),
                "trained": self.trained,
                "crc32": _checksum(unfinished),
            }
            with open(unfinished, "ab") as file:
                file.write(json.dumps(seal).encode().ljust(_SEAL))

    @classmethod
    def load(
        cls,
        folder: Path,
        kind: str,
        options: dict,
        generation: int,
        count: int,
        parts: Iterator[np.ndarray],
    ) -> Structure | None:
        """Read the structure of a folder.

        Args:
            folder: of the index.
            kind: "hnsw" or "ivf_pq".
            options: all of the kind's.
            generation: of the vectors' positions.
            count: vectors in the segments.
            parts: the vectors in order, which "hnsw" needs and doesn't keep in its file.

        Returns:
            None if there is no file, or one of another generation or of more vectors.

        Raises:
            VectorIndexError: if the file is damaged.
        """
        path = folder / NAME
        if not path.exists():
            return None
        try:
            with open(path, "rb") as file:
                file.seek(-_SEAL, os.SEEK_END)
                seal = json.loads(file.read())
            if seal["generation"] != generation or seal["count"] > count:
                return None
            if seal["crc32"] != _checksum(path, path.stat().st_size - _SEAL):
                raise ValueError("checksum")
        except (OSError, ValueError, KeyError, TypeError):
            raise VectorIndexError(
                f"{path} is damaged: delete this file, and the index makes it again from its "
                "segments when it is opened next; no vector is lost"
            ) from None
        skip = faiss.IO_FLAG_SKIP_STORAGE if kind == "hnsw" else 0
        index = faiss.read_index(str(path), skip)
        if kind == "hnsw":
            index.storage = _flat(index.d, seal["count"], parts)
            index.own_fields = True
        return cls(kind, options, index, seal["trained"])


def list_count(count: int, sample: int) -> int:
    """Lists for so many vectors: about four times the square root, as faiss' guide says.

    Args:
        count: vectors.
        sample: vectors to learn from; each list needs 39.

    Returns:
        A power of two.

    Example:
        >>> list_count(1_000_000, 262_144), list_count(10_000, 10_000)
        (4096, 256)
    """
    wanted = round(math.log2(4 * math.sqrt(count)))
    return 2 ** max(0, min(wanted, math.floor(math.log2(sample / 39))))


def _flat(dimension: int, count: int, parts: Iterator[np.ndarray]) -> faiss.Index:
    flat = faiss.IndexFlatIP(dimension)
    for part in parts:
        flat.add(np.ascontiguousarray(part[: count - flat.ntotal]))
        if flat.ntotal == count:
            break
    flat.this.disown()  # its new owner deletes it
    return flat


def _checksum(path: Path, size: int | None = None) -> int:
    value, left = 0, path.stat().st_size if size is None else size
    with open(path, "rb") as file:
        while left:
            chunk = file.read(min(left, 1 << 24))
            if not chunk:
                raise OSError("the file is too short")
            value = zlib.crc32(chunk, value)
            left -= len(chunk)
    return value
