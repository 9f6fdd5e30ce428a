"""The range of raw values that a training set's images have, robust against a few stray voxels."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from kmed.data.sample import DataError, Sample

_IMAGES = 512  # of larger sets so many are drawn
_VALUES = 2**14  # drawn of each image


def intensity_range(
    images: Sequence[Sample | np.ndarray],
    *,
    low: float = 0.0,
    high: float = 99.9,
    seed: int = 0,
) -> tuple[float, float]:
    """Measures the raw values between which nearly all voxels of a set of images lie.

    Percentiles over all images together, each of which counts alike however large it is: of at most
    512 images, drawn at random, 16384 values each. Images are read a few at a time and no more than
    these values are kept.

    Args:
        images: of the training part; samples, or arrays of any shape. One unit in all of them.
        low: percentile from 0 to 100 that becomes the lower end; 0 is the least of all values.
        high: percentile that becomes the upper end, above `low`; 100 is the greatest value.
        seed: seed of the draw.

    Returns:
        The lower and the upper end in raw units, as `kmed.preprocessors.intensity` takes them.

    Raises:
        DataError: if there are no images, one cannot be read, is empty or holds NaN or infinity, or
            nearly all values are one, so that there is no range.
        ValueError: if the percentiles are not from 0 to 100 and rising.

    Example:
        >>> intensity_range([np.arange(1001), np.arange(1001)], low=0, high=90)
        (0.0, 900.0)
    """
    if not 0 <= low < high <= 100:
        raise ValueError(
            f"`low` and `high` must be percentiles, 0 <= low < high <= 100; received {low} and "
            f"{high}"
        )
    if not len(images):
        raise DataError("an intensity range needs images; received none")
    chosen = np.arange(len(images))
    if len(images) > _IMAGES:
        drawn = np.random.default_rng(seed).choice(len(images), _IMAGES, replace=False)
        chosen = np.sort(drawn)
    pool = ThreadPoolExecutor(max_workers=4)
    try:
        found = list(pool.map(lambda i: _drawn(images[i], [seed % 2**32, int(i)]), chosen))
    finally:
        pool.shutdown(cancel_futures=True)
    values, least, greatest = zip(*found, strict=True)
    ends = np.percentile(np.concatenate(values), (low, high))
    first = float(ends[0] if low > 0 else min(least))
    last = float(ends[1] if high < 100 else max(greatest))
    if not first < last:
        whole = f"from {min(least):g} to {max(greatest):g}"
        raise DataError(
            f"{len(chosen)} images have no range of intensities: percentiles {low:g} and {high:g} "
            f"are {first:g} and {last:g}, all values lie {whole}; the images are constant or "
            "nearly so: leave them out, or say the range"
        )
    return first, last


def _drawn(image: Sample | np.ndarray, seed: list[int]) -> tuple[np.ndarray, float, float]:
    """Give some values of an image, its least and its greatest."""
    is_sample = isinstance(image, Sample)
    name = image.files[0] if is_sample and image.files else f"image {seed[1]}"
    values = np.ravel(image.read().image if is_sample else image)
    if not values.size:
        raise DataError(f"{name}: has no pixels")
    least, greatest = float(values.min()), float(values.max())
    if not (np.isfinite(least) and np.isfinite(greatest)):
        raise DataError(f"{name}: holds NaN or infinity; an image needs numbers everywhere")
    if values.size > _VALUES:
        values = values[np.random.default_rng(seed).integers(values.size, size=_VALUES)]
    return values.astype(np.float64), least, greatest
