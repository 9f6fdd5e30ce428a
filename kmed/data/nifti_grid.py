"""Where the voxels of a NIfTI file lie, in kmed's orientation, from the header alone."""

from __future__ import annotations

import os
from typing import NamedTuple

import nibabel as nib
import numpy as np
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

from kmed.data.sample import DataError

#: Two grids are one if their corners are no further apart.
GRID_TOLERANCE_MM = 1e-3

#: kmed's orientation as nibabel writes it: first axis to superior, second to posterior, third left.
CANONICAL = axcodes2ornt(("S", "P", "L"))

#: NIfTI's RAS axes to DICOM's LPS axes, and back.
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])

# Bits 0 to 2 of `xyzt_units`: unknown, metre, millimetre, micrometre.
_MM_PER_UNIT = {0: 1.0, 1: 1e3, 2: 1.0, 3: 1e-3}


class Grid(NamedTuple):
    """A grid of voxels.

    Attributes:
        path: the file.
        affine: (4, 4), index (d, h, w, 1) to LPS millimetres.
        shape: number of voxels (D, H, W).
    """

    path: str | os.PathLike
    affine: np.ndarray
    shape: tuple[int, ...]

    @property
    def spacing_mm(self) -> tuple[float, ...]:
        """Distance of neighbouring voxels along D, H and W."""
        return tuple(float(length) for length in np.linalg.norm(self.affine[:3, :3], axis=0))


def open_nifti(path: str | os.PathLike) -> nib.Nifti1Image:
    """Reads the header of a NIfTI file.

    Args:
        path: `.nii` or `.nii.gz` file.

    Returns:
        nibabel's image, whose voxels are still on disk.

    Raises:
        DataError: if the file is absent or no NIfTI.
    """
    if not os.path.isfile(path):
        raise DataError(f"{path}: no such file")
    try:
        image = nib.load(path)
    except Exception as error:
        # A damaged file surfaces as ImageFileError, HeaderDataError, EOFError, zlib.error, ...
        raise DataError(f"{path}: cannot be read as NIfTI ({error})") from error
    if not isinstance(image, nib.Nifti1Image):  # Nifti2Image is a subclass
        raise DataError(f"{path}: expected NIfTI; received {type(image).__name__}")
    return image


def grid_of(image: nib.Nifti1Image, path: str | os.PathLike) -> tuple[np.ndarray, Grid]:
    """Tells how to turn a file's axes to kmed's, and the grid after turning.

    Args:
        image: what `open_nifti` returned.
        path: the file, for error messages.

    Returns:
        The turn (3, 2) for `nibabel.orientations.apply_orientation`, and the grid.

    Raises:
        DataError: if the affine is singular or not finite, the shape is no volume, or the unit of
            length is unknown.
    """
    unit = int(image.header["xyzt_units"]) % 8
    if unit not in _MM_PER_UNIT:
        raise DataError(f"{path}: `xyzt_units` names no unit of length; received code {unit}")
    affine = np.diag([_MM_PER_UNIT[unit]] * 3 + [1.0]) @ image.affine
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    # The determinant is the volume of a voxel relative to a box with the same edges: 0 if flat.
    if (
        not np.isfinite(affine).all()
        or not lengths.all()
        or abs(np.linalg.det(affine[:3, :3] / lengths)) < 1e-4
    ):
        raise DataError(
            f"{path}: its affine is singular, so that positions in millimetres are undefined: "
            f"{np.round(image.affine, 4).tolist()}"
        )
    spatial = volume_shape(image.shape, path)[:3]
    if not all(spatial):
        raise DataError(f"{path}: has no voxels; its shape is {image.shape}")
    turn = ornt_transform(io_orientation(affine), CANONICAL)
    shape = [0, 0, 0]
    for axis, length in enumerate(spatial):
        shape[int(turn[axis, 0])] = length
    return turn, Grid(path, RAS_TO_LPS @ affine @ inv_ornt_aff(turn, spatial), tuple(shape))


def volume_shape(shape: tuple[int, ...], path: str | os.PathLike) -> tuple[int, ...]:
    """Gives (X, Y, Z) or (X, Y, Z, C) for the shape that a header states.

    A fifth axis holds the channels if the fourth, time, is 1 (NIfTI-1.1, "5D vector data"); an
    image of two axes is a volume of one slice.

    Args:
        shape: the header's shape.
        path: the file, for error messages.

    Returns:
        The shape with three or four axes.

    Raises:
        DataError: if there are more.

    Example:
        >>> volume_shape((64, 64, 30, 1, 3), "field.nii")
        (64, 64, 30, 3)
    """
    if len(shape) > 4 and shape[3] == 1:
        shape = (*shape[:3], *shape[4:])
    while len(shape) > 4 and shape[-1] == 1:
        shape = shape[:-1]
    if not 1 < len(shape) <= 4:
        raise DataError(f"{path}: expected (X, Y, Z) or (X, Y, Z, channels); received {shape}")
    return (*shape, 1) if len(shape) == 2 else tuple(shape)


def require_same_grid(first: Grid, other: Grid) -> None:
    """Refuses two files whose voxels do not coincide.

    Args:
        first: the image's grid.
        other: the grid of its mask or of its next channel.

    Raises:
        DataError: naming both files.
    """
    if tuple(first.shape) != tuple(other.shape):
        raise DataError(
            f"{other.path}: must be as large as {first.path}; it has {tuple(other.shape)} voxels "
            f"(D, H, W), that one has {tuple(first.shape)}"
        )
    apart = distance_mm(first.affine, other.affine, first.shape)
    if apart > GRID_TOLERANCE_MM:
        raise DataError(
            f"{other.path}: must lie on the grid of {first.path}; their affines put the same voxel "
            f"up to {apart:.3g} mm apart; resample one onto the other"
        )


def distance_mm(one: np.ndarray, other: np.ndarray, shape: tuple[int, ...]) -> float:
    """Gives the largest distance between the places that two affines give a voxel.

    Args:
        one: (4, 4) affine in millimetres.
        other: (4, 4) affine in millimetres.
        shape: number of voxels along the three axes.

    Returns:
        The distance in millimetres.

    Example:
        >>> distance_mm(np.eye(4), np.diag([1, 1, 1.5, 1]), (4, 4, 11))
        5.0
    """
    # The distance is a convex function of the index, so a corner has the largest.
    corners = np.array([[*index, 1] for index in np.ndindex(2, 2, 2)], np.float64)
    corners[:, :3] *= np.array(shape) - 1
    apart = corners @ (np.asarray(one, np.float64) - other).T
    return float(np.linalg.norm(apart[:, :3], axis=1).max())
