"""Pictures that hold two modalities side by side, as Pix2Pix's own data sets do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from kmed.data.image_files import image_files
from kmed.data.items import CrossModal, whole_items
from kmed.data.named_images import named_images
from kmed.data.part_folders import with_own_split
from kmed.data.pictures import picture_header
from kmed.data.sample import Arrays, DataError, Sample

_HALVES = ("left", "right")


def side_by_side(
    root: Path,
    modalities: Sequence[str] | None = None,
    *,
    patient: str | Callable[[str], str] | None = None,
    channels: int | None = None,
) -> CrossModal:
    """Makes a pair of items of the two halves of each picture.

    Reference: Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial
    Networks"; its data sets (facades, maps, ...) have folders train, val and test of such pictures.

    Args:
        root: the folder.
        modalities: what the left and the right half are called; None: "left" and "right". If it is
            ("right", "left"), the right half is the source.
        patient: as in `image_folder`; None: every picture is a patient of its own.
        channels: as in `image_files`.

    Returns:
        The items, sorted by key, with the split that folders called train, val and test tell.

    Raises:
        DataError: if there are no pictures, or one's width is odd.
        ValueError: as `image_files`.
    """
    modalities = tuple(modalities or _HALVES)
    turned = tuple(name.lower() for name in modalities) == _HALVES[::-1]
    images = [image for image in named_images(root) if image.kind == "picture"]
    if not images:
        raise DataError(f"{root}: holds no pictures (PNG, JPEG, TIFF) of two halves")
    for image in images:
        width = picture_header(image.source).size[1]
        if width % 2:
            raise DataError(f"{image.source}: two halves need an even width; it has {width} pixels")
    files = [(image.name, image.source) for image in images]
    studies = [
        (
            sample.id,
            {
                name: [replace(sample, id=f"{sample.id}-{name}", read=partial(_half, sample, half))]
                for name, half in zip(modalities, (1, 0) if turned else (0, 1), strict=True)
            },
        )
        for sample in image_files(files, patient=patient, channels=channels)
    ]
    return with_own_split(CrossModal(modalities=modalities, items=whole_items(studies)))


def _half(sample: Sample, which: int) -> Arrays:
    arrays = sample.read()
    width = arrays.image.shape[1]
    if width % 2:  # EXIF may have turned the picture
        raise DataError(f"{sample.files[0]}: two halves need an even width; it has {width} pixels")
    part = slice(which * width // 2, (which + 1) * width // 2)
    return arrays._replace(image=arrays.image[:, part])
