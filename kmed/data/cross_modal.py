"""Chooses the source of two modalities that reads a path, by looking at what lies there."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from kmed.data.caption_rows import SUFFIXES as ROWS
from kmed.data.captions import MODALITIES as OF_CAPTIONS
from kmed.data.captions import captions
from kmed.data.items import CrossModal
from kmed.data.modality_files import modality_files
from kmed.data.paired_volumes import LEAST_FOREGROUND
from kmed.data.phantom_pairs import phantom_pairs, phantom_set
from kmed.data.sample import DataError


def cross_modal(
    path: str | os.PathLike,
    *,
    modalities: Sequence[str] | None = None,
    patient: str | Callable[[str], str] | None = None,
    key: str | None = None,
    image: str | None = None,
    text: str | None = None,
    label: str | None = None,
    labels: Sequence[str] | None = None,
    rank: int = 2,
    channels: int | None = None,
    every_mm: float | None = None,
    least_foreground: float = LEAST_FOREGROUND,
) -> CrossModal:
    r"""Makes items of two modalities, and what matches, of whatever lies at a path.

    Args:
        path: a table (.csv, .tsv) or JSON lines (.jsonl) of images and sentences, or a folder with
            such, see `captions`; a folder that `kmed.data.phantoms` wrote; or a folder of pictures,
            NIfTI or DICOM whose folders or names tell the modality, see `modality_files`, such as
            `PATIENT/t1/*.dcm`, `t1/KEY.png` or `PATIENT_t1.nii.gz`.
        modalities: the first and the second, such as ("t1", "t2") or ("image", "text"). None: the
            two that are found; of phantoms ct and t2, if there are three.
        patient: as in `image_folder`, searched in the path below the folder without suffix; or the
            column of a table. None: the Patient ID of DICOM; else the outermost folder of the key,
            or the key.
        key: a regular expression whose first group is what the names of matching files share. None:
            the path below the folder without suffix and without the modality.
        image: a table's column of images.
        text: a table's column of sentences.
        label: a table's column of classes; of files a regular expression with one group that finds
            the class in the path below the folder without suffix.
        labels: names of the classes in the order of their indices; None: from the data.
        rank: 2 takes pictures and the slices of volumes, 3 whole volumes.
        channels: as in `image_files`, for pictures.
        every_mm: of volumes at rank 2: slices taken are no nearer to each other; None: all.
        least_foreground: of volumes at rank 2: a slice is left out if in either modality a smaller
            share of it is brighter than its volume's threshold, see `tissue_shares`.

    Returns:
        The items of both modalities, in the order of `modalities`.

    Raises:
        DataError: if nothing fits, or what fits is faulty.
        ValueError: if an argument is out of range, or does not fit what lies there.
    """
    if rank not in (2, 3):
        raise ValueError(f"`rank` must be 2 or 3; received {rank!r}")
    if modalities is not None:
        modalities = () if isinstance(modalities, str) else tuple(modalities)
        if len({m.lower() for m in modalities}) != 2 or len(modalities) != 2 or not all(modalities):
            raise ValueError(f"`modalities` must be two different names; received {modalities!r}")
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    slices = {"every_mm": every_mm, "least_foreground": least_foreground}
    of_table = {"image": image, "text": text}
    if _is_captions(path, modalities, any(of_table.values())):
        _refuse("images and sentences", {"key": key, "every_mm": every_mm})
        if modalities is not None and set(modalities) != set(OF_CAPTIONS):
            raise ValueError(f"`modalities` of images and sentences are {OF_CAPTIONS}")
        found = captions(path, label=label, patient=patient, labels=labels, rank=rank,
                         channels=channels, **of_table)  # fmt: skip
        return found if modalities is None else _ordered(found, modalities)
    _refuse(f"{path}, where there is no table", of_table)
    if phantom_set(path):
        _refuse("phantoms", {"patient": patient, "key": key, "label": label, "channels": channels})
        return phantom_pairs(path, modalities, labels=labels, rank=rank, **slices)
    return modality_files(
        path,
        modalities,
        patient=patient,
        key=key,
        label=label,
        labels=labels,
        rank=rank,
        channels=channels,
        **slices,
    )


def _is_captions(path: Path, modalities: Sequence[str] | None, told: bool) -> bool:
    if path.is_file():
        if path.suffix.lower() not in ROWS:
            raise DataError(f"{path}: expected a folder, or one of {', '.join(ROWS)}")
        return True
    if not told and modalities is not None and "text" not in modalities:
        return False  # a table of participants beside their images, say
    return (
        told
        or "text" in (modalities or ())
        or any(p.suffix.lower() in ROWS and p.name[0] != "." for p in path.iterdir())
    )


def _refuse(what: str, arguments: dict) -> None:
    given = [name for name, value in arguments.items() if value is not None]
    if given:
        raise ValueError(f"`{given[0]}` has no meaning for {what}")


def _ordered(found: CrossModal, modalities: Sequence[str]) -> CrossModal:
    return CrossModal(
        modalities=tuple(modalities),
        items={name: found.items[name] for name in modalities},
        labels=found.labels,
        split=found.split,
    )
