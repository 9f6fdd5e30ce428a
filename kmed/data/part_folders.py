"""Folders called train, val and test above or below those of two modalities."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from kmed.data.items import CrossModal
from kmed.data.label_kinds import official_split, split_part

# As CycleGAN's own data sets are laid out: trainA, trainB, testA, testB.
_FUSED = re.compile(r"(?i)^([a-z]+?)[ _-]?([AB])$")


def fused(folder: str) -> tuple[str, int] | None:
    """Reads the name of a folder of CycleGAN's own data sets.

    Args:
        folder: such as "trainA" or "test_b".

    Returns:
        "train", "validation" or "test", and 0 for A or 1 for B; None for any other name.

    Example:
        >>> fused("trainA"), fused("val_b"), fused("data")
        (('train', 0), ('validation', 1), None)
    """
    match = _FUSED.match(folder)
    part = split_part(match[1]) if match else None
    return (part, "AB".index(match[2].upper())) if part else None


def parted(name: str, modalities: Sequence[str]) -> str:
    """Parts such a folder's name in two: one for the part of the split and one for the modality.

    Args:
        name: path below the data set's folder.
        modalities: what A and B are called.

    Returns:
        The name; any other name as it is.

    Example:
        >>> parted("trainB/7", ("t1", "t2")), parted("t2/7", ("t1", "t2"))
        ('train/t2/7', 't2/7')
    """
    folder, slash, rest = name.partition("/")
    found = fused(folder) if slash else None
    return f"{found[0]}/{modalities[found[1]]}/{rest}" if found else name


def patient_of_key(key: str) -> str:
    """Gives the outermost folder of a key, below the one of a part of the split; or the key.

    Args:
        key: what names of matching files share.

    Returns:
        The patient, with the part's folder: numbers often begin anew in each.

    Example:
        >>> patient_of_key("p07/scan"), patient_of_key("train/p07/scan"), patient_of_key("val/3")
        ('p07', 'train/p07', 'val/3')
    """
    folders = key.split("/")
    return "/".join(folders[: 2 if split_part(folders[0]) else 1])


def patients_below_parts(found: CrossModal) -> CrossModal:
    """Corrects patients that were taken for the folder of a part of the split.

    Args:
        found: items whose study is what the names of matching files share.

    Returns:
        The same, where "train" was the patient with the folder or file below it instead.
    """
    samples = {sample.id: sample for sample in found.samples}
    items = {}
    for modality, of in found.items.items():
        items[modality] = []
        for item in of:
            sample, folder = samples[item.sample.id], item.study.split("/")[0]
            if sample.patient == folder and split_part(folder):
                sample = replace(sample, patient=patient_of_key(item.study))
                samples[sample.id] = sample
            items[modality].append(replace(item, sample=sample, patient=sample.patient))
    return replace(found, items={name: tuple(of) for name, of in items.items()})


def with_own_split(found: CrossModal) -> CrossModal:
    """Adds the split that the folders above the images tell.

    Args:
        found: items whose samples' ids are their paths.

    Returns:
        The same with a split; without one where not every sample lies in the folder of a part, or
        all lie in one.

    Raises:
        DataError: if there is no part for training.
    """
    parts = [_part(sample.id) for sample in found.samples]
    if None in parts:
        return found
    return replace(found, split=official_split(found.samples, parts))


def _part(name: str) -> str | None:
    for folder in name.split("/")[:-1]:
        told = fused(folder)
        if part := told[0] if told else split_part(folder):
            return part
    return None
