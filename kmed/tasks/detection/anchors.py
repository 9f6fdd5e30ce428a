"""Anchors that fit a data set's own boxes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kmed.data import (
    AnchorClusters,
    DataError,
    anchor_clusters,
    annotated,
    sizes_in_network,
)
from kmed.tasks.detection.settings import FITS


def anchors_of(
    data: str | Path,
    count: int = 9,
    *,
    size: Sequence[int] | None = None,
    fit: str = "letterbox",
    format: str | None = None,
    fix: bool = False,
    seed: int = 0,
) -> tuple[AnchorClusters, int]:
    """Cluster the sides of a data set's boxes.

    Args:
        data: whatever `kmed.data.annotated` understands; of a data set with parts the training
            part.
        count: number of anchors.
        size: height and width of the network's input, to which the boxes are scaled; None leaves
            them in pixels of the images.
        fit: how images meet the input, "resize" or "letterbox".
        format: of the boxes.
        fix: mend boxes with faults instead of refusing them.
        seed: of the clusters' start.

    Returns:
        The anchors with the recall they reach, and the number of boxes.

    Raises:
        DataError: for data that kmed refuses, or without boxes.
        ValueError: for another `fit`.
    """
    if fit not in FITS:
        raise ValueError(f"`fit` must be one of {FITS}; received {fit!r}")
    found = annotated(data, format=format, fix=fix)
    samples = found.split.train if found.split is not None else found.samples
    extents = dict(zip([sample.id for sample in found.samples], found.sizes, strict=True))
    sides = [
        sizes_in_network([sample.objects], [extent], size or extent, letterbox=fit == "letterbox")
        for sample in samples
        for extent in [extents[sample.id]]
    ]
    sides = np.concatenate(sides) if sides else np.zeros((0, 2))
    if not len(sides):
        raise DataError(f"{data}: has no boxes to fit anchors to")
    return anchor_clusters(sides, count, seed=seed), len(sides)
