"""Two towers measured on items that they have not seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from kmed.data import DataError
from kmed.data.items import CrossModal
from kmed.data.views import views
from kmed.metrics import Interval
from kmed.metrics.ranking import Table
from kmed.metrics.retrieval_report import retrieval_report
from kmed.tasks.retrieval.judging import errors_mm, has_positions, relevance
from kmed.tasks.retrieval.towers import Tower, embeddings


@dataclass
class Measured:
    """What a test set says of two towers.

    Attributes:
        found: the items.
        embeddings: by modality, float32 `(N, dimension)` in the order of the items.
        keys: by modality, what tells which items match.
        match: what matches: "key" or "label".
        tolerance_mm: distance of a slice that counted as right.
        summary: `{"ct to t2": {measure: Interval}}`, for both directions.
        seconds_per_item: median time from raw values to an embedding.
    """

    found: CrossModal
    embeddings: Mapping[str, np.ndarray]
    keys: Mapping[str, Mapping[str, np.ndarray]]
    match: str = "key"
    tolerance_mm: float = 0.0
    summary: dict[str, dict[str, Interval]] = field(default_factory=dict)
    seconds_per_item: float = float("nan")

    def directions(self) -> list[tuple[str, str]]:
        """Pairs of the query's modality and the gallery's."""
        first, second = self.found.modalities
        return [(first, second), (second, first)]

    def relevant(self, query: str, gallery: str) -> Table:
        """Tell which items answer which query: a function of queries `(n,)` to `(n, G)` bool."""
        return relevance(
            self.keys[query], self.keys[gallery], match=self.match, tolerance_mm=self.tolerance_mm
        )

    def errors_mm(self, query: str, gallery: str) -> Table | None:
        """Tell how far items are from a query, as `relevant`; None where none has a position."""
        keys = self.keys[query], self.keys[gallery]
        return errors_mm(*keys) if has_positions(keys[0]) else None


def measure(
    towers: Mapping[str, Tower],
    found: CrossModal,
    *,
    gallery: int = 100,
    seed: int = 0,
    progress: Callable[[str], Callable[[int, int], None]] | None = None,
) -> Measured:
    """Search every item of one modality among all of the other, both ways.

    Args:
        towers: the bundle of each modality; their metadata say what matches.
        found: items of both modalities.
        gallery: beside the figures among all, those among so many.
        seed: of the bootstrap and of the smaller galleries.
        progress: from a modality to a function called with the number of items done and of all.

    Returns:
        The measures.

    Raises:
        DataError: if there is nothing to search, or an image is not what its bundle takes.
    """
    for modality in found.modalities:
        if not found.items[modality]:
            raise DataError(f"there is no item of {modality} to measure on")
    vectors, seconds = {}, 0.0
    for modality in found.modalities:
        started = time.perf_counter()
        vectors[modality] = embeddings(
            towers[modality], found.items[modality], progress and progress(modality)
        )
        seconds += time.perf_counter() - started
    facts = next(iter(towers.values())).metadata
    measured = Measured(
        found,
        vectors,
        {name: view.keys for name, view in views(found, None).items()},
        match=facts["match"],
        tolerance_mm=facts["tolerance_mm"],
        seconds_per_item=seconds / sum(map(len, vectors.values())),
    )
    for query, other in measured.directions():
        count = len(vectors[other])
        measured.summary[f"{query} to {other}"] = retrieval_report(
            vectors[query],
            vectors[other],
            measured.relevant(query, other),
            patients=[item.patient for item in found.items[query]],
            errors_mm=measured.errors_mm(query, other),
            among=gallery if gallery < count else None,
            seed=seed,
        )
    return measured
