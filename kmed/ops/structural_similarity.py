"""Structural similarity of images and volumes, on one scale and on several."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from keras import ops

from kmed.ops.distances import at_least_float32

WINDOWS = ("gaussian", "uniform")
# Wang, Simoncelli and Bovik 2003, section 3.2.
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)

_SMALLEST = 1e-12


def ssim(
    a,
    b,
    *,
    data_range: float,
    window: str = "gaussian",
    size: int = 11,
    sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
):
    """Compare means, deviations and the covariance within a window that moves over both images.

    Only places where the window lies inside of the image count; variances are divided by N, as in
    the paper. Channels are compared for themselves, and averaged. A volume's window has three axes.
    Sums of shifted images take the place of convolutions, which a GPU may compute with 10 bits.

    Reference: Wang, Bovik, Sheikh, Simoncelli 2004, "Image Quality Assessment: From Error
    Visibility to Structural Similarity", equations 13 to 17.

    Args:
        a: `(B, [D,] H, W, C)` float.
        b: the same shape.
        data_range: largest possible value less the smallest: 2 for images in [-1, 1].
        window: "gaussian", as in the paper, or "uniform".
        size: length of the window's sides in pixels.
        sigma: of the gaussian window, in pixels.
        k1: of the stabilising constant of means.
        k2: of the stabilising constant of deviations.

    Returns:
        `(B,)` float32 (float64 for float64), at most 1, which only equal images have.

    Raises:
        ValueError: for shapes that differ, images smaller than the window, or other settings than
            these.

    Example:
        >>> image = ops.reshape(ops.arange(144.0), (1, 12, 12, 1))
        >>> round(float(ssim(image, 143.0 - image, data_range=143)[0]), 2)
        -0.93
    """
    a, b = checked_pair(a, b, data_range)
    weights = _weights(window, size, sigma)
    _check_size(a.shape[1:-1], size, 1)
    return ops.mean(_maps(a, b, data_range, weights, k1, k2)[0], axis=_all_but_first(a))


def ms_ssim(
    a,
    b,
    *,
    data_range: float,
    weights: Sequence[float] = SCALE_WEIGHTS,
    window: str = "gaussian",
    size: int = 11,
    sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
):
    """Compare structure on several scales, each half as large, and luminance on the smallest.

    The product of the scales' means, each to the power of its weight. A scale whose mean is
    negative makes it 0, with a gradient of 0.

    Reference: Wang, Simoncelli, Bovik 2003, "Multi-scale Structural Similarity for Image Quality
    Assessment", equation 7; means before powers, 2 x 2 averages and zero for negative means as in
    MONAI and the authors' later programs.

    Args:
        a: `(B, [D,] H, W, C)` float; with five scales each axis has 176 pixels at least.
        b: the same shape.
        data_range: largest possible value less the smallest.
        weights: exponent of each scale, the finest first.
        window: "gaussian" or "uniform".
        size: length of the window's sides in pixels.
        sigma: of the gaussian window, in pixels.
        k1: of the stabilising constant of means.
        k2: of the stabilising constant of deviations.

    Returns:
        `(B,)` float32 (float64 for float64), from 0 to 1.

    Raises:
        ValueError: for shapes that differ, images too small for the scales, or other settings.

    Example:
        >>> image = ops.reshape(ops.arange(576.0), (1, 24, 24, 1))
        >>> round(float(ms_ssim(image, image, data_range=575, weights=(0.5, 0.5))[0]), 4)
        1.0
    """
    a, b = checked_pair(a, b, data_range)
    if not len(weights) or min(weights) <= 0:
        raise ValueError(f"`weights` must be numbers above 0; received {tuple(weights)}")
    kernel = _weights(window, size, sigma)
    _check_size(a.shape[1:-1], size, len(weights))
    parts = []
    for scale in range(len(weights)):
        if scale:
            a, b = _halved(a), _halved(b)
        whole, structure = _maps(a, b, data_range, kernel, k1, k2)
        chosen = whole if scale == len(weights) - 1 else structure
        parts.append(ops.mean(chosen, axis=_all_but_first(a)))
    means = ops.stack(parts, axis=1)  # (B, scales)
    # The slope of a root at 0 is infinite: selected before it is taken.
    positive = means > _SMALLEST
    exponents = ops.convert_to_tensor(np.asarray(weights), dtype=means.dtype)
    powers = ops.power(ops.where(positive, means, 1.0), exponents)
    return ops.prod(ops.where(positive, powers, 0.0), axis=1)


def smallest_size(scales: int = len(SCALE_WEIGHTS), size: int = 11) -> int:
    """Give the shortest axis that a window fits into on every scale.

    Args:
        scales: number of scales.
        size: length of the window's sides in pixels.

    Returns:
        Pixels.

    Example:
        >>> smallest_size()
        176
    """
    return size * 2 ** (scales - 1)


def checked_pair(a, b, data_range: float):
    """Check two batches of images that are to be compared.

    Args:
        a: `(B, [D,] H, W, C)` float.
        b: the same shape.
        data_range: largest possible value less the smallest.

    Returns:
        Both, of one type, at least float32.

    Raises:
        ValueError: for shapes that differ or are none of images, or a range that is not above 0.
    """
    a, b = at_least_float32(a), at_least_float32(b)
    if a.dtype != b.dtype:
        a, b = ops.cast(a, "float64"), ops.cast(b, "float64")
    shapes = tuple(a.shape), tuple(b.shape)
    known = all(None in pair or pair[0] == pair[1] for pair in zip(*shapes, strict=False))
    if len(shapes[0]) not in (4, 5) or len(shapes[0]) != len(shapes[1]) or not known:
        raise ValueError(
            "images that are compared need one shape, (B, H, W, C) or (B, D, H, W, C); received "
            f"{shapes[0]} and {shapes[1]}"
        )
    if not 0 < data_range < math.inf:
        raise ValueError(
            "`data_range` must be the largest possible value less the smallest, above 0; received "
            f"{data_range}"
        )
    return a, b


def _maps(a, b, data_range, weights, k1, k2):
    """The similarity at each place of the window, and its part without luminance."""
    axes = _all_but_first(a)
    # Variances do not depend on an offset, but their rounding does: 16-bit images have large ones.
    offset = ops.stop_gradient(ops.mean(a + b, axis=axes, keepdims=True)) / 2
    a, b = (a - offset) / data_range, (b - offset) / data_range
    offset = offset / data_range
    moments = ops.stack([a, b, a * a, b * b, a * b])  # (5, B, ..., C)
    for axis in range(2, len(moments.shape) - 1):
        moments = _filtered(moments, axis, weights)
    mean_a, mean_b, square_a, square_b, product = (moments[i] for i in range(5))
    covariance = product - mean_a * mean_b
    variances = square_a - ops.square(mean_a) + square_b - ops.square(mean_b)
    structure = (2 * covariance + k2**2) / (variances + k2**2)
    mean_a, mean_b = mean_a + offset, mean_b + offset
    luminance = (2 * mean_a * mean_b + k1**2) / (ops.square(mean_a) + ops.square(mean_b) + k1**2)
    return luminance * structure, structure


def _filtered(x, axis, weights):
    """Weighted sum of the shifts of one axis, where the window lies inside."""
    length = ops.shape(x)[axis] - len(weights) + 1
    before = (slice(None),) * axis
    total = 0.0
    for shift, weight in enumerate(weights):
        total = total + weight * x[(*before, slice(shift, shift + length))]
    return total


def _halved(x):
    """Means of blocks of two along each axis; TensorFlow pools no volumes of float64."""
    for axis in range(1, len(x.shape) - 1):
        even = ops.shape(x)[axis] // 2 * 2
        before = (slice(None),) * axis
        x = (x[(*before, slice(0, even, 2))] + x[(*before, slice(1, even, 2))]) / 2
    return x


def _weights(window, size, sigma):
    """The window along one axis, of sum 1."""
    if window not in WINDOWS or size < 1 or not sigma > 0:
        raise ValueError(
            f"`window` must be one of {WINDOWS}, `size` 1 or more and `sigma` above 0; received "
            f"{window!r}, {size} and {sigma}"
        )
    if window == "uniform":
        return [1.0 / size] * size
    distances = np.arange(size) - (size - 1) / 2
    values = np.exp(-0.5 * (distances / sigma) ** 2)
    return (values / values.sum()).tolist()


def _check_size(sides, size, scales):
    needed = smallest_size(scales, size)
    if any(side is not None and side < needed for side in sides):
        raise ValueError(
            f"a window of {size} pixels on {scales} scale(s) needs {needed} pixels along each "
            f"axis; received {tuple(sides)}: take a smaller `size`"
            + (", fewer `weights`, or `ssim`" if scales > 1 else "")
        )


def _all_but_first(x):
    return tuple(range(1, len(x.shape)))
