"""Patches of images and volumes, also where they reach over the edge."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def cut(
    array: np.ndarray, start: Sequence[int], size: Sequence[int], *, mirror: bool = False
) -> np.ndarray:
    """Cut a patch; where it reaches over the edge, the edge is repeated or the image mirrored.

    Args:
        array: `(*spatial)` or `(*spatial, C)`.
        start: first index along each spatial axis; may be negative.
        size: size of the patch along each spatial axis.
        mirror: continue the image by its mirror image (Ronneberger, Fischer and Brox 2015,
            figure 2) and not by its last voxel.

    Returns:
        The patch; a view of `array` where it lies inside.

    Example:
        >>> cut(np.array([1, 2, 3]), [-2], [7]).tolist()
        [1, 1, 1, 2, 3, 3, 3]
        >>> cut(np.array([1, 2, 3]), [-2], [7], mirror=True).tolist()
        [3, 2, 1, 2, 3, 2, 1]
    """
    for axis, (first, length) in enumerate(zip(start, size, strict=True)):
        last = array.shape[axis] - 1
        if 0 <= first and first + length <= last + 1:
            array = array[(slice(None),) * axis + (slice(first, first + length),)]
            continue
        index = np.arange(first, first + length)
        if mirror and last > 0:
            index = last - np.abs(last - index % (2 * last))
        array = np.take(array, np.clip(index, 0, last), axis)
    return array
