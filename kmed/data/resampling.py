"""Volumes from one voxel spacing to another."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def resample(
    array: np.ndarray, shape: tuple[int, ...], *, order: int, axes: int | None = None
) -> np.ndarray:
    """Resample an array onto a grid of another shape that covers the same extent.

    The edges of the first and the last voxel stay where they are, so that nothing shifts:
    output index `o` reads input index `(o + 0.5) * n_in / n_out - 0.5`.

    Args:
        array: `(*spatial)` or `(*spatial, C)`.
        shape: the wanted spatial shape.
        order: 0 for nearest (masks), 1 for linear (images; smoothed first where the grid becomes
            coarser, against aliasing).
        axes: number of spatial axes; by default as many as `shape` has.

    Returns:
        The array on the new grid, in the type of the input for order 0 and float32 otherwise.

    Raises:
        ValueError: if a size in `shape` is not positive.

    Example:
        >>> resample(np.array([0.0, 2.0]), (4,), order=1).tolist()
        [0.0, 0.5, 1.5, 2.0]
    """
    axes = len(shape) if axes is None else axes
    if min(shape) < 1:
        raise ValueError(f"`shape` must be positive; received {shape}")
    if array.ndim == axes + 1:
        channels = [resample(c, shape, order=order) for c in np.moveaxis(array, -1, 0)]
        return np.stack(channels, axis=-1)
    dtype = array.dtype if order == 0 else np.float32
    if tuple(array.shape) == tuple(shape):
        return array.astype(dtype)
    step = np.array(array.shape) / np.array(shape)
    values = array if order == 0 else array.astype(np.float32)
    if order:
        values = ndimage.gaussian_filter(values, np.maximum(0, (step - 1) / 2), mode="nearest")
    return ndimage.affine_transform(
        values, step, (step - 1) / 2, tuple(shape), dtype, order=order, mode="nearest"
    )


def resampled_shape(
    shape: tuple[int, ...], spacing_mm: tuple[float, ...], wanted_mm: tuple[float, ...]
) -> tuple[int, ...]:
    """Shape of the grid of spacing `wanted_mm` that covers the extent of a volume.

    Args:
        shape: spatial shape of the volume.
        spacing_mm: its spacing, millimetres per axis.
        wanted_mm: the wanted spacing, millimetres per axis.

    Returns:
        The nearest whole shape, at least one voxel along each axis.

    Raises:
        ValueError: if the three differ in length.

    Example:
        >>> resampled_shape((10, 20), (2.0, 1.0), (1.0, 1.0))
        (20, 20)
    """
    if not len(shape) == len(spacing_mm) == len(wanted_mm):
        raise ValueError(
            "`spacing_mm` must give one distance per spatial axis; received "
            f"{tuple(spacing_mm)} and {tuple(wanted_mm)} for shape {tuple(shape)}"
        )
    sizes = (n * have / want for n, have, want in zip(shape, spacing_mm, wanted_mm, strict=True))
    return tuple(max(1, round(size)) for size in sizes)
