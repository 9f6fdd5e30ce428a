"""Everything in a folder that is an image, by name, before any of it is opened for its pixels."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kmed.data.class_folders import named_by_path
from kmed.data.file_kinds import dicom_by_content, kind_of
from kmed.data.image_files import image_files
from kmed.data.pairing import files_below
from kmed.data.sample import DataError, Sample

if TYPE_CHECKING:
    from kmed.data.dicom.slices import SliceHeader

_OPENED = 200  # files without a telling suffix that are opened to see whether there is DICOM


class NamedImage(NamedTuple):
    """A file, or the files of a DICOM series.

    Attributes:
        name: path below the folder without suffix; of a series the path of its own folder.
        kind: "picture", "nifti", "dicom series" or "dicom picture".
        source: the file, or the headers of the DICOM files.
    """

    name: str
    kind: str
    source: Path | tuple[SliceHeader, ...]

    @property
    def is_volume(self) -> bool:
        """Whether it has slices."""
        return self.kind in ("nifti", "dicom series")


def named_images(root: Path) -> list[NamedImage]:
    """Lists the pictures, the NIfTI files and the DICOM series or pictures below a folder.

    Args:
        root: the folder, searched with its subfolders.

    Returns:
        The images, sorted by name.

    Raises:
        DataError: if there are none, or DICOM that cannot be read.
    """
    files = files_below(root, ("",))
    pictures = [path for path in files if kind_of(path) in ("picture", "nifti")]
    named = [NamedImage(name, kind_of(path), path) for name, path in named_by_path(pictures, root)]
    untold = (path for path in files if kind_of(path) is None and path.suffix in ("", ".ima"))
    if any(kind_of(path) == "dicom" for path in files) or any(
        map(dicom_by_content, islice(untold, _OPENED))
    ):
        named += _dicom(root)
    if not named:
        raise DataError(f"{root}: holds no pictures, NIfTI or DICOM files")
    return sorted(named, key=lambda image: image.name)


def named_samples(
    images: Sequence[NamedImage],
    root: Path,
    *,
    patient: str | Callable[[str], str] | None = None,
    channels: int | None = None,
) -> list[Sample]:
    """Makes samples of images of one kind.

    Args:
        images: from `named_images`.
        root: the folder that they were found in.
        patient: as in `image_folder`; None: the Patient ID of DICOM, else every file is a patient
            of its own.
        channels: as in `image_files`, for pictures.

    Returns:
        One sample an image, in their order.

    Raises:
        DataError: as `image_files` and `dicom_samples`.
        ValueError: if `channels` is given for DICOM, or is neither None nor 1 nor 3.
    """
    if not images[0].kind.startswith("dicom"):
        files = [(image.name, image.source) for image in images]
        return image_files(files, patient=patient, channels=channels)
    if channels is not None:
        raise ValueError("`channels` is for PNG, JPEG and TIFF; DICOM keeps the channels it has")
    from kmed.data.dicom.images import dicom_samples  # slow to import, rarely needed

    return dicom_samples([image.source for image in images], root, patient=patient)


def _dicom(root: Path) -> list[NamedImage]:
    from kmed.data.dicom.images import images_of
    from kmed.data.dicom.slices import image_headers  # slow to import, rarely needed

    named = []
    for group in images_of(image_headers(root)):
        # A file of one slice is a picture: whether it is one of many of a volume shows in the rest.
        path = group[0].path
        if len(group) > 1:
            folder = Path(os.path.commonpath([header.path.parent for header in group]))
            below = folder.relative_to(root).as_posix() if folder != root else folder.resolve().name
            named.append(NamedImage(below, "dicom series", group))
        else:
            below = path.relative_to(root)
            below = below.with_suffix("") if below.suffix.lower() in (".dcm", ".dicom") else below
            named.append(NamedImage(below.as_posix(), "dicom picture", group))
    counts = Counter(image.name for image in named)
    return [
        image._replace(name=f"{image.name}/{image.source[0].series_uid}")
        if counts[image.name] > 1
        else image
        for image in named
    ]
