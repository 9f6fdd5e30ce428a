"""An index of embeddings in a folder: add, remove, and find the most similar."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from kmed.index.errors import VectorIndexError
from kmed.index.given import checked_facts, checked_ids, row_lines, unit_vectors
from kmed.index.hits import Hits
from kmed.index.lock import writing
from kmed.index.manifest import NAME as MANIFEST
from kmed.index.manifest import Manifest
from kmed.index.neighbours import FEW, Neighbours, Progress
from kmed.index.store import Store
from kmed.index.structures import SEARCHING, checked_options


class VectorIndex:
    """Unit vectors on disk with ids and facts, searched by cosine similarity.

    What was added stands in segments that are written whole and never changed; a manifest lists
    them, and replacing it is the moment at which an addition counts. So a process may be killed at
    any moment: every finished addition is there, an unfinished one is not, and the next goes on.
    What faiss builds over them is derived: it is written now and then, and brought up to date when
    the index is opened.

    Kinds: "exact" compares with every vector; "hnsw" walks a graph of neighbours and keeps vectors
    and graph in memory; "ivf_pq" keeps codes of `m` / 2 bytes a vector in memory and compares its
    `rerank` * k candidates with the vectors on disk.

    The index knows of a patient what the caller writes into ids, rows and facts, and nothing else.

    Reference:
        Malkov & Yashunin 2018, Efficient and robust approximate nearest neighbor search using
        Hierarchical Navigable Small World graphs; Jégou et al. 2011, Product quantization for
        nearest neighbor search; Douze et al. 2024, The Faiss library.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> folder = tempfile.mkdtemp() + "/slices"
        >>> with VectorIndex.create(folder, 2, "exact", {"tower": "ct"}) as index:
        ...     index.add(["a/1", "a/2"], np.array([[1, 0], [0, 1]]), [{"slice": 1}, {"slice": 2}])
        2
        >>> VectorIndex.open(folder).search(np.array([[0.6, 0.8]]), k=1)
        Hits(ids=[['a/2']], scores=array([[0.8]], dtype=float32), rows=[[{'slice': 2}]])
    """

    def __init__(self, store: Store, options: dict):
        self._store = store
        self._neighbours = Neighbours(store, options)

    @classmethod
    def create(
        cls,
        folder: str | Path,
        dimension: int,
        kind: str = "exact",
        facts: dict | None = None,
        options: dict | None = None,
    ) -> VectorIndex:
        """Make an empty index.

        Args:
            folder: made if it does not exist; it must not have an index yet.
            dimension: length of a vector.
            kind: "exact", "hnsw" or "ivf_pq".
            facts: what the vectors are, such as bundle and tower: JSON values.
            options: of the kind: "hnsw" has M, efConstruction and efSearch; "ivf_pq" nlist (by
                default about 4 * sqrt(N)), m (a divisor of the dimension, by default its half or
                the next below), nprobe, rerank and sample (vectors to learn the lists from).

        Raises:
            VectorIndexError: for an index that is there already or an argument out of range.
        """
        folder = Path(folder)
        options = checked_options(kind, dimension, options)
        facts = checked_facts(facts or {})
        folder.mkdir(parents=True, exist_ok=True)
        with writing(folder):
            if (folder / MANIFEST).exists():
                raise VectorIndexError(
                    f"{folder} has an index already: open it with `VectorIndex.open`, or delete "
                    "the folder to start anew"
                )
            Manifest(dimension=dimension, kind=kind, options=options, facts=facts).save(folder)
        return cls.open(folder)

    @classmethod
    def open(
        cls,
        folder: str | Path,
        options: dict | None = None,
        *,
        progress: Progress | None = None,
    ) -> VectorIndex:
        """Open an index and bring its structure up to date.

        Args:
            folder: of the index.
            options: other values for searching: efSearch of "hnsw"; nprobe and rerank of "ivf_pq".
            progress: called with the number of vectors in the structure and of all, where there is
                something to add.

        Raises:
            VectorIndexError: if the folder has no index, its files are damaged or an option is not
                one of searching.
        """
        store = Store(Path(folder))
        manifest = store.manifest
        if fixed := set(options or {}) - SEARCHING:
            raise VectorIndexError(
                f"options to open an index with are {', '.join(sorted(SEARCHING))}; received "
                f"{', '.join(sorted(fixed))}, which an index is created with"
            )
        chosen = checked_options(
            manifest.kind, manifest.dimension, manifest.options | (options or {})
        )
        index = cls(store, chosen)
        index._neighbours.catch_up(progress)
        return index

    @property
    def folder(self) -> Path:
        """Where the index is."""
        return self._store.folder

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return self._store.manifest.dimension

    @property
    def kind(self) -> str:
        """One of "exact", "hnsw" and "ivf_pq"."""
        return self._store.manifest.kind

    @property
    def facts(self) -> dict:
        """What the maker wanted to be known."""
        return self._store.manifest.facts

    @property
    def options(self) -> dict:
        """The kind's options, as they are in use."""
        return dict(self._neighbours.options)

    @property
    def ids(self) -> list[str]:
        """All ids, in the order in which they were added."""
        return list(self._store.known())

    def __len__(self) -> int:
        return len(self._store)

    def __contains__(self, name: object) -> bool:
        return name in self._store.known()

    def __enter__(self) -> VectorIndex:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"VectorIndex({str(self.folder)!r}, {self.kind}, {len(self)} x {self.dimension})"

    def vector(self, name: str) -> np.ndarray:
        """Give the vector (D,) of an id, to find what resembles it.

        Raises:
            VectorIndexError: if there is no such id.
        """
        if name not in self:
            raise VectorIndexError(f"there is no id {name!r} in the index {self.folder}")
        return self._store.gather(np.array([self._store.known()[name]]))[0]

    def search(self, vectors: np.ndarray, k: int = 10) -> Hits:
        """Find the most similar vectors.

        Args:
            vectors: (Q, D) or (D,), any length but zero.
            k: how many for each query.

        Raises:
            VectorIndexError: for vectors of another dimension, of length zero or not finite, or
                `k` below 1.
        """
        queries = unit_vectors(np.atleast_2d(vectors), self.dimension)
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
            raise VectorIndexError(f"`k` must be a whole number from 1; received {k!r}")
        scores, positions = self._neighbours.nearest(queries, min(int(k), len(self)))
        return Hits.of(self._store, scores, positions)

    def add(
        self,
        ids: Iterable[str],
        vectors: np.ndarray,
        rows: Iterable[dict] | None = None,
        *,
        existing: str = "refuse",
        progress: Progress | None = None,
    ) -> int:
        """Add vectors, all or none, and be safe from a kill when this returns.

        Args:
            ids: N names, different from one another and from those that are there.
            vectors: (N, D), any length but zero; kept as unit vectors in float32.
            rows: what is known of each: JSON values.
            existing: "refuse" ids that are there, or "skip" them, so that a build that was
                interrupted can be run again.
            progress: called with the number of vectors in the structure and of all.

        Returns:
            How many were added.

        Raises:
            IndexBusyError: if another process is writing.
            VectorIndexError: for an id that is there, or arguments that don't fit one another.
        """
        if existing not in ("refuse", "skip"):
            raise VectorIndexError(f"`existing` must be refuse or skip; received {existing!r}")
        ids = checked_ids(ids)
        units = unit_vectors(vectors, self.dimension)
        rows = [{}] * len(ids) if rows is None else list(rows)
        if not len(ids) == len(units) == len(rows):
            raise VectorIndexError(
                "`ids`, `vectors` and `rows` must be of one number; received "
                f"{len(ids)}, {len(units)} and {len(rows)}"
            )
        lines = row_lines(ids, rows)
        with writing(self.folder):
            self._store.read()
            known = self._store.known()
            there = [name for name in ids if name in known]
            if there and existing == "refuse":
                raise VectorIndexError(
                    f"{len(there)} of the ids are in the index already, such as {there[0]!r}: "
                    '`remove` them first, or give existing="skip" to add the others alone'
                )
            new = [number for number, name in enumerate(ids) if name not in known]
            if new:
                self._store.append(units[new], [lines[number] for number in new])
        self._neighbours.catch_up(progress)
        return len(new)

    def remove(self, ids: Iterable[str], *, progress: Progress | None = None) -> int:
        """Delete vectors and their rows from the disk, all or none; the structure is made anew.

        Args:
            ids: names that are there.
            progress: called with the number of vectors in the new structure and of all.

        Returns:
            How many were removed.

        Raises:
            IndexBusyError: if another process is writing.
            VectorIndexError: for an id that is not there.
        """
        ids = checked_ids(ids)
        with writing(self.folder):
            self._store.read()
            known = self._store.known()
            if missing := [name for name in ids if name not in known]:
                raise VectorIndexError(
                    f"only ids that are there can be removed; {len(missing)} are not, such as "
                    f"{missing[0]!r}; nothing was changed"
                )
            if ids:
                self._neighbours.discard()  # it holds codes of what is removed, too
                self._store.remove(np.array([known[name] for name in ids]))
        self._neighbours.catch_up(progress)
        return len(ids)

    def refresh(self, *, progress: Progress | None = None) -> None:
        """Take up what other processes have added or removed since this index was opened."""
        self._store.read()
        self._neighbours.catch_up(progress)

    def save(self) -> None:
        """Write the structure, so that the next opening need not make it; vectors are safe before.

        Where it can't be written (a folder for reading, another process writing) nothing is lost.
        """
        self._neighbours.save()

    def close(self) -> None:
        """Write the structure if making it would take the next opening more than a moment."""
        self._neighbours.save(least=FEW)
