"""Whole images and volumes through a network that sees one window at a time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from kmed.data.patches import cut


def sliding_window(
    predict: Callable[[np.ndarray], np.ndarray],
    image: np.ndarray,
    window: Sequence[int],
    *,
    margin: int = 0,
    overlap: float = 0.5,
    batch_size: int = 4,
    flips: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """Predict a large image window by window and blend the windows with Gaussian weights.

    Only the rows that further windows may still change are kept: memory does not grow with the
    first axis. An image smaller than the window is continued by its edge on both sides.

    Reference: Isensee et al. 2021, "nnU-Net", Methods, "Inference" (half-window overlap, Gaussian
    weights of deviation 1/8 of the window, mirroring along all axes).

    Args:
        predict: function from windows `(B, *window + 2 * margin, C)` to values `(B, *window, K)`.
        image: `(H, W, C)` or `(D, H, W, C)`, prepared for the network; may be memory-mapped.
        window: size of the network's output along each spatial axis.
        margin: what the network's input is larger than its output at each end (92 for the U-Net
            of valid convolutions); filled from the image, or by mirroring at its edge.
        overlap: share of a window that the next one covers too, in [0, 1).
        batch_size: windows for one call of `predict`.
        flips: average over all mirrored versions of each window, 4 in 2D and 8 in 3D.
        progress: called with the number of windows done and of all.

    Yields:
        Pairs of first row and values `(rows, [H,] W, K)` float32, from the first row to the last.

    Raises:
        ValueError: if the window and the image differ in rank, or `overlap` is out of range.
    """
    shape, window = image.shape[:-1], tuple(window)
    if len(window) != len(shape):
        raise ValueError(
            f"`window` must have one size per spatial axis; received {window} for an image of "
            f"shape {image.shape}"
        )
    if not 0 <= overlap < 1:
        raise ValueError(f"`overlap` must be in [0, 1); received {overlap}")
    if flips:
        predict = _averaged_over_flips(predict, len(window))
    rows, *others = (_starts(n, w, overlap) for n, w in zip(shape, window, strict=True))
    starts = [(row, *rest) for row in rows for rest in itertools.product(*others)]
    importance = gaussian_window(window)[..., None]
    total, weight, first = None, None, rows[0]  # sums of the rows from `first` on
    size = [w + 2 * margin for w in window]
    for done in range(0, len(starts), batch_size):
        batch = starts[done : done + batch_size]
        cuts = [cut(image, np.array(s) - margin, size, mirror=margin > 0) for s in batch]
        values = predict(np.stack(cuts).astype(np.float32))
        if total is None:
            total = np.zeros((window[0], *shape[1:], values.shape[-1]), np.float32)
            weight = np.zeros((window[0], *shape[1:], 1), np.float32)
        for start, value in zip(batch, values, strict=True):
            if start[0] > first:
                yield from _finished(total, weight, first, start[0], shape[0])
                first = start[0]
            inside, source = _overlap(start[1:], window[1:], shape[1:])
            total[(slice(None), *inside)] += (importance * value)[(slice(None), *source)]
            weight[(slice(None), *inside)] += importance[(slice(None), *source)]
        if progress:
            progress(min(done + batch_size, len(starts)), len(starts))
    yield from _finished(total, weight, first, first + window[0], shape[0])


def gaussian_window(window: Sequence[int], deviation: float = 0.125) -> np.ndarray:
    """Weights of a window's voxels: a Gaussian around its centre.

    Args:
        window: size along each axis.
        deviation: standard deviation as a fraction of the size.

    Returns:
        float32 of shape `window`, largest in the centre, at least 0.001.

    Example:
        >>> gaussian_window((3,)).argmax()
        np.int64(1)
    """
    weights = np.ones((), np.float64)
    for size in window:
        distance = (np.arange(size) - (size - 1) / 2) / (deviation * size)
        weights = weights[..., None] * np.exp(-0.5 * distance**2)
    # The corners of a large window underflow, and a weight of 0 has nothing to divide by.
    return np.maximum(weights, 1e-3).astype(np.float32)


def _starts(length: int, window: int, overlap: float) -> list[int]:
    if length <= window:
        return [(length - window) // 2]
    steps = int(np.ceil((length - window) / max(1, window * (1 - overlap))))
    return [round(i * (length - window) / steps) for i in range(steps + 1)]


def _overlap(start, window, shape):
    """Where windows lie in the image, and what part of the window that is."""
    inside, source = [], []
    for first, size, length in zip(start, window, shape, strict=True):
        inside.append(slice(max(first, 0), min(first + size, length)))
        source.append(slice(max(-first, 0), max(-first, 0) + inside[-1].stop - inside[-1].start))
    return inside, source


def _finished(total, weight, first, after, length):
    """Give the rows from `first` to before `after` and move the rest up."""
    count = min(after - first, total.shape[0])
    low, high = max(first, 0), min(first + count, length)
    if high > low:
        part = slice(low - first, high - first)
        yield low, total[part] / weight[part]
    for sums in (total, weight):
        sums[: -count or None] = sums[count:].copy()
        sums[-count:] = 0


def _averaged_over_flips(predict, rank):
    axes = range(1, rank + 1)
    subsets = [s for n in range(rank + 1) for s in itertools.combinations(axes, n)]

    def averaged(windows):
        return sum(np.flip(predict(np.flip(windows, s)), s) for s in subsets) / len(subsets)

    return averaged
