"""Samples of a list of files of one kind: pictures or NIfTI volumes, each by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from kmed.data.file_kinds import kind_of
from kmed.data.nifti import read_volume
from kmed.data.nifti_grid import grid_of, open_nifti, volume_shape
from kmed.data.pairing import patient_of
from kmed.data.pictures import picture_header, read_picture
from kmed.data.sample import Arrays, DataError, Sample


def image_files(
    named: Sequence[tuple[str, Path]],
    *,
    patient: str | Callable[[str], str] | None = None,
    channels: int | None = None,
) -> list[Sample]:
    """Makes a sample of each file, after a look at its header.

    Args:
        named: id and path of each; all pictures (PNG, JPEG, TIFF), or all NIfTI.
        patient: as in `image_folder`; None: every file is a patient of its own.
        channels: of pictures: 1 makes luminance of colour, 3 repeats grey, None keeps what the
            files have, which must then be the same in all.

    Returns:
        One sample a file, in their order: image `(H, W, C)` or `(D, H, W, C)`, no mask.

    Raises:
        DataError: files of several kinds or channels, or an unreadable header.
        ValueError: if `channels` is neither None nor 1 nor 3, or given for volumes.
    """
    if channels not in (None, 1, 3):
        raise ValueError(f"`channels` must be None, 1 or 3; received {channels!r}")
    kind = kind_of(named[0][1]) if named else None
    for _, path in named:
        if kind_of(path) not in ("picture", "nifti") or kind_of(path) != kind:
            raise DataError(f"{path}: not of the kind of {named[0][1]}; a data set has one kind")
    if kind == "nifti" and channels is not None:
        raise ValueError("`channels` is for pictures; volumes keep the channels they have")
    with ThreadPoolExecutor() as pool:  # reading headers waits for the disk
        look = _picture_channels if kind == "picture" else _volume_channels
        found = list(pool.map(look, [path for _, path in named]))
    for (_, path), count in zip(named, found, strict=True):
        if channels is None and count != found[0]:
            advice = "; pass channels=1 or channels=3 to make them alike"
            raise DataError(
                f"{path}: has {count} channel(s), {named[0][1]} has {found[0]}"
                + advice * (kind == "picture")
            )
    return [
        Sample(
            id=key,
            patient=patient_of(key, path, patient),
            files=(str(path),),
            read=partial(_read_picture, path, channels)
            if kind == "picture"
            else partial(read_volume, (path,), None, None),
        )
        for key, path in named
    ]


def _picture_channels(path: Path) -> int:
    return picture_header(path).channels


def _volume_channels(path: Path) -> int:
    image = open_nifti(path)
    grid_of(image, path)
    shape = volume_shape(image.shape, path)
    return shape[3] if len(shape) == 4 else 1


def _read_picture(path: Path, channels: int | None) -> Arrays:
    return Arrays(read_picture(path, channels=channels), None, (1.0, 1.0), None)
