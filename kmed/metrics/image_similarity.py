"""How near a generated image or volume is to the true one, in the unit of its intensities.

`data_range` is never guessed: the largest less the smallest value of one image, which some programs
take, makes values of PSNR and SSIM differ from image to image and from paper to paper.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from kmed.ops import structural_similarity

VOLUMES = ("slices", "whole")

_VOXELS = 1 << 20  # compared at once


def mae(real: np.ndarray, fake: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Returns the mean absolute error, in the unit of the images.

    Reference: Willmott and Matsuura 2005, "Advantages of the mean absolute error".

    Args:
        real: `(H, W)`, `(H, W, C)` or `(D, H, W, C)`, integers or floats.
        fake: the same shape.
        mask: where to compare, that shape without channels; None: everywhere.

    Returns:
        The mean over voxels and channels; NaN where the mask marks nothing.

    Raises:
        ValueError: for shapes that do not fit, or values that are not finite.

    Example:
        >>> mae(np.array([[0, 10]], "uint8"), np.array([[5, 7]], "uint8"))
        4.0
    """
    return _mean_of(np.abs, real, fake, mask)


def psnr(
    real: np.ndarray, fake: np.ndarray, *, data_range: float, mask: np.ndarray | None = None
) -> float:
    """Returns the ratio of squared range and mean squared error, in decibels.

    Reference: Huynh-Thu and Ghanbari 2008, "Scope of validity of PSNR", equation 1.

    Args:
        real: `(H, W)`, `(H, W, C)` or `(D, H, W, C)`, integers or floats.
        fake: the same shape.
        data_range: largest possible value less the smallest.
        mask: where to compare, that shape without channels; None: everywhere.

    Returns:
        Decibels; infinite for equal images, NaN where the mask marks nothing.

    Raises:
        ValueError: for shapes that do not fit, values that are not finite, or no range.

    Example:
        >>> psnr(np.zeros((4, 4)), np.full((4, 4), 0.1), data_range=1.0)
        20.0
    """
    _check_range(data_range)
    error = _mean_of(np.square, real, fake, mask)
    return math.inf if error == 0 else 10.0 * math.log10(data_range**2 / error)


def ssim(
    real: np.ndarray,
    fake: np.ndarray,
    *,
    data_range: float,
    volume: str = "slices",
    window: str = "gaussian",
    size: int = 11,
    sigma: float = 1.5,
) -> float:
    """Returns the structural similarity; `kmed.ops.structural_similarity.ssim` says which one.

    Reference: Wang, Bovik, Sheikh, Simoncelli 2004, "Image Quality Assessment".

    Args:
        real: `(H, W)`, `(H, W, C)` or `(D, H, W, C)`, integers or floats.
        fake: the same shape.
        data_range: largest possible value less the smallest.
        volume: of volumes, "slices" is the mean over the slices along the first axis, "whole" has a
            window of three axes. The two are not to be compared with one another.
        window: "gaussian" or "uniform".
        size: length of the window's sides in pixels.
        sigma: of the gaussian window, in pixels.

    Returns:
        At most 1.

    Raises:
        ValueError: for shapes that do not fit, images smaller than the window, values that are not
            finite, or no range.

    Example:
        >>> image = np.arange(256).reshape(16, 16)
        >>> ssim(image, image, data_range=255)
        1.0
    """
    settings = {"window": window, "size": size, "sigma": sigma}
    return _mean_of_slices(
        structural_similarity.ssim, real, fake, volume, data_range=data_range, **settings
    )


def ms_ssim(
    real: np.ndarray,
    fake: np.ndarray,
    *,
    data_range: float,
    volume: str = "slices",
    weights: tuple[float, ...] = structural_similarity.SCALE_WEIGHTS,
) -> float:
    """Returns the multi-scale structural similarity, see `kmed.ops.structural_similarity.ms_ssim`.

    Reference: Wang, Simoncelli, Bovik 2003, "Multi-scale Structural Similarity".

    Args:
        real: `(H, W)`, `(H, W, C)` or `(D, H, W, C)`, integers or floats; with five scales each
            axis that is compared has 176 pixels at least.
        fake: the same shape.
        data_range: largest possible value less the smallest.
        volume: of volumes, "slices" or "whole", see `ssim`.
        weights: exponent of each scale, the finest first.

    Returns:
        From 0 to 1.

    Raises:
        ValueError: for shapes that do not fit, images too small for the scales, values that are
            not finite, or no range.

    Example:
        >>> image = np.arange(1024).reshape(32, 32)
        >>> round(ms_ssim(image, image, data_range=1023, weights=(0.5, 0.5)), 6)
        1.0
    """
    return _mean_of_slices(
        structural_similarity.ms_ssim, real, fake, volume, data_range=data_range, weights=weights
    )


def _mean_of_slices(measure: Callable, real, fake, volume, *, data_range, **settings) -> float:
    """Measure an image, a volume, or a volume's slices a few at a time."""
    if volume not in VOLUMES:
        raise ValueError(f"`volume` must be one of {VOLUMES}; received {volume!r}")
    _check_range(data_range)
    real, fake = _checked(real, fake)
    if real.ndim == 2:
        real, fake = real[..., None], fake[..., None]
    if real.ndim == 3 or volume == "whole":
        real, fake = real[None], fake[None]
    step = max(1, _VOXELS // max(1, real[0].size))
    values = [
        np.asarray(
            measure(
                real[first : first + step].astype("float64"),
                fake[first : first + step].astype("float64"),
                data_range=data_range,
                **settings,
            )
        )
        for first in range(0, len(real), step)
    ]
    return float(np.concatenate(values).mean())


def _mean_of(function: Callable, real, fake, mask) -> float:
    """Mean of a function of the error over what a mask marks."""
    real, fake = _checked(real, fake)
    if mask is not None:
        mask = np.asarray(mask)
        if mask.shape != (real.shape if real.ndim == 2 else real.shape[:-1]):
            raise ValueError(
                "`mask` must have the images' shape without channels; received "
                f"{mask.shape} for images of {real.shape}"
            )
        mask = mask.astype(bool)
        real, fake = real[mask], fake[mask]
        if not real.size:
            return math.nan
    total = 0.0
    step = max(1, _VOXELS // max(1, real[0].size))
    for first in range(0, len(real), step):
        part = slice(first, first + step)
        # Unsigned integers would wrap around below 0.
        total += float(function(real[part].astype("float64") - fake[part]).sum())
    return total / real.size


def _checked(real, fake) -> tuple[np.ndarray, np.ndarray]:
    real, fake = np.asarray(real), np.asarray(fake)
    if real.shape != fake.shape or real.ndim not in (2, 3, 4) or not real.size:
        raise ValueError(
            "images that are compared need one shape, (H, W), (H, W, C) or (D, H, W, C); received "
            f"{real.shape} and {fake.shape}"
        )
    for name, image in (("real", real), ("fake", fake)):
        if not np.isfinite(image).all():
            count = int((~np.isfinite(image)).sum())
            raise ValueError(f"`{name}` must be finite; received {count} values that are not")
    return real, fake


def _check_range(data_range) -> None:
    if not 0 < data_range < math.inf:
        raise ValueError(
            "`data_range` must be the largest possible value less the smallest, above 0; received "
            f"{data_range}"
        )
