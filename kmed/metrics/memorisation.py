"""Whether generated images are copies of training images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kmed.metrics.distances import distance_blocks

_HALF = 0.5
_UNUSUAL = 0.01


@dataclass(frozen=True)
class Memorisation:
    """What a search for copies of training images found.

    Attributes:
        nearest: for each generated image the index of its nearest training image, `(N,)`.
        distance: its distance to that one, `(N,)`.
        held_out: distances of the held-out real images to their nearest training images, `(M,)`.
        limit: the largest distance of a copy.
    """

    nearest: np.ndarray
    distance: np.ndarray
    held_out: np.ndarray
    limit: float

    @property
    def copies(self) -> np.ndarray:
        """Which generated images are copies, `(N,)` bool."""
        return self.distance <= self.limit

    @property
    def share(self) -> float:
        """The share of generated images that are copies."""
        return float(self.copies.mean())

    @property
    def held_out_share(self) -> float:
        """The share of held-out images that the same rule calls copies: what chance makes of it."""
        return float((self.held_out <= self.limit).mean())

    @property
    def ratio(self) -> np.ndarray:
        """`distance` relative to the median of `held_out`, `(N,)`; NaN if that is 0.

        About 1 says that generated images are no nearer to the training images than new real ones.
        """
        usual = np.median(self.held_out)
        return self.distance / usual if usual > 0 else np.full(len(self.distance), np.nan)

    @property
    def nearer(self) -> float:
        """Probability that a generated image is nearer to the training images than a held-out one.

        0.5 is what is wanted; near 1 the generator copies, near 0 it makes images unlike any real.
        This is the Mann-Whitney statistic of Meehan et al. 2020 over one cell.
        """
        ordered = np.sort(self.held_out)
        above = len(ordered) - np.searchsorted(ordered, self.distance, "right")
        equal = len(ordered) - np.searchsorted(ordered, self.distance, "left") - above
        return float((above + equal / 2).mean() / len(ordered))


def memorisation(fake: np.ndarray, known: np.ndarray, *, held_out: np.ndarray) -> Memorisation:
    """Looks for the nearest training image of every generated image.

    How near is too near is told by real images that were not trained on. A generated image is
    called a copy if it is nearer to a training image than half of what is usual (the median) for a
    held-out one, and nearer than 99 of 100 of them (than all, where there are fewer); so about one
    in 100 of an honest generator's images at most is called a copy. Held-out images must be of
    other patients than the training images: neighbouring slices of one patient hide copies.

    Distances are Euclidean. Between pixels, a copy that was shifted by a pixel is far from its
    original; between features, images that an extractor can't tell apart are near. Do both.
    Memory doesn't grow with the number of images.

    Reference: Meehan, Chaudhuri and Dasgupta 2020, "A Non-Parametric Test to Detect Data-Copying in
    Generative Models", section 3: distances to the training set, generated against held-out.

    Args:
        fake: generated images or their features, `(N, ...)`.
        known: training images or their features, `(K, ...)`.
        held_out: real images that were not trained on, or their features, `(M, ...)`.

    Returns:
        Distances and copies.

    Raises:
        ValueError: for shapes that don't fit, no image of any kind, or values that are not finite.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> known, new = rng.normal(size=(200, 16)), rng.normal(size=(50, 16))
        >>> fake = np.concatenate([known[:10] + 0.01, rng.normal(size=(30, 16))])
        >>> found = memorisation(fake, known, held_out=new)
        >>> found.share, found.nearest[:3].tolist()
        (0.25, [0, 1, 2])
    """
    known = np.asarray(known)
    tables = {"fake": np.asarray(fake), "held_out": np.asarray(held_out)}
    for name, table in tables.items():
        if known.ndim < 2 or table.shape[1:] != known.shape[1:] or 0 in (len(table), len(known)):
            raise ValueError(
                f"`{name}` and `known` must have the same shape and one image at least; received "
                f"{table.shape} and {known.shape}"
            )
    nearest, distance = nearest_rows(tables["fake"], known)
    _, usual = nearest_rows(tables["held_out"], known)
    limit = min(_HALF * np.median(usual), np.quantile(usual, _UNUSUAL, method="lower"))
    return Memorisation(nearest, distance, usual, float(limit))


def nearest_rows(table: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Finds the nearest row of another table for every row.

    Args:
        table: `(N, ...)`.
        among: `(M, ...)`.

    Returns:
        Indices `(N,)` and Euclidean distances `(N,)` float64; 0 exactly for equal rows.

    Example:
        >>> nearest_rows(np.array([[0.0], [9.0]]), np.array([[8.0], [1.0]]))[0].tolist()
        [1, 0]
    """
    nearest, least = np.zeros(len(table), int), np.full(len(table), np.inf)
    for rows, columns, block in distance_blocks(table, among):
        found = block.argmin(axis=1)
        distance = block[np.arange(len(block)), found]
        better = distance < least[rows]
        nearest[rows] = np.where(better, found + columns.start, nearest[rows])
        least[rows] = np.where(better, distance, least[rows])
    for i, j in enumerate(nearest):  # again, without the rounding of the expanded square
        least[i] = np.linalg.norm((table[i].astype("float64") - among[j]).ravel())
    return nearest, least
