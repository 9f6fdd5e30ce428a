"""The studies that `kmed.data.phantoms` wrote, as items of two of their modalities."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from kmed.data.items import CrossModal, whole_items
from kmed.data.label_kinds import checked_names
from kmed.data.paired_volumes import LEAST_FOREGROUND, paired_slices
from kmed.data.sample import DataError

_LABELS = ("no lesion", "lesion")


def phantom_set(root: Path) -> bool:
    """Tells whether `kmed.data.phantoms` wrote a folder.

    Args:
        root: the folder.

    Returns:
        Whether its dataset.json says so.
    """
    try:
        content = json.loads((root / "dataset.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("kind") == "phantoms"


def phantom_pairs(
    root: Path,
    modalities: Sequence[str] | None = None,
    *,
    labels: Sequence[str] | None = None,
    rank: int = 2,
    every_mm: float | None = None,
    least_foreground: float = LEAST_FOREGROUND,
) -> CrossModal:
    """Makes items of phantoms.

    Args:
        root: what `kmed.data.phantoms` wrote.
        modalities: two of "ct", "t1" and "t2"; None: the two that there are, of three ct and t2.
        labels: names of the two classes of whole volumes.
        rank: 2 for slices, which have no label; 3 for volumes, labelled by whether there is a
            lesion.
        every_mm: as in `cross_modal`.
        least_foreground: as in `cross_modal`.

    Returns:
        The items, sorted by patient.

    Raises:
        DataError: if a modality is missing or the phantoms are unfinished.
        ValueError: if an argument is out of range.
    """
    from kmed.data.phantoms import phantom_source  # slow to import, rarely needed

    if modalities is None:
        there = json.loads((root / "dataset.json").read_text(encoding="utf-8"))["modalities"]
        if len(there) < 2:
            raise DataError(f"{root}: the phantoms have one modality, {there[0]}; two are needed")
        modalities = ("ct", "t2") if len(there) > 2 else tuple(there)
    sources = [phantom_source(root, modality=modality.lower()) for modality in modalities]
    studies = [
        (pair[0].patient, dict(zip(modalities, pair, strict=True)))
        for pair in zip(*sources, strict=True)
    ]
    if rank == 2:
        items = paired_slices(studies, every_mm=every_mm, least_foreground=least_foreground)
        return CrossModal(modalities=tuple(modalities), items=items)
    listed = [(key, {m: [sample] for m, sample in of.items()}) for key, of in studies]
    names = checked_names(labels) or _LABELS
    if len(names) != 2:
        raise ValueError(f"`labels` must name no lesion and lesion; received {labels!r}")
    items = whole_items(listed, label_of=lambda sample: sample.label)
    return CrossModal(modalities=tuple(modalities), items=items, labels=names)
