"""Images of two modalities that need not match: each modality by itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from kmed.data.items import CrossModal, Item, whole_items
from kmed.data.label_kinds import split_part
from kmed.data.modality_names import guessed_modalities, key_of, modality_of
from kmed.data.named_images import NamedImage, named_images, named_samples
from kmed.data.paired_volumes import LEAST_FOREGROUND, slice_items
from kmed.data.part_folders import fused, parted, patient_of_key, with_own_split
from kmed.data.sample import DataError, Sample


def unpaired_files(
    root: Path,
    modalities: Sequence[str] | None = None,
    *,
    matched: bool = False,
    patient: str | Callable[[str], str] | None = None,
    channels: int | None = None,
    rank: int = 2,
    every_mm: float | None = None,
    least_foreground: float = LEAST_FOREGROUND,
) -> CrossModal:
    """Makes items of pictures, NIfTI or DICOM series of two modalities, none of which match.

    Args:
        root: two folders, called like the modalities; or trainA, trainB, testA, testB, as
            CycleGAN's own data sets are laid out; or names that tell the modality otherwise, see
            `modality_files`. Files of neither modality are passed over.
        modalities: two names; None: those that the names tell, or those of the two folders; of
            trainA, trainB, ... "a" and "b".
        matched: pictures of one name match, and others are left out.
        patient: as in `cross_modal`; None: the Patient ID of DICOM; else the outermost folder
            without the modality, or the name. Equal names in both modalities are one patient, so
            that no split parts them.
        channels: as in `cross_modal`.
        rank: as in `cross_modal`.
        every_mm: as in `cross_modal`.
        least_foreground: as in `cross_modal`.

    Returns:
        The items; no key of one modality is one of the other, unless they are matched. With the
        split that folders called train, val and test tell.

    Raises:
        DataError: a modality without images or with images of two kinds, or no pictures that match.
        ValueError: if an argument is out of range.
    """
    named = named_images(root)
    if modalities is None:
        modalities = told_modalities([image.name for image in named], root)
    modalities = tuple(modalities)
    groups: dict[str | None, list[NamedImage]] = defaultdict(list)
    for image in named:
        groups[modality_of(parted(image.name, modalities), modalities)].append(image)
    items: dict[str, tuple[Item, ...]] = {}
    for modality in modalities:
        images = groups[modality]
        _require_one_kind(images, modality, named, root)
        samples = named_samples(images, root, patient=patient, channels=channels)
        keys = [key_of(parted(image.name, modalities), modality) for image in images]
        if patient is None and not images[0].kind.startswith("dicom"):
            samples = [
                replace(sample, patient=patient_of_key(key))
                for sample, key in zip(samples, keys, strict=True)
            ]
        items[modality] = _items(samples, keys, modality, images[0].is_volume, rank, root, {
            "every_mm": every_mm, "least_foreground": least_foreground,
        })  # fmt: skip
    found = CrossModal(modalities=modalities, items=items)
    return with_own_split(_only_pairs(found, root) if matched else apart(found))


def told_modalities(names: Sequence[str], root: Path) -> tuple[str, str]:
    """Finds the two modalities that names tell, whether or not names of one match the other's.

    Args:
        names: paths below the data set's folder without suffix.
        root: the folder, for error messages.

    Returns:
        "a" and "b" of trainA, trainB, ...; two folders that hold all images and share no name;
        else as `guessed_modalities`.

    Raises:
        DataError: if there are not two.

    Example:
        >>> told_modalities(["trainA/1", "testB/7"], Path("set"))
        ('a', 'b')
        >>> told_modalities(["mr/x", "ct/y", "ct/z"], Path("set"))
        ('ct', 'mr')
    """
    below: dict[str, set[str]] = defaultdict(set)
    for name in names:
        folder, slash, rest = name.partition("/")
        below[folder if slash else ""].add(rest)
    if any(fused(folder) for folder in below):
        return ("a", "b")
    if len(below) == 2 and "" not in below and not set.intersection(*below.values()):
        first, second = sorted(below)
        if not (split_part(first) or split_part(second)):
            return first, second
    return guessed_modalities(names, str(root))


def apart(found: CrossModal) -> CrossModal:
    """Gives the same items with keys that no item of the other modality has.

    Args:
        found: items of two modalities.

    Returns:
        The items, none of which match.

    Example:
        >>> item = Item(id="1", patient="p", study="p", key="p", text="")
        >>> found = apart(CrossModal(modalities=("a", "b"), items={"a": (item,), "b": (item,)}))
        >>> [item.key for items in found.items.values() for item in items]
        ['a: p', 'b: p']
    """
    items = {
        name: tuple(replace(item, key=f"{name}: {item.key}") for item in of)
        for name, of in found.items.items()
    }
    return replace(found, items=items)


def _require_one_kind(images, modality, named, root) -> None:
    if not images:
        raise DataError(
            f"{root}: no image of modality {modality!r} among {len(named)}, first "
            f"{named[0].name!r}; a folder or a part of the name must be called so"
        )
    for image in images:
        if image.kind != images[0].kind:
            raise DataError(
                f"{root}: the images of {modality} are of two kinds, {images[0].name} "
                f"({images[0].kind}) and {image.name} ({image.kind}); move one of them out of "
                "the folder"
            )


def _items(
    samples: list[Sample],
    keys: list[str],
    modality: str,
    volumes: bool,
    rank: int,
    root: Path,
    slices: dict,
) -> tuple[Item, ...]:
    if rank == 3 and not volumes:
        raise DataError(f"{root}: rank=3 takes volumes; there are pictures")
    if rank == 2 and volumes:
        return tuple(slice_items(samples, **slices))
    studies = [(key, {modality: [sample]}) for key, sample in zip(keys, samples, strict=True)]
    return whole_items(studies)[modality]


def _only_pairs(found: CrossModal, root: Path) -> CrossModal:
    shared = set.intersection(*({item.key for item in of} for of in found.items.values()))
    if not shared:
        first = " and ".join(repr(min(item.key for item in of)) for of in found.items.values())
        raise DataError(
            f"{root}: no pairs; no name of {found.modalities[0]} is one of {found.modalities[1]}, "
            f"the first are {first}"
        )
    items = {
        name: tuple(sorted((i for i in of if i.key in shared), key=lambda item: item.key))
        for name, of in found.items.items()
    }
    return replace(found, items=items)
