"""DICOM as a classifier takes it: a radiograph, photograph or slice by itself, or a series."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from kmed.data.dicom.attributes import numbers
from kmed.data.dicom.deciding import Decisions, decided
from kmed.data.dicom.display import rgb
from kmed.data.dicom.errors import Damaged, LocalizerRefused, UnsupportedPixels
from kmed.data.dicom.frames import frames_of
from kmed.data.dicom.header import read_dataset
from kmed.data.dicom.hushed import hushed
from kmed.data.dicom.pixel_layout import layout_of
from kmed.data.dicom.pixel_values import frame_values, table_bits
from kmed.data.dicom.pixels import stored
from kmed.data.dicom.series import Series, one_volume, read_volume
from kmed.data.dicom.slices import SliceHeader, by_series
from kmed.data.dicom.typed import typed_errors
from kmed.data.dicom.volumes import Volume, archive_of
from kmed.data.pairing import patient_of
from kmed.data.sample import Arrays, DataError, Sample

# Modalities whose series are volumes; of all others each image stands for itself.
VOLUMES = ("CT", "MR", "PT")
_SUFFIXES = (".dcm", ".dicom")


def images_of(headers: Sequence[SliceHeader]) -> list[tuple[SliceHeader, ...]]:
    """Groups the headers of DICOM files by what one label belongs to.

    Args:
        headers: from `image_headers`.

    Returns:
        The files of each series of CT, MR and PET, and each file of any other modality by itself,
        in order of appearance.
    """
    groups = []
    for group in by_series(list(headers)).values():
        if group[0].modality.upper() in VOLUMES:
            groups.append(tuple(group))
        else:
            groups += [(header,) for header in group]
    return groups


def dicom_samples(
    groups: Sequence[tuple[SliceHeader, ...]],
    root: str | os.PathLike,
    *,
    patient: str | Callable[[str], str] | None = None,
) -> list[Sample]:
    """Makes a sample of each group of DICOM files.

    Args:
        groups: of each sample the headers of its files, from `images_of`. Where all have one file
            they are pictures, else volumes.
        root: folder above all files; a picture's id is its path below it without suffix, a volume's
            id the path of its folder.
        patient: as in `image_folder`; None: the Patient ID in the header.

    Returns:
        One sample a group, in their order: image `(H, W, C)` or `(D, H, W, 1)`, no mask.

    Raises:
        DataError: pictures among volumes; slices that form no volume; files without Patient ID.
    """
    root = Path(root)
    flat = all(len(group) == 1 for group in groups)
    folders = [os.path.commonpath([header.path.parent for header in group]) for group in groups]
    series_in = Counter(folders)
    samples = []
    for group, folder in zip(groups, folders, strict=True):
        path = group[0].path
        series = None
        if flat:
            files, read = (str(path),), partial(read_dicom_picture, str(path))
            name = _below(path, root)
            name = name[: -len(path.suffix)] if path.suffix.lower() in _SUFFIXES else name
        else:
            if group[0].modality.upper() not in VOLUMES:
                raise DataError(
                    f"{path}: a single image of modality {group[0].modality} among volumes; "
                    "a data set holds either pictures or volumes"
                )
            volume = _whole(group)
            files = tuple(dict.fromkeys(str(one.source.path) for one in volume.headers))
            series = partial(read_volume, volume)
            read, name = partial(_arrays, series), _below(Path(folder), root)
            if series_in[folder] > 1:
                name += f"/{group[0].series_uid}"
        samples.append(
            Sample(
                id=name,
                patient=_patient(group, name, patient),
                files=files,
                read=read,
                modality=group[0].modality,
                series=series,
            )
        )
    return samples


def read_dicom_picture(path: str | os.PathLike) -> Arrays:
    """Reads one DICOM file as a picture, with the values that its Modality LUT gives.

    MONOCHROME1, in which small values are shown bright, is turned to MONOCHROME2: stored value v
    of n bits becomes 2**n - 1 - v, so that bone is bright in every radiograph; where there is a
    table of modality values, v is what it gives. Nothing is clipped: neither VOI LUT nor window is
    applied. Palettes and YCbCr become RGB. Rows and columns stay as stored.

    Reference: DICOM PS3.3, C.7.6.3.1.2 (Photometric Interpretation), C.11.1 (Modality LUT).

    Args:
        path: a file with one frame.

    Returns:
        Image `(H, W, 1)`, or `(H, W, 3)` of colour; spacing from Pixel Spacing, else from Imager
        Pixel Spacing, else 1.0; no affine.

    Raises:
        DataError: several frames, half a rescale, damaged or compressed pixels that can't be
            decoded.
    """
    with hushed(), typed_errors(str(path), "it can't be read"):
        return _picture(read_dataset(path, pixels=True), path)


def _picture(ds: Dataset, path: str | os.PathLike) -> Arrays:
    layout = layout_of(ds, str(path))
    if layout.frames > 1:
        raise UnsupportedPixels(
            f"{path}: holds {layout.frames} frames; a label belongs to one image: save the frames "
            "that are meant as files of their own",
            files=[path],
            figures={"frames": layout.frames},
        )
    values, photometric = stored(ds)
    values = values[0]
    if photometric.startswith("MONOCHROME"):
        image = _grey(ds, values, photometric)[..., np.newaxis]
    else:
        image = rgb(ds, values, photometric=photometric)
    spacing_mm = numbers(ds, "PixelSpacing") or numbers(ds, "ImagerPixelSpacing") or (1.0, 1.0)
    if len(spacing_mm) != 2 or not min(spacing_mm) > 0:
        raise Damaged(
            f"{path}: pixels {image.shape} with spacing {spacing_mm} are no picture", files=[path]
        )
    return Arrays(np.ascontiguousarray(image), None, spacing_mm, None)


def _grey(ds: Dataset, values: np.ndarray, photometric: str) -> np.ndarray:
    frame = frames_of(ds)[0]
    kinds = (values.dtype, np.int16, np.uint16, np.int32)
    turned = photometric == "MONOCHROME1"
    bits = table_bits(ds)
    if turned and bits is None and values.dtype.kind != "f":
        top = -1 if values.dtype.kind == "i" else 2 ** int(ds.BitsStored) - 1
        values = (top - values.astype(np.int64)).astype(values.dtype)
    values = frame_values(ds, values, frame, kinds=kinds)
    if turned and bits is not None:
        values = (2**bits - 1 - values.astype(np.int64)).astype(values.dtype)
    return values


def _whole(group: Sequence[SliceHeader]) -> Volume:
    """The one volume of a series; it raises what is wrong with it."""
    (series,) = archive_of(header.header for header in group).series
    if not series.volumes:
        raise LocalizerRefused(f"{series.left_out[0].name}: {series.left_out[0].reason}")
    volume = one_volume(series)
    decided(volume, Decisions())
    return volume


def _arrays(series: Callable[[], Series]) -> Arrays:
    return series().arrays


def _below(path: Path, root: Path) -> str:
    if path == root or not root.is_dir():
        return path.name
    return Path(os.path.relpath(path, root)).as_posix()


def _patient(group, name: str, patient: str | Callable[[str], str] | None) -> str:
    path = group[0].path
    if patient is not None:
        return patient_of(name, path, patient)
    found = {header.patient for header in group}
    if len(found) != 1 or not all(found):
        raise DataError(
            f"{path}: every image must have one Patient ID, for splits by patient; found "
            f"{len(found - {''})}; say who it is with `patient`, a regular expression or a "
            "function of the path"
        )
    return found.pop()
