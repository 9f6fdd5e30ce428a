"""Images of two modalities whose folders or names tell which, matched by what is left of them."""

from __future__ import annotations

import os
import re
import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from kmed.data.items import CrossModal, Studies, whole_items
from kmed.data.label_kinds import encoded
from kmed.data.modality_names import guessed_modalities, key_of, modality_of
from kmed.data.named_images import NamedImage, named_images, named_samples
from kmed.data.paired_volumes import LEAST_FOREGROUND, paired_slices
from kmed.data.sample import DataError, Sample


def modality_files(
    root: str | os.PathLike,
    modalities: Sequence[str] | None = None,
    *,
    patient: str | Callable[[str], str] | None = None,
    key: str | None = None,
    label: str | None = None,
    labels: Sequence[str] | None = None,
    rank: int = 2,
    channels: int | None = None,
    every_mm: float | None = None,
    least_foreground: float = LEAST_FOREGROUND,
) -> CrossModal:
    r"""Makes items of pictures, NIfTI or DICOM series, as `kmed.data.cross_modal` explains.

    The path below `root` without suffix, of DICOM the path of a series' folder, tells the modality
    as a folder or a part of the name: `p07/t1/*.dcm`, `t1/p07.png`, `p07_t1.nii.gz`. What is left
    is the key. Files of neither modality are passed over; a warning counts those without partner.

    Args:
        root: the folder.
        modalities: two names; None: those that the names tell.
        patient: as in `cross_modal`.
        key: as in `cross_modal`.
        label: as in `cross_modal`.
        labels: as in `cross_modal`.
        rank: as in `cross_modal`.
        channels: as in `cross_modal`.
        every_mm: as in `cross_modal`.
        least_foreground: as in `cross_modal`.

    Returns:
        The items, sorted by key.

    Raises:
        DataError: a modality without images, no pairs, two volumes for one key, two volumes of a
            pair on different grids.
        ValueError: if an argument is out of range.
    """
    root = Path(root)
    named = named_images(root)
    names = [image.name for image in named]
    modalities = tuple(modalities or guessed_modalities(names, str(root)))
    found: dict[str, list[NamedImage]] = {modality: [] for modality in modalities}
    for image in named:
        modality = modality_of(image.name, modalities)
        if modality is not None:
            found[modality].append(image)
    for modality, images in found.items():
        if not images:
            raise DataError(
                f"{root}: no image of modality {modality!r} among {len(named)}, first "
                f"{names[0]!r}; a folder or a part of the name must be called so"
            )
    groups = {m: _by_key(images, m, key, root) for m, images in found.items()}
    shared = _shared(groups, modalities, root)
    studies = [(k, {}) for k in shared]
    for m in modalities:
        several = _samples([(k, i) for k in shared for i in groups[m][k]], root, patient, channels)
        for k, of in studies:
            of[m] = several[k]
    _require_one_patient(studies)
    studies, names = _labelled(studies, label, labels)
    volumes = [found[m][0].is_volume for m in modalities]
    if rank == 3 and not all(volumes):
        raise DataError(f"{root}: rank=3 takes volumes; there are pictures")
    if rank == 2 and any(volumes):
        if not all(volumes):
            raise DataError(f"{root}: volumes of one modality and pictures of the other; slices "
                            "match volumes only")  # fmt: skip
        items = paired_slices(
            [(k, {m: _only(of[m], k) for m in modalities}) for k, of in studies],
            every_mm=every_mm,
            least_foreground=least_foreground,
            label_of=lambda sample: sample.label,
        )
    else:
        items = whole_items(studies)
    return CrossModal(modalities=modalities, items=items, labels=names)


def _by_key(
    images: list[NamedImage], modality: str, pattern: str | None, root: Path
) -> dict[str, list[NamedImage]]:
    kinds = {image.kind: image for image in images}
    if len(kinds) > 1:
        one, other = sorted(kinds.values(), key=lambda image: image.kind)[:2]
        raise DataError(
            f"{root}: the images of {modality} are of two kinds, {one.name} ({one.kind}) and "
            f"{other.name} ({other.kind}); move one of them out of the folder"
        )
    groups: dict[str, list[NamedImage]] = defaultdict(list)
    for image in images:
        if pattern is None:
            key = key_of(image.name, modality) or root.resolve().name
        else:
            key = _searched(pattern, image.name, "key")
        groups[key].append(image)
    return groups


def _shared(
    groups: dict[str, dict[str, list[NamedImage]]], modalities: tuple[str, ...], root: Path
) -> list[str]:
    """The keys that both modalities have."""
    one, other = (groups[m] for m in modalities)
    shared = sorted(one.keys() & other.keys())
    if not shared:
        raise DataError(
            f"{root}: no pairs; {len(one)} keys of {modalities[0]}, first {min(one)!r}, none of "
            f"which is among the {len(other)} of {modalities[1]}, first {min(other)!r}; say what "
            r"matching names share, such as key=r'(\d+)'"
        )
    left_out = len(one) + len(other) - 2 * len(shared)
    if left_out:
        lonely = min(one.keys() ^ other.keys())
        warnings.warn(
            f"{root}: {left_out} keys have images of one modality only, first {lonely!r}; they are "
            "left out",
            stacklevel=4,
        )
    return shared


def _samples(
    images: list[tuple[str, NamedImage]],
    root: Path,
    patient: str | Callable[[str], str] | None,
    channels: int | None,
) -> dict[str, list[Sample]]:
    """Samples of one modality by key."""
    listed = [image for _, image in images]
    samples = named_samples(listed, root, patient=patient, channels=channels)
    if patient is None and not listed[0].kind.startswith("dicom"):
        samples = [
            replace(sample, patient=key.split("/")[0])
            for sample, (key, _) in zip(samples, images, strict=True)
        ]
    found: dict[str, list[Sample]] = defaultdict(list)
    for sample, (key, _) in zip(samples, images, strict=True):
        found[key].append(sample)
    return found


def _require_one_patient(studies: Studies) -> None:
    for key, of in studies:
        first, *others = (sample for several in of.values() for sample in several)
        for other in others:
            if other.patient != first.patient:
                raise DataError(
                    f"{other.files[0]}: matches {first.files[0]} by the key {key!r}, but is of "
                    "another patient; correct `key` or `patient`"
                )


def _labelled(
    studies: Studies, pattern: str | None, labels: Sequence[str] | None
) -> tuple[Studies, tuple[str, ...]]:
    """The same with the class that each sample's name tells, and the names of the classes."""
    if pattern is None:
        return studies, ()
    ids = [s.id for _, of in studies for several in of.values() for s in several]
    values = [_searched(pattern, name, "label") for name in ids]
    indices, names = encoded(values, ids, labels=labels)
    index = dict(zip(ids, indices, strict=True))
    labelled = [
        (k, {m: [replace(s, label=index[s.id]) for s in several] for m, several in of.items()})
        for k, of in studies
    ]
    return labelled, names


def _only(samples: Sequence[Sample], key: str) -> Sample:
    if len(samples) > 1:
        raise DataError(
            f"{samples[1].files[0]}: has the key {key!r} of {samples[0].files[0]}; slices match "
            "those of one volume, so give each pair of volumes a key of its own"
        )
    return samples[0]


def _searched(pattern: str, name: str, argument: str) -> str:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"`{argument}` is no regular expression: {pattern!r} ({error})") from error
    if compiled.groups < 1:
        raise ValueError(f"`{argument}` must have a group; received {pattern!r}")
    match = compiled.search(name)
    if match is None or not match.group(1):
        raise DataError(f"`{argument}` {pattern!r} finds nothing in the name {name!r}")
    return match.group(1)
