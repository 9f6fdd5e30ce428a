"""What a retrieval has to beat: slices ranked by the mutual information of their intensities.

    python tests/benchmarks/mutual_information.py

Registration of two modalities has always compared images by mutual information, without any
training. Run as a program, it prints the time for 400 queries in a gallery of 400 slices of 96x96
pixels, and how often it finds the own slice of a volume whose second modality is an unknown
function of the first: as it lies, and turned and shifted. Where both modalities were registered
voxel by voxel mutual information finds nearly every slice of the patient by its outline; patients
who lay differently are the task that remains. `displaced` makes it, for every method the same.

Reference:
    Viola, Wells: Alignment by maximization of mutual information, International Journal of
    Computer Vision 24 (1997).
    Studholme, Hill, Hawkes: An overlap invariant entropy measure of 3D medical image alignment,
    Pattern Recognition 32 (1999).
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from scipy.ndimage import affine_transform, gaussian_filter

_BLOCK = 1 << 22  # pixels of the gallery counted at once: 32 MB


def mutual_information(
    queries: Sequence[np.ndarray],
    gallery: Sequence[np.ndarray],
    *,
    bins: int = 32,
    normalized: bool = False,
) -> np.ndarray:
    """Computes the mutual information of every query with every slice of a gallery.

    Args:
        queries: `(Q, H, W)` slices of one modality, of any range.
        gallery: `(G, H, W)` slices of the other, on the same grid.
        bins: of each axis of the joint histogram; see `binned`.
        normalized: gives Studholme's (H(a) + H(b)) / H(a, b) in place of
            H(a) + H(b) - H(a, b).

    Returns:
        `(Q, G)` float64 in nats (a ratio of 1 to 2 if normalized): scores for
        `kmed.metrics.retrieval_report(scores, None, ...)`.

    Raises:
        ValueError: for slices of different sizes.

    Example:
        >>> image = np.tile(np.arange(8.0), (8, 1))
        >>> mutual_information([image], [-image, np.zeros((8, 8))], bins=8).round(3).tolist()
        [[2.079, 0.0]]
    """
    a, b = (binned(slices, bins).astype("int64") for slices in (queries, gallery))
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            "the slices of both modalities must have one size; received "
            f"{np.shape(queries)[1:]} and {np.shape(gallery)[1:]}"
        )
    pixels, cells = a.shape[1], bins * bins
    entropy_a, entropy_b = (_entropy(_histograms(one, bins), pixels) for one in (a, b))
    joint = np.empty((len(a), len(b)))
    step = max(1, _BLOCK // pixels)
    for start in range(0, len(b), step):
        part = b[start : start + step]
        # Each slice of the gallery counts in cells of its own, so that one call counts them all.
        own = part + cells * np.arange(len(part))[:, None]
        for i, query in enumerate(a):
            counts = np.bincount((own + bins * query).ravel(), minlength=cells * len(part))
            joint[i, start : start + step] = _entropy(counts.reshape(len(part), cells), pixels)
    both = entropy_a[:, None] + entropy_b
    if not normalized:
        return both - joint
    return np.divide(both, joint, out=np.ones_like(joint), where=joint > 0)


def binned(slices: Sequence[np.ndarray], bins: int = 32) -> np.ndarray:
    """Gives the bin of each pixel: equal parts of the slice's 0.5th to 99.5th percentile.

    What lies beyond them goes into the first or last bin; a slice of one value is all in the first.

    Args:
        slices: `(N, H, W)`.
        bins: their number.

    Returns:
        `(N, H * W)` uint8.
    """
    if not 2 <= bins <= 256:
        raise ValueError(f"`bins` must lie in 2..256; received {bins}")
    result = []
    for image in slices:
        values = np.asarray(image, "float32").ravel()
        low, high = np.percentile(values, (0.5, 99.5))
        scaled = (values - low) * (bins / (high - low) if high > low else 0)
        result.append(np.clip(scaled, 0, bins - 1).astype("uint8"))
    return np.stack(result)


def displaced(
    slices: Sequence[np.ndarray], *, degrees: float = 10.0, share: float = 0.06, seed: int = 0
) -> np.ndarray:
    """Turns and shifts every slice in its plane by a random amount of its own.

    Args:
        slices: `(N, H, W)`.
        degrees: largest turn to either side.
        share: largest shift along each axis, as a share of its length.
        seed: of the amounts.

    Returns:
        `(N, H, W)` float32, interpolated linearly; what comes in from outside is the slice's least
        value.
    """
    rng = np.random.default_rng(seed)
    result = []
    for image in np.asarray(slices, "float32"):
        angle = np.radians(rng.uniform(-degrees, degrees))
        shift = share * rng.uniform(-1, 1, 2) * image.shape
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        centre = (np.array(image.shape) - 1) / 2
        offset = centre - turn @ centre + shift
        result.append(affine_transform(image, turn, offset, order=1, cval=image.min()))
    return np.stack(result)


def _histograms(rows, bins):
    own = rows + bins * np.arange(len(rows))[:, None]
    return np.bincount(own.ravel(), minlength=bins * len(rows)).reshape(len(rows), bins)


def _entropy(counts, pixels):
    """Entropy in nats of each row: log(n) - sum(c log c) / n."""
    logarithm = np.log(np.maximum(counts, 1))
    return np.log(pixels) - (counts * logarithm).sum(axis=-1) / pixels


def example(
    patients: int = 20, slices: int = 20, side: int = 96, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Paints slices of smooth tissue, and their second modality by a curve that is not monotone.

    Args:
        patients: number of volumes.
        slices: of each volume; neighbours resemble each other.
        side: pixels.
        seed: of everything.

    Returns:
        Two arrays `(patients * slices, side, side)` float32.
    """
    rng = np.random.default_rng(seed)
    first = []
    for _ in range(patients):
        volume = gaussian_filter(rng.normal(size=(slices, side, side)), (2, 6, 6), mode="wrap")
        first.append(volume / volume.std())
    first = np.concatenate(first)
    second = np.cos(2 * first) + 0.3 * first
    noise = [0.3 * rng.normal(size=first.shape) for _ in range(2)]
    return (first + noise[0]).astype("float32"), (second + noise[1]).astype("float32")


def main() -> None:
    """Print the time and what is found."""
    from kmed.metrics.retrieval import median_rank, recall_at

    queries, gallery = example()
    items = np.arange(len(queries))
    truth = items[:, None] == items
    for name, asked in (("registered", queries), ("displaced", displaced(queries))):
        start = time.perf_counter()
        scores = mutual_information(asked, gallery)
        seconds = time.perf_counter() - start
        print(
            f"{name}: {len(queries)} x {len(gallery)} slices of 96x96 in {seconds:.1f} s, Recall@1 "
            f"{recall_at(scores, None, truth):.3f}, median rank "
            f"{median_rank(scores, None, truth):.0f}"
        )


if __name__ == "__main__":
    main()
