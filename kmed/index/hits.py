"""What a search gives."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kmed.index.store import Store


class Hits(NamedTuple):
    """What was found, best first.

    Attributes:
        ids: for each query the ids of its k nearest (fewer only if the index has fewer vectors).
        scores: (Q, k) float32, cosine of the angle between query and hit.
        rows: for each query the facts of its hits.
    """

    ids: list[list[str]]
    scores: np.ndarray
    rows: list[list[dict]]

    @classmethod
    def of(cls, store: Store, scores: np.ndarray, positions: np.ndarray) -> Hits:
        """Look up ids and facts.

        Args:
            store: what was searched.
            scores: (Q, k).
            positions: (Q, k) in the store.
        """
        found = [[store.row(position) for position in line] for line in positions.tolist()]
        return cls(
            ids=[[name for name, _ in line] for line in found],
            scores=scores,
            rows=[[facts for _, facts in line] for line in found],
        )
