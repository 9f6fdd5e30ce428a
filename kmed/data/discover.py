"""Chooses the source that reads a path, by looking at what lies there."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from kmed.data import nifti, pictures
from kmed.data.decathlon import channel_cases, channel_samples, decathlon, decathlon_labels
from kmed.data.file_kinds import dicom_by_content, kind_of
from kmed.data.image_folder import image_folder
from kmed.data.masks import check_classes
from kmed.data.nifti import nifti_pairs
from kmed.data.npz import npz
from kmed.data.pairing import MASK_ENDINGS, files_below, stem
from kmed.data.sample import DataError, Sample

_IMAGE_FOLDERS = ("imagestr", "images", "image", "imgs", "img")
_MASK_FOLDERS = ("labelstr", "masks", "mask", "labels", "label", "segmentations", "annotations")
# How many files without a telling suffix are opened to see whether they are DICOM.
_OPENED = 200

_UNDERSTOOD = """kmed understands
  images/ with masks/ or labels/: PNG, JPEG, TIFF or NIfTI of the same names
  a folder of such images, with NAME_mask or NAME_seg beside NAME, or without masks
  imagesTr/ with labelsTr/, with or without dataset.json (Medical Segmentation Decathlon, nnU-Net)
  a folder, a zip archive or a DICOMDIR of DICOM files, or a folder that kmed.data.phantoms wrote
  one .npz file (MedMNIST), one image, one volume"""


def discover(
    path: str | os.PathLike,
    *,
    classes: int | None = None,
    patient: str | Callable[[str], str] | None = None,
) -> list[Sample]:
    """Makes samples of whatever lies at a path.

    Args:
        path: a file or a folder: pictures, NIfTI, DICOM, .npz, a Decathlon or nnU-Net data set, or
            phantoms.
        classes: number of classes, background included; None takes what the data set says of
            itself, see the sources.
        patient: how pictures and NIfTI files tell their patient, see `image_folder`; DICOM and
            phantoms say it themselves, and .npz knows none.

    Returns:
        The samples of the source that fits: `image_folder`, `nifti_pairs`, `decathlon`, `npz`,
        `dicom_images`, `dicom_series` or `phantom_source`.

    Raises:
        DataError: if no source fits, or several do; the message says what was found.
    """
    check_classes(classes)
    path = Path(path)
    if path.is_file():
        return _from_file(path, classes, patient)
    if not path.is_dir():
        raise DataError(f"{path}: no such file or folder")
    if (path / "dataset.json").is_file():
        return _from_description(path, classes, patient)
    images = _subfolder(path, _IMAGE_FOLDERS)
    if images is None:
        return _from_images(path, None, classes, patient)
    masks = _subfolder(path, _MASK_FOLDERS)
    if masks is None and any((path / name).is_dir() for name in ("imagesTs", "labelsTs")):
        raise DataError(f"{path}: has {images.name} but no labelsTr")
    return _from_images(images, masks, classes, patient)


def _from_file(path: Path, classes: int | None, patient) -> list[Sample]:
    if path.name == "dataset.json":
        return _from_description(path.parent, classes, patient)
    if path.suffix.lower() == ".zip" or path.name.upper() == "DICOMDIR":
        return _dicom(path, None)
    kind = kind_of(path) or dicom_by_content(path)
    if kind == "picture":
        return image_folder(path, classes=classes, patient=patient)
    if kind == "nifti":
        return nifti_pairs(path, classes=classes, patient=patient)
    if kind == "npz":
        return npz(path, classes=classes)
    if kind == "dicom":
        return _dicom(path, None)
    raise DataError(f"{path}: a file of a kind that no source reads; {_UNDERSTOOD}")


def _from_description(path: Path, classes: int | None, patient) -> list[Sample]:
    file = path / "dataset.json"
    try:
        described = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read as JSON ({error})") from error
    if isinstance(described, dict) and "kmed" in described:
        from kmed.data.phantoms import phantom_source  # slow to import, rarely needed

        named, samples = described.get("labels", ()), phantom_source(path)
    else:
        named, samples = decathlon_labels(path), decathlon(path, patient=patient)
    if classes is not None and classes != len(named):
        raise DataError(f"{file}: names {len(named)} classes, `classes` is {classes}")
    return samples


def _from_images(images: Path, masks: Path | None, classes: int | None, patient) -> list[Sample]:
    kinds, suffixes = _survey(images)
    if kinds["npz"] and len(kinds) == 1 and masks is None:
        if kinds["npz"] > 1:
            raise DataError(f"{images}: holds {kinds['npz']} .npz files; name one of them")
        return npz(files_below(images, (".npz",))[0], classes=classes)
    if len(kinds) != 1 or kinds["npz"]:
        found = ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common(8))
        what = "more than one kind of images" if kinds else "nothing that a source reads"
        raise DataError(f"{images}: {what}; found {found or 'no files'}; {_UNDERSTOOD}")
    [kind] = kinds
    if kind == "dicom":
        return _dicom(images, masks)
    if masks is None and _has_masks_beside(images, kind):
        masks = images
    if kind == "picture":
        return image_folder(images, masks, classes=classes, patient=patient)
    if masks is not None and _is_nnunet(images, masks):
        found = files_below(masks, nifti.SUFFIXES)
        labels = {stem(path, masks, nifti.SUFFIXES): path for path in found}
        cases = {}
        for case, channels in channel_cases(images).items():
            if case not in labels:
                raise DataError(f"{channels[0]}: no mask called {case} in {masks}")
            cases[case] = channels, labels[case]
        return channel_samples(cases, classes=classes, patient=patient)
    return nifti_pairs(images, masks, classes=classes, patient=patient)


def _dicom(path: Path, masks: Path | None) -> list[Sample]:
    from kmed.data.dicom.samples import dicom_images, dicom_series  # slow, rarely needed

    return dicom_images(path) if masks is None else dicom_series(path, masks=masks)


def _subfolder(path: Path, names: tuple[str, ...]) -> Path | None:
    found = [folder for folder in path.iterdir() if folder.name.lower() in names]
    found = sorted(folder for folder in found if folder.is_dir())
    if len(found) > 1:
        raise DataError(f"{path}: cannot choose between {found[0].name} and {found[1].name}; "
                        "call a source yourself, such as image_folder(images, masks)")  # fmt: skip
    return found[0] if found else None


def _survey(folder: Path) -> tuple[Counter, Counter]:
    """Count the files of each kind and of each suffix."""
    files = files_below(folder, ("",))
    kinds = Counter(filter(None, map(kind_of, files)))
    untold = (path for path in files if kind_of(path) is None and path.suffix in ("", ".ima"))
    kinds.update(filter(None, map(dicom_by_content, islice(untold, _OPENED))))
    return kinds, Counter(path.suffix or "without suffix" for path in files)


def _has_masks_beside(images: Path, kind: str) -> bool:
    suffixes = pictures.SUFFIXES if kind == "picture" else nifti.SUFFIXES
    names = {stem(path, images, suffixes) for path in files_below(images, suffixes)}
    return any(
        name.endswith(e) and name[: -len(e)] in names for name in names for e in MASK_ENDINGS
    )


def _is_nnunet(images: Path, masks: Path) -> bool:
    names = [stem(path, images, nifti.SUFFIXES) for path in files_below(images, nifti.SUFFIXES)]
    labels = {stem(path, masks, nifti.SUFFIXES) for path in files_below(masks, nifti.SUFFIXES)}
    return any(n.endswith("_0000") and n not in labels and n[:-5] in labels for n in names)
