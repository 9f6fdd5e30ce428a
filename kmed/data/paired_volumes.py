"""Slices of volumes as items; of two volumes on one grid, the slices that match."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kmed.data.items import Item
from kmed.data.nifti_grid import Grid, require_same_grid
from kmed.data.sample import DataError, Sample
from kmed.data.tissue import tissue_shares

LEAST_FOREGROUND = 0.05


class _Seen(NamedTuple):
    """What is kept of a volume that was read."""

    grid: Grid
    positions_mm: np.ndarray
    shares: np.ndarray


def slice_items(
    samples: Iterable[Sample],
    *,
    every_mm: float | None = None,
    least_foreground: float = LEAST_FOREGROUND,
) -> list[Item]:
    """Lists the slices of volumes that show something.

    Args:
        samples: volumes; each is read once.
        every_mm: slices taken are no nearer to each other; None takes all.
        least_foreground: a slice is left out if a smaller share of it is brighter than its volume's
            threshold, see `tissue_shares`.

    Returns:
        The items, volume by volume in the order of the samples and slice by slice; key and id are
        the sample's id and the slice, the study is the sample.

    Raises:
        DataError: for a sample that can't be read, is no volume, or shows nothing.
        ValueError: if an argument is out of range.
    """
    volumes = [(sample.id, {"": sample}) for sample in samples]
    return list(paired_slices(volumes, every_mm=every_mm, least_foreground=least_foreground)[""])


def paired_slices(
    studies: Sequence[tuple[str, Mapping[str, Sample]]],
    *,
    every_mm: float | None = None,
    least_foreground: float = LEAST_FOREGROUND,
    label_of: Callable[[Sample], int | None] = lambda sample: None,
) -> dict[str, tuple[Item, ...]]:
    """Lists the slices at which all volumes of a study show something.

    Args:
        studies: key and volumes by modality, all volumes of a study on one grid.
        every_mm: as in `slice_items`.
        least_foreground: as in `slice_items`, in each of the volumes.
        label_of: gives the label of a sample's slices.

    Returns:
        Items by modality, the same slices in each.

    Raises:
        DataError: for volumes of a study on two grids, naming both; as `slice_items`.
        ValueError: if an argument is out of range.
    """
    if every_mm is not None and not every_mm > 0:
        raise ValueError(f"`every_mm` must be above 0; received {every_mm}")
    if not 0 <= least_foreground < 1:
        raise ValueError(
            f"`least_foreground` must be from 0 to less than 1; received {least_foreground}"
        )

    def chosen(study: tuple[str, Mapping[str, Sample]]) -> list[tuple[int, float]]:
        seen = [_seen(sample) for sample in study[1].values()]
        for other in seen[1:]:
            require_same_grid(seen[0].grid, other.grid)
        enough = np.min([volume.shares for volume in seen], axis=0) >= least_foreground
        if not enough.any():
            raise DataError(
                f"{seen[0].grid.path}: no slice of it "
                + ("and of its partner " if len(seen) > 1 else "")
                + f"has {least_foreground:.0%} of tissue; lower `least_foreground`, or leave it out"
            )
        return _taken(np.flatnonzero(enough), seen[0].positions_mm, every_mm)

    pool = ThreadPoolExecutor(max_workers=os.cpu_count() or 1)
    try:
        slices = list(pool.map(chosen, studies))
    finally:
        pool.shutdown(cancel_futures=True)
    items: dict[str, list[Item]] = {}
    for (key, volumes), taken in zip(studies, slices, strict=True):
        for modality, sample in volumes.items():
            items.setdefault(modality, []).extend(
                Item(
                    id=f"{sample.id}/{index:04d}",
                    patient=sample.patient,
                    study=key,
                    key=f"{key}/{index:04d}",
                    sample=sample,
                    slice=index,
                    label=label_of(sample),
                    position_mm=position,
                )
                for index, position in taken
            )
    return {modality: tuple(found) for modality, found in items.items()}


def slice_positions_mm(affine: np.ndarray, count: int) -> np.ndarray:
    """Gives the places of slices along their normal.

    Reference: DICOM PS3.3, C.7.6.2.1.1 gives the plane of a slice; its normal is the cross product
    of its two directions.

    Args:
        affine: `(4, 4)`, index (d, h, w, 1) to millimetres.
        count: number of slices D.

    Returns:
        `(D,)` float64, rising with d.

    Example:
        >>> affine = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [5, 0, 0, 2], [0, 0, 0, 1]])
        >>> slice_positions_mm(affine, 3)
        array([ 2.,  7., 12.])
    """
    affine = np.asarray(affine, np.float64)
    normal = np.cross(affine[:3, 1], affine[:3, 2])
    normal /= np.linalg.norm(normal)
    normal *= np.sign(normal @ affine[:3, 0])
    return normal @ affine[:3, 3] + np.arange(count) * (normal @ affine[:3, 0])


def _seen(sample: Sample) -> _Seen:
    arrays = sample.read()
    image, affine = arrays.image, arrays.affine
    if image.ndim != 4:
        raise DataError(f"{sample.files[0]}: expected a volume of slices, received {image.shape}")
    if affine is None:
        affine = np.diag([*arrays.spacing_mm, 1.0])
    first = Path(sample.files[0])
    several = len(sample.files) > 2  # DICOM: the folder says more than a file of one slice
    grid = Grid(first.parent if several else first, affine, image.shape[:3])
    return _Seen(grid, slice_positions_mm(affine, len(image)), tissue_shares(image))


def _taken(
    indices: np.ndarray, positions_mm: np.ndarray, every_mm: float | None
) -> list[tuple[int, float]]:
    taken: list[tuple[int, float]] = []
    for index in indices:
        position = float(positions_mm[index])
        # A thousandth of a millimetre for coordinates that were rounded when they were written.
        if not taken or every_mm is None or position - taken[-1][1] >= every_mm - 1e-3:
            taken.append((int(index), position))
    return taken
