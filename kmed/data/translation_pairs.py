"""Chooses the source of two modalities for a translation: in pairs, or each by itself."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from kmed.data.items import CrossModal, Item
from kmed.data.modality_files import modality_files
from kmed.data.modality_names import key_of, modality_of
from kmed.data.named_images import named_images
from kmed.data.nifti_grid import Grid, require_same_grid
from kmed.data.paired_volumes import LEAST_FOREGROUND
from kmed.data.part_folders import fused, patients_below_parts, with_own_split
from kmed.data.phantom_pairs import phantom_pairs, phantom_set
from kmed.data.sample import DataError
from kmed.data.side_by_side import side_by_side as halves
from kmed.data.unpaired_files import apart, told_modalities, unpaired_files

_PAIRED_SHARE = 0.5  # of the modality with fewer images


def translation_source(
    path: str | os.PathLike,
    *,
    modalities: Sequence[str] | None = None,
    paired: bool | None = None,
    side_by_side: bool = False,
    patient: str | Callable[[str], str] | None = None,
    key: str | None = None,
    channels: int | None = None,
    every_mm: float | None = None,
    least_foreground: float = LEAST_FOREGROUND,
    rank: int = 2,
) -> CrossModal:
    r"""Makes items of the images of a source and a target modality.

    Pairs are phantoms; pictures whose names match; and volumes whose names match and that lie on
    one grid, which the slices at one place of both are. Without pairs each modality's images are
    taken by themselves, see `unpaired_files`, and no key of one is a key of the other: so the
    result tells which it is.

    Args:
        path: a folder as `kmed.data.cross_modal` takes it, sentences excepted; or two folders of
            images; or trainA, trainB, testA, testB as CycleGAN's own data sets are laid out.
        modalities: source and target; None: as `cross_modal` and `unpaired_files` find them.
        paired: True: pairs, or an error. False: none, even where names match. None: pairs if half
            of the images of the modality that has fewer have a partner on the same grid, else none;
            phantoms are pairs, trainA and trainB are not.
        side_by_side: each picture holds two modalities, see `kmed.data.side_by_side`.
        patient: as in `cross_modal`.
        key: as in `cross_modal`; for pairs.
        channels: as in `image_files`, for pictures.
        every_mm: as in `cross_modal`.
        least_foreground: as in `cross_modal`.
        rank: 2 takes pictures and the slices of volumes, 3 whole volumes.

    Returns:
        The items of both modalities, the source first; with the split of a data set whose folders
        tell one (train, val, test).

    Raises:
        DataError: if a modality has no images, or there are no pairs where they are asked for.
        ValueError: if an argument is out of range, or does not fit what lies there.
    """
    root = Path(path)
    modalities = _checked(root, modalities, rank)
    slices = {"every_mm": every_mm, "least_foreground": least_foreground}
    files = {"patient": patient, "channels": channels}
    if paired is False and (side_by_side or key is not None):
        name = "side_by_side" if side_by_side else "key"
        raise ValueError(f"`{name}` makes pairs and has no meaning with paired=False")
    if side_by_side:
        _refuse("pictures side by side", {"key": key, "every_mm": every_mm})
        if rank == 3:
            raise DataError(f"{root}: rank=3 takes volumes; there are pictures")
        return halves(root, modalities, **files)
    if phantom_set(root):
        _refuse("phantoms", {"key": key, **files})
        found = phantom_pairs(root, modalities, rank=rank, **slices)
        return apart(found) if paired is False else found
    if any(fused(folder.name) for folder in root.iterdir() if folder.is_dir()):
        _refuse("trainA and trainB", {"key": key})
        return unpaired_files(
            root, modalities, matched=paired is True, rank=rank, **files, **slices
        )
    if paired or (paired is None and (key is not None or _mostly_paired(root, modalities))):
        try:
            return _pairs(root, modalities, key=key, rank=rank, **files, **slices)
        except DataError as error:
            if paired:
                raise DataError(
                    f"{error} (pairs are needed: registered images, or names that match; without "
                    "them learn as CycleGAN does)"
                ) from error
            warnings.warn(f"taken without pairs: {error}", stacklevel=2)
    return unpaired_files(root, modalities, rank=rank, **files, **slices)


def unpaired_parts(found: CrossModal, seed: int = 0) -> CrossModal:
    """Takes the pairs out of a part of a data set: each patient keeps one modality.

    Patients who have one modality only keep it; the others are dealt to both, half and half.

    Args:
        found: items of both modalities, such as a training part.
        seed: decides which patient keeps which modality.

    Returns:
        The items that are left, without split; no patient has items of both modalities.

    Raises:
        DataError: if a modality is left without patients.

    Example:
        >>> items = tuple(
        ...     Item(id=name, patient=name, study=name, key=name, text=name) for name in "abcd"
        ... )
        >>> both = CrossModal(modalities=("ct", "t2"), items={"ct": items, "t2": items})
        >>> {name: len(left) for name, left in unpaired_parts(both).items.items()}
        {'ct': 2, 't2': 2}
    """
    patients = [{item.patient for item in found.items[name]} for name in found.modalities]
    both = sorted(patients[0] & patients[1])
    alone = [len(of) - len(both) for of in patients]
    dealt = [both[i] for i in np.random.default_rng(seed).permutation(len(both))]
    # Of an odd number the one over goes to the modality that has fewer patients of its own.
    first = (len(both) + (alone[0] <= alone[1])) // 2
    taken = (set(dealt[first:]), set(dealt[:first]))
    items = {
        name: tuple(item for item in found.items[name] if item.patient not in others)
        for name, others in zip(found.modalities, taken, strict=True)
    }
    for name, left in items.items():
        if not left:
            raise DataError(
                f"without pairs each patient gives one modality, and of {len(set.union(*patients))}"
                f" patient(s) none is left for {name!r}; more patients are needed"
            )
    return replace(found, items=items, split=None)


def _checked(root: Path, modalities, rank: int) -> tuple[str, str] | None:
    if rank not in (2, 3):
        raise ValueError(f"`rank` must be 2 or 3; received {rank!r}")
    if modalities is not None:
        modalities = () if isinstance(modalities, str) else tuple(modalities)
        if len({m.lower() for m in modalities}) != 2 or len(modalities) != 2 or not all(modalities):
            raise ValueError(f"`modalities` must be two different names; received {modalities!r}")
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    return modalities


def _refuse(what: str, arguments: dict) -> None:
    given = [name for name, value in arguments.items() if value is not None]
    if given:
        raise ValueError(f"`{given[0]}` has no meaning for {what}")


def _mostly_paired(root: Path, modalities: tuple[str, str] | None) -> bool:
    """Whether enough names of one modality match those of the other."""
    names = [image.name for image in named_images(root)]
    modalities = modalities or told_modalities(names, root)
    keys: dict[str, set[str]] = {modality: set() for modality in modalities}
    for name in names:
        modality = modality_of(name, modalities)
        if modality is not None:
            keys[modality].add(key_of(name, modality))
    one, other = keys.values()
    fewer = min(len(one), len(other))
    return fewer > 0 and len(one & other) >= _PAIRED_SHARE * fewer


def _pairs(root: Path, modalities, *, rank: int, **options) -> CrossModal:
    found = modality_files(root, modalities, rank=rank, **options)
    if rank == 3:  # of slices it is known already
        first = {item.key: item for item in found.items[found.modalities[0]]}
        with ThreadPoolExecutor(max_workers=2) as pool:
            check = pool.map(
                lambda item: _require_one_grid(first[item.key], item),
                found.items[found.modalities[1]],
            )
            list(check)
    if options["patient"] is None:
        found = patients_below_parts(found)
    return with_own_split(found)


def _require_one_grid(one: Item, other: Item) -> None:
    grids = []
    for item in (one, other):
        arrays = item.sample.read()
        affine = arrays.affine
        if affine is None:
            affine = np.diag([*arrays.spacing_mm, 1.0])
        grids.append(Grid(item.sample.files[0], affine, arrays.image.shape[:3]))
    require_same_grid(*grids)
