"""The kernel distance (KID) between two sets of images in a space of features."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kmed.metrics.frechet import checked_features


class KernelDistance(NamedTuple):
    """A kernel distance with how it was computed.

    Attributes:
        value: mean over the subsets; may be below 0, as an unbiased estimate of 0 is half the time.
        deviation: standard deviation over the subsets; NaN if there is only one.
        subsets: number of subsets.
        size: images of each kind in a subset.
    """

    value: float
    deviation: float
    subsets: int
    size: int


def kernel_distance(
    real: np.ndarray, fake: np.ndarray, *, subsets: int = 100, size: int = 1000, seed: int = 0
) -> KernelDistance:
    """Returns the kernel distance: the squared maximum mean discrepancy of a cubic kernel.

    Unlike the Fréchet distance its estimate is unbiased for any number of images. It too means
    nothing without the extractor, its weights and how images were resized.

    Reference: Bińkowski et al. 2018, "Demystifying MMD GANs", section 4 and equation 4; the
    published program takes 100 subsets of 1000 images.

    Args:
        real: features of real images, `(N, F)`.
        fake: features of generated images, `(M, F)`.
        subsets: number of random subsets.
        size: images of each kind in a subset; all, if there are fewer of either kind. Where a
            subset is all images of both kinds there is only one.
        seed: of the subsets.

    Returns:
        Mean and deviation over the subsets.

    Raises:
        ValueError: for shapes that don't fit, fewer than two images of either kind, values that
            are not finite, or arguments out of range.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> real, fake = rng.normal(size=(2, 400, 8))
        >>> found = kernel_distance(real, fake)
        >>> bool(abs(found.value) < 0.1), found.subsets
        (True, 1)
        >>> bool(kernel_distance(real, fake + 1).value > 1)
        True
    """
    real, fake = checked_features(real, fake)
    if subsets < 1 or size < 2:
        raise ValueError(
            f"`subsets` must be at least 1 and `size` at least 2; received {subsets} and {size}"
        )
    size = min(size, len(real), len(fake))
    if size == len(real) == len(fake):
        subsets = 1
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(subsets):
        a = real[rng.choice(len(real), size, replace=False)]
        b = fake[rng.choice(len(fake), size, replace=False)]
        values.append(discrepancy(cubic_kernel(a, a), cubic_kernel(b, b), cubic_kernel(a, b)))
    deviation = float(np.std(values, ddof=1)) if subsets > 1 else float("nan")
    return KernelDistance(float(np.mean(values)), deviation, subsets, size)


def cubic_kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Returns `(x . y / F + 1)^3` of all pairs of rows.

    Reference: Bińkowski et al. 2018, equation 3.

    Args:
        a: `(N, F)` float64.
        b: `(M, F)` float64.

    Returns:
        `(N, M)` float64.

    Example:
        >>> cubic_kernel(np.array([[1.0, 1.0]]), np.array([[1.0, 1.0], [0.0, 0.0]])).tolist()
        [[8.0, 1.0]]
    """
    return (a @ b.T / a.shape[1] + 1) ** 3


def discrepancy(of_a: np.ndarray, of_b: np.ndarray, between: np.ndarray) -> float:
    """Returns the unbiased estimate of the squared maximum mean discrepancy.

    Reference: Gretton et al., "A Kernel Two-Sample Test", JMLR 13 (2012), lemma 6.

    Args:
        of_a: kernel of all pairs of the first set, `(N, N)`.
        of_b: kernel of all pairs of the second, `(M, M)`.
        between: kernel of all pairs of both, `(N, M)`.

    Returns:
        The estimate.

    Example:
        >>> discrepancy(np.eye(2), np.eye(2), np.zeros((2, 2)))
        0.0
    """
    within = sum(
        (kernel.sum() - np.trace(kernel)) / (len(kernel) * (len(kernel) - 1))
        for kernel in (of_a, of_b)
    )
    return float(within - 2 * between.mean())
