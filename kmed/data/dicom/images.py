"""DICOM as a classifier takes it: a radiograph, photograph or slice by itself, or a series."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pydicom

from kmed.data.dicom.geometry import stacked
from kmed.data.dicom.series import read_series
from kmed.data.dicom.slices import SliceHeader, by_series, decoding
from kmed.data.pairing import patient_of
from kmed.data.sample import Arrays, DataError, Sample

# Modalities whose series are volumes; of all others each image stands for itself.
_VOLUMES = ("CT", "MR", "PT")
_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT")
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
        if group[0].modality.upper() in _VOLUMES:
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
        if flat:
            files, read = (str(path),), partial(read_dicom_picture, str(path))
            name = _below(path, root)
            name = name[: -len(path.suffix)] if path.suffix.lower() in _SUFFIXES else name
        else:
            if group[0].modality.upper() not in _VOLUMES:
                raise DataError(
                    f"{path}: a single image of modality {group[0].modality} among volumes; "
                    "a data set holds either pictures or volumes"
                )
            ordered, _ = stacked(list(group))
            files = tuple(str(header.path) for header in ordered)
            read, name = partial(_volume, files), _below(Path(folder), root)
            if series_in[folder] > 1:
                name += f"/{group[0].series_uid}"
        samples.append(
            Sample(
                id=name,
                patient=_patient(group, name, patient),
                files=files,
                read=read,
                modality=group[0].modality,
            )
        )
    return samples


def read_dicom_picture(path: str | os.PathLike) -> Arrays:
    """Reads one DICOM file as a picture, with the values that its Modality LUT gives.

    MONOCHROME1, in which small values are shown bright, is turned to MONOCHROME2: stored value v
    of n bits becomes 2**n - 1 - v, so that bone is bright in every radiograph. Nothing is clipped:
    neither VOI LUT nor window is applied. Rows and columns stay as stored.

    Reference: DICOM PS3.3, C.7.6.3.1.2 (Photometric Interpretation), C.11.1 (Modality LUT).

    Args:
        path: a file with one frame.

    Returns:
        Image `(H, W, 1)`, or `(H, W, 3)` of colour; spacing from Pixel Spacing, else from Imager
        Pixel Spacing, else 1.0; no affine.

    Raises:
        DataError: several frames, a palette, a LUT sequence, damaged or compressed pixels that
            can't be decoded.
    """
    with decoding(path) as ds:
        photometric = str(ds.get("PhotometricInterpretation"))
        frames = int(ds.get("NumberOfFrames") or 1)
        if frames > 1:
            raise DataError(f"{path}: holds {frames} frames; a label belongs to one image")
        if "ModalityLUTSequence" in ds:
            raise DataError(f"{path}: a Modality LUT Sequence is not supported")
        if photometric not in ("MONOCHROME1", "MONOCHROME2", *_COLOURS):
            raise DataError(f"{path}: {photometric} is not supported; save it as grey or RGB")
        pixels = pydicom.pixels.pixel_array(ds)  # colour as RGB
        slope = float(1 if ds.get("RescaleSlope") is None else ds.RescaleSlope)
        intercept = float(ds.get("RescaleIntercept") or 0)
        if not (np.isfinite([slope, intercept]).all() and slope):
            raise DataError(f"{path}: RescaleSlope {slope}, RescaleIntercept {intercept}")
        if photometric == "MONOCHROME1":
            top = -1 if ds.get("PixelRepresentation") else 2 ** int(ds.BitsStored) - 1
            pixels = (top - pixels.astype(np.int64)).astype(pixels.dtype)
        spacing = ds.get("PixelSpacing") or ds.get("ImagerPixelSpacing") or (1.0, 1.0)
        spacing_mm = tuple(float(value) for value in spacing)
    if pixels.ndim not in (2, 3) or len(spacing_mm) != 2 or not min(spacing_mm) > 0:
        raise DataError(f"{path}: pixels {pixels.shape} with spacing {spacing_mm} are no picture")
    image = pixels if pixels.ndim == 3 else pixels[..., np.newaxis]
    return Arrays(_rescaled(image, slope, intercept), None, spacing_mm, None)


def _rescaled(stored: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    if (slope, intercept) == (1, 0):
        return np.ascontiguousarray(stored)
    if slope.is_integer() and intercept.is_integer():
        values = stored.astype(np.int64) * int(slope) + int(intercept)
        for fits in (np.int16, np.uint16):
            if np.iinfo(fits).min <= values.min() and values.max() <= np.iinfo(fits).max:
                return values.astype(fits)
    return (stored * slope + intercept).astype(np.float32)


def _volume(files: tuple[str, ...]) -> Arrays:
    series = read_series(files)
    return Arrays(series.array[..., np.newaxis], None, series.spacing_mm, series.affine)


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
