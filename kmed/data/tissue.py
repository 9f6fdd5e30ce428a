"""How much of each slice of a volume shows something."""

from __future__ import annotations

import math

import numpy as np

_BINS = 256
_VOXELS = 4_000_000  # enough for a threshold; of larger volumes rows and columns are passed over


def tissue_threshold(image: np.ndarray) -> float:
    """Finds the value that best parts an image into dark and bright.

    Reference: Otsu, "A Threshold Selection Method from Gray-Level Histograms", IEEE Transactions
    on Systems, Man, and Cybernetics 9(1), 1979, eq. 18: the largest variance between both sides.

    Args:
        image: of any shape and unit.

    Returns:
        The threshold; voxels above it are bright. An image of one value has none above it.

    Example:
        >>> 0.0 <= tissue_threshold(np.array([0, 0, 0, 90, 100, 110])) < 90.0
        True
    """
    # A few voxels of metal would leave all others in the first bins.
    low, high = np.percentile(image, (0.1, 99.9))
    if low == high:
        return float(image.max())
    counts, edges = np.histogram(np.clip(image, low, high), _BINS, (low, high))
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = image.size - below
    sums = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = sums[:-1] / below - (sums[-1] - sums[:-1]) / above
    variance = np.where((below > 0) & (above > 0), below * above * apart**2.0, -1.0)
    return float(edges[1 + int(np.argmax(variance))])


def tissue_shares(volume: np.ndarray) -> np.ndarray:
    """Gives the share of each slice that is brighter than the volume's threshold.

    Args:
        volume: `(D, H, W)` or `(D, H, W, C)`, of which the first channel counts.

    Returns:
        `(D,)` from 0 to 1.

    Example:
        >>> tissue_shares(np.array([[[0, 0], [0, 0]], [[0, 9], [9, 9]]])).tolist()
        [0.0, 0.75]
    """
    grey = volume[..., 0] if volume.ndim == 4 else volume
    step = math.ceil(math.sqrt(grey.size / _VOXELS))
    return np.mean(grey > tissue_threshold(grey[:, ::step, ::step]), axis=(1, 2))
