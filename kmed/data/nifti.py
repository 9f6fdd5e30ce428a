"""NIfTI volumes: read into one orientation with their coordinates, written back onto their grid."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.orientations import apply_orientation, io_orientation, ornt_transform

from kmed.data.masks import check_classes, class_indices
from kmed.data.nifti_grid import (
    CANONICAL,
    GRID_TOLERANCE_MM,
    RAS_TO_LPS,
    Grid,
    distance_mm,
    grid_of,
    open_nifti,
    require_same_grid,
    volume_shape,
)
from kmed.data.pairing import pair, patient_of, require_patients
from kmed.data.sample import Arrays, DataError, Sample

SUFFIXES = (".nii", ".nii.gz")

# The header fields that say where voxels lie (NIfTI-1.1, "3D image orientation").
_GRID_FIELDS = (
    *("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z", "xyzt_units"),
)


def read_nifti(path: str | os.PathLike) -> tuple[np.ndarray, tuple[float, ...], np.ndarray]:
    """Reads a volume and turns its axes to kmed's orientation.

    Voxels are flipped and permuted, never interpolated: the first axis runs to superior, the second
    to posterior, the third to left, each as nearly as an oblique grid allows.

    Reference: NIfTI-1.1, https://nifti.nimh.nih.gov/nifti-1. The affine is the sform if its code is
    set, else the qform; a file that has neither says nothing of left and right, and is taken, as
    nibabel does, to be stored from right to left. `scl_slope` and `scl_inter` are applied.

    Args:
        path: `.nii` or `.nii.gz` file.

    Returns:
        The array (D, H, W), or (D, H, W, C) of a file with four dimensions: integers as stored
        (with a whole-numbered `scl_inter` added, as CT has it), else float32; the spacing in
        millimetres of (D, H, W); and the affine (4, 4) from index (d, h, w, 1) to LPS millimetres.

    Raises:
        DataError: if the file is unreadable, holds NaN or infinity, colours or complex numbers, or
            its affine is singular.
    """
    image = open_nifti(path)
    turn, grid = grid_of(image, path)
    try:
        array = _values(image, path)
    except DataError:
        raise
    except Exception as error:
        # A damaged file surfaces as OSError, EOFError, zlib.error, ValueError or MemoryError.
        raise DataError(f"{path}: cannot read the voxels ({error})") from error
    array = apply_orientation(array.reshape(volume_shape(image.shape, path)), turn)
    # A copy, so that no memory map keeps the file open.
    array = np.array(array, array.dtype.newbyteorder("="), order="C")
    return array, grid.spacing_mm, grid.affine


def write_nifti(
    path: str | os.PathLike,
    array: np.ndarray,
    affine: np.ndarray | None = None,
    *,
    like: str | os.PathLike | None = None,
) -> None:
    """Writes a volume, on the voxel grid of a source file if one is given.

    Args:
        path: `.nii` or `.nii.gz` file to write.
        array: (D, H, W) or (D, H, W, C) in kmed's orientation.
        affine: (4, 4), index (d, h, w, 1) to LPS millimetres; may be None with `like`.
        like: the NIfTI file that the array was computed from. The new file has its axes, its affine
            and its codes, so that voxel (i, j, k) of one is voxel (i, j, k) of the other. Nothing
            else of its header, where names may stand, is copied.

    Raises:
        DataError: if array or affine do not lie on the grid of `like`.
        ValueError: if the array has another rank, or neither affine nor `like` is given.
    """
    if not os.fspath(path).lower().endswith(SUFFIXES):
        raise ValueError(f"`path` must end in .nii or .nii.gz; received {os.fspath(path)!r}")
    array = np.asarray(array)
    if array.ndim not in (3, 4):
        raise ValueError(f"`array` must be (D, H, W) or (D, H, W, C); received {array.shape}")
    array = _storable(array)
    if like is None:
        if affine is None:
            raise ValueError("`affine` is needed where `like` is None")
        # Axes (w, h, d): the file's first axis is the one that varies fastest.
        affine_ras = (RAS_TO_LPS @ np.asarray(affine, np.float64))[:, [2, 1, 0, 3]]
        image = nib.Nifti1Image(array.swapaxes(0, 2), affine_ras)
        image.header.set_xyzt_units("mm")
        nib.save(image, path)
        return
    source = open_nifti(like)
    _, grid = grid_of(source, like)
    if array.shape[:3] != grid.shape:
        raise DataError(f"{like}: its grid is {grid.shape}, the array is {array.shape[:3]}")
    if affine is not None and distance_mm(affine, grid.affine, grid.shape) > GRID_TOLERANCE_MM:
        raise DataError(f"{like}: `affine` is not the affine of this file; pass None to take it")
    back = ornt_transform(CANONICAL, io_orientation(source.affine))
    image = type(source)(apply_orientation(array, back), source.affine)
    for field in _GRID_FIELDS:
        image.header[field] = source.header[field]
    image.header["pixdim"][:4] = source.header["pixdim"][:4]
    nib.save(image, path)


def nifti_pairs(
    images: str | os.PathLike,
    labels: str | os.PathLike | None = None,
    *,
    classes: int | None = None,
    patient: str | Callable[[str], str] | None = None,
) -> list[Sample]:
    """Makes samples of a folder of NIfTI volumes and a folder of label volumes of the same names.

    Args:
        images: folder of `.nii` and `.nii.gz` files, searched with its subfolders, or one file.
        labels: folder of label volumes, or one file, or None.
        classes: number of classes, background included; None accepts labels from 0 to 255.
        patient: as in `image_folder`; None: every volume is a patient of its own.

    Returns:
        Samples sorted by id, `image` (D, H, W, C), `mask` (D, H, W).

    Raises:
        DataError: if a folder is empty, a label is missing, a header is unreadable, or image and
            label do not lie on the same grid. What only shows in the voxels is raised by
            `Sample.read`.
    """
    check_classes(classes)
    pairs = pair(images, labels, SUFFIXES)
    require_patients(pairs, patient)
    volumes = [((image,), label) for _, image, label in pairs]
    check_grids(volumes)
    return [
        Sample(
            id=key,
            patient=patient_of(key, image, patient),
            files=tuple(str(path) for path in (image, label) if path is not None),
            read=partial(read_volume, (image,), label, classes),
        )
        for key, image, label in pairs
    ]


def check_grids(volumes: list[tuple[tuple[Path, ...], Path | None]]) -> None:
    """Checks by the headers that the files of each sample lie on the same grid.

    Args:
        volumes: of each sample, the files of its channels, and its label or None.

    Raises:
        DataError: naming both files.
    """

    def check(volume):
        first, *others = [path for path in (*volume[0], volume[1]) if path is not None]
        grid = grid_of(open_nifti(first), first)[1]
        for other in others:
            require_same_grid(grid, grid_of(open_nifti(other), other)[1])

    with ThreadPoolExecutor() as pool:  # reading headers waits for the disk
        list(pool.map(check, volumes))


def read_volume(channels: tuple[Path, ...], label: Path | None, classes: int | None) -> Arrays:
    """Reads the channels of one volume, each from its own file, and its label.

    Args:
        channels: files on one grid.
        label: file on the same grid, or None.
        classes: number of classes, background included, or None.

    Returns:
        The arrays, with the channels last.

    Raises:
        DataError: as `read_nifti`; if the grids differ; if a label is no class.
    """
    read = [read_nifti(path) for path in channels]
    grids = [
        Grid(path, affine, array.shape[:3])
        for path, (array, _, affine) in zip(channels, read, strict=True)
    ]
    for grid in grids[1:]:
        require_same_grid(grids[0], grid)
    arrays = [array if array.ndim == 4 else array[..., np.newaxis] for array, _, _ in read]
    image = arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=-1)
    _, spacing_mm, affine = read[0]
    if label is None:
        return Arrays(image, None, spacing_mm, affine)
    stored, _, label_affine = read_nifti(label)
    if stored.ndim == 4:
        if stored.shape[-1] != 1:
            raise DataError(f"{label}: a label has one channel; received {stored.shape[-1]}")
        stored = stored[..., 0]
    require_same_grid(grids[0], Grid(label, label_affine, stored.shape))
    return Arrays(image, class_indices(stored, str(label), classes=classes), spacing_mm, affine)


def _values(image, path) -> np.ndarray:
    stored = image.header.get_data_dtype()
    if stored.kind not in "iuf":
        raise DataError(f"{path}: expected integers or real numbers; received {stored}")
    slope, inter = image.dataobj.slope, image.dataobj.inter
    if stored.kind in "iu" and slope == 1 and inter == np.rint(inter) and abs(inter) < 2**31:
        array = np.asarray(image.dataobj.get_unscaled())
        if inter and array.size:
            low, high = int(array.min()) + int(inter), int(array.max()) + int(inter)
            array = array.astype(np.int64) + int(inter)
            for fits in (np.uint8, np.int16, np.uint16, np.int32):
                if np.iinfo(fits).min <= low and high <= np.iinfo(fits).max:
                    return array.astype(fits)
        return array
    array = np.asarray(image.dataobj)
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    bad = np.count_nonzero(~np.isfinite(array))
    if bad:
        raise DataError(f"{path}: {bad} voxels are NaN or infinite; give them a value first")
    return array


def _storable(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.bool_:
        return array.astype(np.uint8)
    if array.dtype == np.float16:
        return array.astype(np.float32)
    if array.dtype in (np.int64, np.uint64):
        # Few programs read 64-bit integers.
        if array.size and not -(2**31) <= int(array.min()) <= int(array.max()) < 2**31:
            raise ValueError("`array` holds integers that need more than 32 bits")
        return array.astype(np.int32)
    if array.dtype.kind not in "iuf":
        raise ValueError(f"`array` must hold integers or real numbers; received {array.dtype}")
    return array
