"""Folders of pictures: PNG, JPEG and TIFF, with or without masks."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from kmed.data.masks import check_classes, class_indices
from kmed.data.pairing import pair, patient_of, require_patients
from kmed.data.pictures import SUFFIXES, picture_header, read_mask_picture, read_picture
from kmed.data.sample import Arrays, DataError, Sample


def image_folder(
    images: str | os.PathLike,
    masks: str | os.PathLike | None = None,
    *,
    classes: int | None = None,
    mask_values: Mapping[int, int] | None = None,
    patient: str | Callable[[str], str] | None = None,
    channels: int | None = None,
    label: Callable[[str], int] | None = None,
) -> list[Sample]:
    r"""Makes samples of a folder of pictures and a folder of masks of the same names.

    A mask has its image's name, or that name with `_mask`, `-mask`, `_seg` or the like behind it;
    both may lie in one folder. Values are kept as stored, 16 bits included. A picture with an EXIF
    orientation is turned upright as viewers show it; one with a mask is refused instead, because
    programs differ in whether they turn a picture before a mask is drawn on it.

    Args:
        images: folder of PNG, JPEG or TIFF files, searched with its subfolders, or one file.
        masks: folder of masks, or one file, or None.
        classes: number of classes, background included. None means two for masks; a mask of two
            classes may hold 0 and 1, or 0 and 255.
        mask_values: stored value -> class index, for instance `{0: 0, 128: 1, 255: 2}`.
        patient: a regular expression with one group that finds the patient in the file's name
            without suffix (with its subfolders: `subfolder/name`), such as `r"(P\d+)_"`; or a
            function of the path. None: every picture is a patient of its own.
        channels: 1 makes luminance of colour, 3 repeats grey, None keeps what the files have, which
            must then be the same in all.
        label: a function of the path that returns the class of the whole picture.

    Returns:
        Samples sorted by id, `image` (H, W, 1) or (H, W, 3), `mask` (H, W).

    Raises:
        DataError: if a folder is empty, a mask is missing, sizes differ, a file is unreadable. What
            only shows when decoded (values that are no class, truncated files) is raised by
            `Sample.read`.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> folder = Path(tempfile.mkdtemp())
        >>> Image.new("L", (6, 4), 255).save(folder / "a.png")
        >>> Image.new("L", (6, 4), 255).save(folder / "a_mask.png")
        >>> [sample] = image_folder(folder, masks=folder)
        >>> sample.id, sample.read().image.shape, int(sample.read().mask.max())
        ('a', (4, 6, 1), 1)
    """
    if channels not in (None, 1, 3):
        raise ValueError(f"`channels` must be None, 1 or 3; received {channels!r}")
    if masks is not None and classes is None and mask_values is None:
        classes = 2
    check_classes(classes, mask_values)
    pairs = pair(images, masks, SUFFIXES)
    require_patients(pairs, patient)
    with ThreadPoolExecutor() as pool:  # reading headers waits for the disk
        kinds = list(pool.map(_checked, *zip(*((i, m) for _, i, m in pairs), strict=True)))
    for (_, image, _), kind in zip(pairs, kinds, strict=True):
        if channels is None and kind != kinds[0]:
            raise DataError(
                f"{image}: has {kind} channel(s), {pairs[0][1]} has {kinds[0]}; pass channels=1 "
                "or channels=3 to make them alike"
            )
    return [
        Sample(
            id=key,
            patient=patient_of(key, image, patient),
            files=tuple(str(path) for path in (image, mask) if path is not None),
            read=partial(_read, image, mask, classes, mask_values, channels),
            label=None if label is None else int(label(str(image))),
        )
        for key, image, mask in pairs
    ]


def _checked(image: Path, mask: Path | None) -> int:
    header = picture_header(image)
    if mask is not None:
        size = picture_header(mask).size
        if size != header.size:
            raise DataError(_size_message(image, header.size, mask, size))
    return header.channels


def _read(
    image: Path,
    mask: Path | None,
    classes: int | None,
    mask_values: Mapping[int, int] | None,
    channels: int | None,
) -> Arrays:
    array = read_picture(image, channels=channels, upright=mask is None)
    if mask is None:
        return Arrays(array, None, (1.0, 1.0), None)
    indices = class_indices(
        read_mask_picture(mask),
        str(mask),
        classes=classes,
        mask_values=mask_values,
        binary_255=True,
    )
    if indices.shape != array.shape[:2]:
        raise DataError(_size_message(image, array.shape[:2], mask, indices.shape))
    return Arrays(array, indices, (1.0, 1.0), None)


def _size_message(image: Path, size, mask: Path, mask_size) -> str:
    return (
        f"{mask}: a mask is as large as its image; it has {mask_size[0]} x {mask_size[1]} pixels "
        f"(height x width), {image} has {size[0]} x {size[1]}"
    )
