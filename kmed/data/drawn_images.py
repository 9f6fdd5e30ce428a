"""From the images that annotations name to samples: found, measured by their headers, read."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from kmed.data.class_folders import named_by_path
from kmed.data.drawn_boxes import DrawnImage, DrawnSet
from kmed.data.file_kinds import kind_of
from kmed.data.image_files import image_files
from kmed.data.image_lookup import ImageLookup
from kmed.data.pictures import picture_header, read_picture
from kmed.data.sample import Arrays, DataError, Sample

if TYPE_CHECKING:
    from kmed.data.dicom.slices import SliceHeader


def find_image(
    lookup: ImageLookup, keys: Sequence[str], where: str, attribute: str | None = None
) -> Path | SliceHeader:
    """Finds the one flat image that an annotation names.

    Args:
        lookup: of the folder of images.
        keys: what it may be called, the best first; empty ones are passed over.
        where: file and line of the annotation, for error messages.
        attribute: as in `ImageLookup.find`.

    Returns:
        The path of a picture, or the header of a DICOM file.

    Raises:
        DataError: if there is none, several, or a volume.
    """
    refusals = []
    for key in dict.fromkeys(filter(None, keys)):
        try:
            found = lookup.find(key, where, attribute)
        except DataError as error:
            refusals.append(error)
            continue
        flat = found[0] if isinstance(found[0], Path) else found[0][0]
        if len(found) > 1 or (found[0] is not flat and len(found[0]) > 1):
            raise DataError(
                f"{where}: {key!r} names {max(len(found), len(found[0]))} images; boxes are drawn "
                "on one: name its file or its SOP Instance UID"
            )
        if isinstance(flat, Path) and kind_of(flat) == "nifti":
            raise DataError(f"{where}: {flat} is a volume; boxes are drawn on pictures and slices")
        return flat
    raise refusals[0] if refusals else DataError(f"{where}: names no image")


def count_left_out(where: Path, lookup: ImageLookup, drawn: Sequence[DrawnImage]) -> None:
    """Warns of images that lie beside those of a data set and have no annotation.

    Other slices of a series with an annotated slice are not counted.

    Args:
        where: the annotations.
        lookup: of the folder of images.
        drawn: the images of the data set.
    """
    named = [i.image if isinstance(i.image, Path) else (i.image,) for i in drawn]
    beside = len(lookup.images_beside(named)) - len(named)
    if beside > 0:
        warnings.warn(
            f"{where}: {beside} images beside the {len(named)} annotated ones have no annotation "
            "and are left out",
            stacklevel=4,
        )


def drawn_samples(
    drawn: DrawnSet,
    *,
    patient: str | Callable[[str], str] | None = None,
    channels: int | None = None,
) -> tuple[list[Sample], list[tuple[int, int]]]:
    """Makes a sample of each image, still without objects, and measures it by its header.

    Args:
        drawn: the images.
        patient: as in `image_folder`; None: what the annotations say, or the Patient ID of DICOM;
            every other picture is a patient of its own.
        channels: as in `image_files`, for pictures.

    Returns:
        The samples in the order of the images, and (height, width) of what each reads.

    Raises:
        ValueError: if `channels` is given for DICOM.
        DataError: pictures beside DICOM; pictures that viewers turn, where it is unknown whether
            the boxes were drawn before or after turning.
    """
    images = drawn.images
    paths = [image.path for image in images]
    if patient is None and any(image.patient is not None for image in images):
        patients = {str(image.path): image.patient for image in images}
        patient = patients.__getitem__
    root = drawn.root
    if root is None:
        root = Path(os.path.commonpath([path.parent for path in paths]))
    if not isinstance(images[0].image, Path):
        from kmed.data.dicom.images import dicom_samples  # slow to import, rarely needed

        if channels is not None:
            raise ValueError("`channels` is for pictures; DICOM keeps the channels that it has")
        for image in images:
            _require_dicom(image, images[0])
        samples = dicom_samples([(image.image,) for image in images], root, patient=patient)
        return samples, [image.image.shape for image in images]
    for image in images:
        _require_picture(image, images[0])
    samples = image_files(named_by_path(paths, root), patient=patient, channels=channels)
    with ThreadPoolExecutor() as pool:  # reading headers waits for the disk
        sizes = list(pool.map(_size, images))
    reads = [
        partial(_read, path, channels, size != picture)
        for path, (size, picture) in zip(paths, sizes, strict=True)
    ]
    samples = [replace(sample, read=read) for sample, read in zip(samples, reads, strict=True)]
    return samples, [size for size, _ in sizes]


def _require_dicom(image: DrawnImage, first: DrawnImage) -> None:
    if isinstance(image.image, Path):
        raise DataError(f"{image.file}: {image.path} is no DICOM file, {first.path} is one")


def _require_picture(image: DrawnImage, first: DrawnImage) -> None:
    if not isinstance(image.image, Path):
        raise DataError(f"{image.file}: {image.path} is a DICOM file, {first.path} is none")


def _size(drawn: DrawnImage) -> tuple[tuple[int, int], tuple[int, int]]:
    """Gives (height, width) of the picture that the boxes were drawn on, and as it is stored."""
    header = picture_header(drawn.path)
    height, width = header.size
    if header.orientation in (0, 1):
        return header.size, header.size
    turned = (width, height)
    if header.orientation >= 5 and height != width and drawn.size == turned:
        return turned, header.size  # the annotation program showed it upright
    raise DataError(
        f"{drawn.path}: its EXIF orientation {header.orientation} asks viewers to turn it, and "
        f"whether the boxes in {drawn.file} were drawn before or after turning is unknown; save "
        "it upright (PIL.ImageOps.exif_transpose) and check its boxes"
    )


def _read(path: Path, channels: int | None, upright: bool) -> Arrays:
    # What PNG says of its orientation shows only when it is decoded: turned it is refused.
    return Arrays(read_picture(path, channels=channels, upright=upright), None, (1.0, 1.0), None)
