"""The nearest vectors of a store, by a structure of faiss or by comparison with all."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

from kmed.index.errors import IndexBusyError
from kmed.index.exact import nearest, products
from kmed.index.lock import writing
from kmed.index.manifest import Manifest
from kmed.index.store import Store
from kmed.index.structures import NAME, Structure, first_count

FEW = 1_000  # vectors that opening adds to a structure in about a second
_MANY = 100_000  # and in a minute or two

Progress = Callable[[int, int], None]


class Neighbours:
    """Search in a store, and the care for the structure that makes it fast.

    The structure is derived: it is written now and then, and is brought up to date from the
    store. Without one every vector is compared, which is slow where there are many, and right.

    Args:
        store: the vectors.
        options: all of the store's kind.
    """

    def __init__(self, store: Store, options: dict):
        self.options = options
        self._store = store
        self._structure: Structure | None = None
        self._generation = store.manifest.generation  # of the structure
        self._saved = 0  # vectors in the structure's file

    def nearest(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Find the largest inner products.

        Args:
            queries: (Q, D) float32 unit vectors.
            k: how many, at most all vectors.

        Returns:
            Inner products (Q, k) float32, largest first, and positions (Q, k).
        """
        structure = self._structure
        if structure is None or not k:
            return nearest(queries, self._store.arrays(), k)
        scores, positions = structure.candidates(queries, k)
        if structure.approximate:
            scores = products(queries, positions, self._store.gather)
            order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
            scores = np.take_along_axis(scores, order, axis=1)
            positions = np.take_along_axis(positions, order, axis=1)
        # Few vectors lie in the lists or the part of the graph that a query was led to.
        short = np.flatnonzero((positions < 0).any(axis=1))
        if len(short):
            scores[short], positions[short] = nearest(queries[short], self._store.arrays(), k)
        return scores, positions

    def catch_up(self, progress: Progress | None = None) -> None:
        """Bring the structure up to the store, and write it when it has grown by a tenth.

        Args:
            progress: called with the number of vectors in the structure and of all.

        Raises:
            VectorIndexError: if the structure's file is damaged.
        """
        manifest = self._store.manifest
        count, kind = len(self._store), manifest.kind
        if manifest.generation != self._generation:
            self._structure, self._generation, self._saved = None, manifest.generation, 0
        if kind == "exact" or count < first_count(kind, self.options):
            return
        structure, self._structure = self._structure, None  # an interruption must leave no half
        if structure is None:
            structure = self._load(count)
        if structure is None or structure.outgrown(count):
            sample = self._store.sample(self.options["sample"]) if kind == "ivf_pq" else None
            structure = Structure.make(kind, self.options, manifest.dimension, sample, count)
            self._saved = 0
        for part in self._store.parts(len(structure)):
            structure.add(part)
            if progress:
                progress(len(structure), count)
            if len(structure) - self._saved >= max(_MANY, self._saved):
                self._write(structure)  # a kill may cost half of a long build, not all
        self._structure = structure
        self.save(least=max(FEW, count // 10))

    def save(self, *, least: int = 1) -> None:
        """Write the structure if it has so many vectors more than its file.

        Where it can't be written a warning tells so; where another process is writing it stays
        for the next time.
        """
        structure = self._structure
        if structure is not None and len(structure) - self._saved >= least:
            self._write(structure)

    def discard(self) -> None:
        """Delete the structure and its file; for the holder of the folder's lock."""
        self._structure, self._saved = None, 0
        (self._store.folder / NAME).unlink(missing_ok=True)

    def _load(self, count: int) -> Structure | None:
        manifest, vectors = self._store.manifest, iter(self._store.arrays())
        structure = Structure.load(
            self._store.folder, manifest.kind, self.options, manifest.generation, count, vectors
        )
        self._saved = 0 if structure is None else len(structure)
        return structure

    def _write(self, structure: Structure) -> None:
        folder = self._store.folder
        try:
            with writing(folder):
                if Manifest.load(folder).generation == self._generation:
                    structure.save(folder, self._generation)
                    self._saved = len(structure)
        except IndexBusyError:
            pass
        except (OSError, RuntimeError) as error:  # faiss' errors of files are RuntimeErrors
            warnings.warn(
                f"{folder / NAME} could not be written ({error}): no vector is lost, but opening "
                "the index takes longer until it can be",
                RuntimeWarning,
                stacklevel=2,
            )
