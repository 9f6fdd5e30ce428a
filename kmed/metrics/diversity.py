"""How different generated images are from one another: mode collapse."""

from __future__ import annotations

import numpy as np

from kmed.metrics.distances import distance_blocks

#: A generator whose diversity is below this has collapsed.
COLLAPSED = 0.1


def diversity(fake: np.ndarray, real: np.ndarray) -> float:
    """Returns the mean distance between generated images relative to that between real ones.

    1 is as diverse as the real images; 0 is one image again and again, mode collapse. Distances
    are Euclidean, between pixels or features. Noise counts as diversity too, and a generator that
    makes one image of each class is hardly less diverse than the classes: see `least_diversity`.

    Reference: the pairwise distances of Zhu et al. 2017, "Toward Multimodal Image-to-Image
    Translation", section 5.1 (there in learned features), relative to the real ones.

    Args:
        fake: generated images or their features, `(N, ...)`.
        real: real images or their features, `(M, ...)`.

    Returns:
        The ratio.

    Raises:
        ValueError: for shapes that don't fit, fewer than two images of either kind, values that
            are not finite, or real images that are all the same.

    Example:
        >>> real = np.random.default_rng(0).normal(size=(100, 16))
        >>> round(diversity(real / 4, real), 6)
        0.25
    """
    fake, real = _checked(fake, real)
    return mean_distance(fake) / _positive(mean_distance(real))


def least_diversity(fake: np.ndarray, real: np.ndarray) -> float:
    """Returns how far generated images are from the next one, relative to real ones.

    The mean distance of each image to the nearest other one. It falls to 0 where images come in
    groups of the same, such as one for each class, which `diversity` does not see. As the distance
    depends on how many there are, as many of both are taken, evenly from all.

    Args:
        fake: generated images or their features, `(N, ...)`.
        real: real images or their features, `(M, ...)`.

    Returns:
        The ratio.

    Raises:
        ValueError: as `diversity`; also if every real image is there twice.

    Example:
        >>> one_of_each = np.repeat(np.eye(4), 5, axis=0)
        >>> real = one_of_each + np.random.default_rng(0).normal(0, 0.1, (20, 4))
        >>> round(diversity(one_of_each, real), 1), round(least_diversity(one_of_each, real), 3)
        (0.9, 0.0)
    """
    fake, real = _checked(fake, real)
    count = min(len(fake), len(real))
    distances = []
    for images in (fake, real):
        images = images[np.linspace(0, len(images) - 1, count).round().astype(int)]
        nearest = np.full(count, np.inf)
        for rows, columns, block in distance_blocks(images, images):
            block[np.arange(rows.start, rows.stop)[:, None] == np.arange(count)[columns]] = np.inf
            nearest[rows] = np.minimum(nearest[rows], block.min(axis=1))
        distances.append(float(nearest.mean()))
    return distances[0] / _positive(distances[1])


def mean_distance(images: np.ndarray) -> float:
    """Returns the mean Euclidean distance between two different images.

    Args:
        images: or their features, `(N, ...)`.

    Returns:
        The mean over all pairs.

    Raises:
        ValueError: for fewer than two images or values that are not finite.

    Example:
        >>> round(mean_distance(np.array([[0.0], [1.0], [3.0]])), 6)  # of 1, 2 and 3
        2.0
    """
    count = len(images)
    if count < 2:
        raise ValueError(f"two images are needed at least; received {count}")
    total = 0.0
    for rows, columns, block in distance_blocks(images, images):
        if rows == columns:  # rounding leaves an image a little apart from itself
            np.fill_diagonal(block, 0)
        total += block.sum()
    return float(total / (count * (count - 1)))


def _checked(fake, real):
    fake, real = np.asarray(fake), np.asarray(real)
    if fake.ndim < 2 or fake.shape[1:] != real.shape[1:] or min(len(fake), len(real)) < 2:
        raise ValueError(
            "generated and real images must have the same shape, and be two of each at least; "
            f"received {fake.shape} and {real.shape}"
        )
    return fake, real


def _positive(distance):
    if not distance > 0:
        raise ValueError("`real` must have images that differ; received the same ones")
    return distance
