"""Data sets described by a dataset.json: the Medical Segmentation Decathlon's and nnU-Net's."""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path

from kmed.data.nifti import SUFFIXES, check_grids, read_volume
from kmed.data.pairing import files_below, patient_of, stem
from kmed.data.sample import DataError, Sample

_FOLDERS = {"training": ("imagesTr", "labelsTr"), "test": ("imagesTs", "labelsTs")}


def decathlon(
    root: str | os.PathLike,
    *,
    split: str = "training",
    patient: str | Callable[[str], str] | None = None,
) -> list[Sample]:
    """Makes samples of a folder with dataset.json, imagesTr and labelsTr.

    Reference: Antonelli et al., "The Medical Segmentation Decathlon", Nature Communications 13
    (2022): one file per image, channels in its fourth dimension, listed under "training" and
    "test". nnU-Net, https://github.com/MIC-DKFZ/nnUNet, documentation/dataset_format.md: one file
    per channel, `CASE_0000.nii.gz`, `CASE_0001.nii.gz`, and `CASE.nii.gz` for the label.

    Args:
        root: the folder.
        split: "training" or "test"; test images mostly have no labels.
        patient: as in `image_folder`, searched in the case's name; None: every case is a patient
            of its own.

    Returns:
        Samples sorted by id, `image` (D, H, W, C) with the channels in the order of the channel
        numbers, `mask` (D, H, W).

    Raises:
        DataError: if dataset.json is absent or is neither of the two, a file that it names or a
            channel is missing, or the files of a case do not lie on the same grid.
    """
    if split not in _FOLDERS:
        raise ValueError(f"`split` must be 'training' or 'test'; received {split!r}")
    root = Path(root)
    described = _described(root)
    classes = len(decathlon_labels(root))
    if "channel_names" in described or "file_ending" in described:
        cases = _nnunet_cases(root, described, split)
    else:
        cases = _listed_cases(root, described, split)
    return channel_samples(cases, classes=classes, patient=patient)


def decathlon_labels(root: str | os.PathLike) -> tuple[str, ...]:
    """Reads the names of the classes from dataset.json.

    Args:
        root: the folder.

    Returns:
        Names in the order of the class indices, background first.

    Raises:
        DataError: if there are no labels, they are not 0, 1, 2 ... without a gap, or they are
            nnU-Net's regions or its "ignore" label, which kmed does not read.
    """
    path = Path(root) / "dataset.json"
    labels = _described(Path(root)).get("labels")
    if not isinstance(labels, dict) or not labels:
        raise DataError(f'{path}: needs "labels", a table of class names and indices')
    named = {}
    for key, value in labels.items():
        # The Decathlon writes {"1": "liver"}, nnU-Net {"liver": 1}.
        index, name = (key, value) if str(key).isdecimal() else (value, key)
        if isinstance(index, list):
            raise DataError(f"{path}: label {name!r} is a region of several labels; list the "
                            "labels one by one")  # fmt: skip
        if not str(index).isdecimal():
            raise DataError(f"{path}: label {name!r} must have an index; received {index!r}")
        if int(index) in named:
            raise DataError(f"{path}: labels {named[int(index)]!r} and {name!r} share one index")
        named[int(index)] = str(name)
    if "ignore" in named.values():
        raise DataError(f'{path}: has an "ignore" label; kmed needs a class for every voxel')
    if sorted(named) != list(range(len(named))):
        raise DataError(f"{path}: label indices must be 0, 1, 2 ...; received {sorted(named)}")
    return tuple(named[index] for index in range(len(named)))


def channel_cases(images: str | os.PathLike) -> dict[str, tuple[Path, ...]]:
    """Groups the files of a folder in nnU-Net's naming, `CASE_0000.nii.gz`, by case.

    Args:
        images: the folder.

    Returns:
        Case -> files of its channels in order.

    Raises:
        DataError: if the folder is empty, a name does not fit, or a case lacks a channel that
            another has.
    """
    images = Path(images)
    cases: dict[str, dict[int, Path]] = defaultdict(dict)
    for path in files_below(images, SUFFIXES):
        name = stem(path, images, SUFFIXES)
        match = re.fullmatch(r"(.+)_(\d{4})", name)
        if match is None:
            raise DataError(f"{path}: expected CASE_0000.nii.gz, with the channel's four digits")
        case, channel = match.group(1), int(match.group(2))
        if channel in cases[case]:
            raise DataError(f"{path}: {cases[case][channel]} is the same channel of this case")
        cases[case][channel] = path
    if not cases:
        raise DataError(f"{images}: no file that ends in .nii or .nii.gz in this folder")
    count = max(max(channels) for channels in cases.values()) + 1
    for case, channels in cases.items():
        absent = sorted(set(range(count)) - set(channels))
        if absent:
            raise DataError(f"{images}: case {case!r} has no channel {absent[0]:04d}, others have")
    return {case: tuple(channels[i] for i in range(count)) for case, channels in cases.items()}


