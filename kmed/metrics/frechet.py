"""The Fréchet distance between two sets of images, seen as Gaussians in a space of features."""

from __future__ import annotations

import numpy as np


def frechet_distance(
    mean1: np.ndarray, covariance1: np.ndarray, mean2: np.ndarray, covariance2: np.ndarray
) -> float:
    """Returns the squared Fréchet (Wasserstein-2) distance between two Gaussians.

    `|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))`. The trace of the root is the sum of the roots of
    the eigenvalues of `C1^(1/2) C2 C1^(1/2)`, which is symmetric: nothing becomes complex and
    nothing has to be added to singular covariances, as with a general matrix root.

    References:
        Dowson, Landau: The Fréchet distance between multivariate normal distributions, J.
        Multivariate Anal. 12 (1982), equation 4.
        Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule", equation 6.

    Args:
        mean1: `(F,)`.
        covariance1: `(F, F)`, symmetric, without negative eigenvalues.
        mean2: `(F,)`.
        covariance2: `(F, F)`.

    Returns:
        The distance, in the squared unit of the features.

    Raises:
        ValueError: for shapes that don't fit, values that are not finite, or a matrix that is no
            covariance.

    Example:
        >>> round(frechet_distance([0.0], [[4.0]], [3.0], [[1.0]]), 6)  # 3^2 + (2 - 1)^2
        10.0
    """
    mean1, mean2 = (np.asarray(mean, "float64") for mean in (mean1, mean2))
    first, second = (np.asarray(matrix, "float64") for matrix in (covariance1, covariance2))
    size = mean1.shape
    if len(size) != 1 or not (mean2.shape == size and first.shape == second.shape == 2 * size):
        raise ValueError(
            "two means (F,) and two covariances (F, F) are needed; received "
            f"{mean1.shape}, {first.shape}, {mean2.shape} and {second.shape}"
        )
    for name, mean in (("mean1", mean1), ("mean2", mean2)):
        if not np.isfinite(mean).all():
            raise ValueError(f"`{name}` must be finite; received {mean}")
    for name, matrix in (("covariance1", first), ("covariance2", second)):
        if not np.allclose(matrix, matrix.T, rtol=1e-6, atol=1e-9 * np.abs(matrix).max()):
            raise ValueError(f"`{name}` must be symmetric and finite")
    values, vectors = np.linalg.eigh(first)
    root = vectors * np.sqrt(_not_negative(values, "covariance1")) @ vectors.T
    shared = _not_negative(np.linalg.eigvalsh(root @ second @ root), "covariance2")
    trace = np.trace(first) + np.trace(second) - 2 * np.sqrt(shared).sum()
    return _finite(np.square(mean1 - mean2).sum() + trace)


def frechet_distance_of_features(real: np.ndarray, fake: np.ndarray) -> float:
    """Returns the Fréchet distance between two sets of features (FID with those of Inception).

    The number means nothing without the extractor, its weights and how images were resized. It is
    larger than that of infinitely many images, by about a constant over their number (the more the
    more features there are), so compare only distances of equal numbers. With fewer images than
    features the covariances are singular: the distance is still what the formula says, and that
    share of it is large.

    The trace of the root is computed as the sum of the singular values of the product of both
    centred tables, which it equals: the covariances are never formed.

    References:
        Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule", equation 6.
        Chong, Forsyth 2020, "Effectively Unbiased FID and Inception Score", on the bias.

    Args:
        real: features of real images, `(N, F)`.
        fake: features of generated images, `(M, F)`.

    Returns:
        The distance, in the squared unit of the features.

    Raises:
        ValueError: for shapes that don't fit, fewer than two images of either kind, or values that
            are not finite.

    Example:
        >>> real = np.random.default_rng(0).normal(size=(500, 8))
        >>> round(frechet_distance_of_features(real, real + 1), 6)
        8.0
    """
    real, fake = checked_features(real, fake)
    distance = np.square(real.mean(axis=0) - fake.mean(axis=0)).sum()
    triangles = []
    for table in (real, fake):
        centred = (table - table.mean(axis=0)) / np.sqrt(len(table) - 1)
        distance += np.square(centred).sum()  # trace of the covariance
        triangles.append(np.linalg.qr(centred, mode="r"))
    first, second = triangles
    return _finite(distance - 2 * np.linalg.svd(first @ second.T, compute_uv=False).sum())


def checked_features(real: np.ndarray, fake: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Checks two tables of features.

    Args:
        real: `(N, F)`.
        fake: `(M, F)`.

    Returns:
        Both in float64.

    Raises:
        ValueError: for shapes that don't fit, fewer than two rows, or values that are not finite.
    """
    real, fake = np.asarray(real, "float64"), np.asarray(fake, "float64")
    if not (real.ndim == fake.ndim == 2 and real.shape[1] == fake.shape[1] > 0):
        raise ValueError(
            "features must be (N, F) and (M, F), see `kmed.metrics.features`; received "
            f"{real.shape} and {fake.shape}"
        )
    if min(len(real), len(fake)) < 2:
        raise ValueError(
            f"two images of each kind are needed at least; received {len(real)} and {len(fake)}"
        )
    for name, table in (("real", real), ("fake", fake)):
        bad = int((~np.isfinite(table).all(axis=1)).sum())
        if bad:
            raise ValueError(f"`{name}` must be finite; {bad} of {len(table)} rows are not")
    return real, fake


def _not_negative(values, name):
    if values.min() < -1e-6 * max(np.abs(values).max(), 1e-300):
        raise ValueError(
            f"`{name}` must be a covariance; its smallest eigenvalue is {values.min():.3g} "
            f"(largest {values.max():.3g})"
        )
    return np.maximum(values, 0)


def _finite(distance):
    """Rounding may leave equal Gaussians a little below 0."""
    return float(max(distance, 0.0))