def channel_samples(
    cases: dict[str, tuple[tuple[Path, ...], Path | None]],
    *,
    classes: int | None,
    patient: str | Callable[[str], str] | None = None,
) -> list[Sample]:
    """Makes samples of cases whose channels lie in one file or in one file each.

    Args:
        cases: case -> (files of its channels, label or None).
        classes: number of classes, background included, or None.
        patient: as in `decathlon`.

    Returns:
        Samples sorted by id.

    Raises:
        DataError: if the files of a case do not lie on the same grid.
    """
    check_grids(list(cases.values()))
    return [
        Sample(
            id=case,
            patient=patient_of(case, channels[0], patient),
            files=tuple(str(path) for path in (*channels, label) if path is not None),
            read=partial(read_volume, channels, label, classes if label is not None else None),
        )
        for case, (channels, label) in sorted(cases.items())
    ]


def _described(root: Path) -> dict:
    path = root / "dataset.json"
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(described, dict):
        raise DataError(f"{path}: must be a JSON object; received {type(described).__name__}")
    return described


def _nnunet_cases(root: Path, described: dict, split: str):
    ending = described.get("file_ending", ".nii.gz")
    if ending not in SUFFIXES:
        raise DataError(f"{root / 'dataset.json'}: `file_ending` must be .nii or .nii.gz here; "
                        f"received {ending!r}; read pictures with image_folder")  # fmt: skip
    images, labels = (root / name for name in _FOLDERS[split])
    cases = channel_cases(images)
    count = len(described.get("channel_names", ()))
    case, channels = next(iter(cases.items()))
    if count and len(channels) != count:
        raise DataError(f"{images}: case {case!r} has {len(channels)} channels, `channel_names` of "
                        f"dataset.json names {count}")  # fmt: skip
    if split == "test" and not labels.is_dir():
        return {case: (channels, None) for case, channels in cases.items()}
    with_labels = {}
    for case, channels in cases.items():
        with_labels[case] = channels, _file(labels / f"{case}{ending}", f"label of case {case!r}")
    return with_labels


def _listed_cases(root: Path, described: dict, split: str):
    path = root / "dataset.json"
    entries = described.get(split)
    if not isinstance(entries, list) or not entries:
        raise DataError(f'{path}: needs a list of images under "{split}" (Decathlon), or '
                        '"channel_names" and "file_ending" (nnU-Net)')  # fmt: skip
    cases = {}
    for entry in entries:
        entry = {"image": entry} if isinstance(entry, str) else entry
        if not isinstance(entry, dict) or not isinstance(entry.get("image"), str):
            raise DataError(f'{path}: each entry of "{split}" must name an image; got {entry!r}')
        if split == "training" and not isinstance(entry.get("label"), str):
            raise DataError(f"{path}: {entry['image']} has no label")
        image = _below(root, entry["image"])
        label = entry.get("label")
        case = stem(image, image.parent, SUFFIXES)
        if case in cases:
            raise DataError(f"{path}: lists case {case!r} twice")
        label = None if label is None else _file(_below(root, label), f"label of case {case!r}")
        cases[case] = _channels(image, case), label
    return cases


def _channels(image: Path, case: str) -> tuple[Path, ...]:
    # nnU-Net 1 lists CASE.nii.gz in dataset.json and stores CASE_0000.nii.gz.
    if image.is_file():
        return (image,)
    ending = image.name[len(case) :]
    channels = []
    while (path := image.with_name(f"{case}_{len(channels):04d}{ending}")).is_file():
        channels.append(path)
    return tuple(channels) or (_file(image, f"image of case {case!r}"),)


def _below(root: Path, name: str) -> Path:
    path = Path(os.path.normpath(root / name))
    if not path.is_relative_to(os.path.normpath(root)):
        raise DataError(f"{root / 'dataset.json'}: names a file outside its folder: {name}")
    return path


def _file(path: Path, what: str) -> Path:
    if not path.is_file():
        raise DataError(f"{path}: no such file; it is the {what}")
    return path
