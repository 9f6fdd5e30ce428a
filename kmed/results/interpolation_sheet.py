"""What a generator makes on the way from one random vector to another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from kmed.results.drawing import BACKDROP
from kmed.results.image_grid import GAP, image_grid

_FAINT = (160, 160, 168)
_LETTERS = 12
_LINE = 20  # pixels


def slerp(a: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
    """Goes from one vector to another along the great circle between their directions.

    Normal vectors of many dimensions have nearly one length, which the straight line between two
    leaves: halfway it is shorter by a factor of sqrt(2), and the generator has seen none as short.

    Reference: Shoemake 1985, "Animating Rotation with Quaternion Curves", section 3.3; White 2016,
    "Sampling Generative Networks", section 2.1.

    Args:
        a: `(..., latent)`, the vector of t = 0.
        b: `(..., latent)`, the vector of t = 1.
        t: share of the way, 0..1.

    Returns:
        `(..., latent)` of the vectors' type; the straight line where they point the same way or
        opposite ways, as no single great circle joins them.

    Raises:
        ValueError: if the shapes differ or `t` is out of range.

    Example:
        >>> slerp(np.array([1.0, 0.0]), np.array([0.0, 1.0]), 0.5).round(3).tolist()
        [0.707, 0.707]
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.ndim < 1:
        raise ValueError(f"`a` and `b` must have one shape; received {a.shape} and {b.shape}")
    if not 0 <= t <= 1:
        raise ValueError(f"`t` must be in 0..1; received {t}")
    first, second = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
    cosine = (first * second).sum(axis=-1) / np.where(lengths > 0, lengths, 1)
    angle = np.arccos(np.clip(cosine, -1, 1))[..., None]
    sine = np.sin(angle)
    straight = (sine < 1e-6) | (lengths == 0)[..., None]
    safe = np.where(straight, 1, sine)
    shares = [np.where(straight, linear, np.sin(linear * angle) / safe) for linear in (1 - t, t)]
    return (shares[0] * first + shares[1] * second).astype(np.result_type(a, b, np.float32))


def interpolation_sheet(
    images: np.ndarray, low: float, high: float, steps: Sequence[float] | None = None
) -> np.ndarray:
    """Draws a row for each pair of vectors, and a column for each share of the way.

    Args:
        images: `(pairs, T, [D,] H, W, C)`.
        low: value that is black.
        high: value that is white.
        steps: the T shares, written above the columns; by default evenly from 0 to 1.

    Returns:
        `(H', W', 3)` uint8 RGB; images as `image_grid` draws them.

    Raises:
        ValueError: for another rank or as many steps as there are no columns.

    Example:
        >>> interpolation_sheet(np.zeros((2, 3, 32, 32, 1)), -1.0, 1.0).shape
        (224, 304, 3)
    """
    images = np.asarray(images)
    if images.ndim not in (5, 6) or 0 in images.shape:
        raise ValueError(
            f"`images` must be (pairs, T, [D,] H, W, C), not empty; received shape {images.shape}"
        )
    pairs, count = images.shape[:2]
    steps = np.linspace(0, 1, count) if steps is None else steps
    if len(steps) != count:
        raise ValueError(
            f"`steps` must have one for each of {count} columns; received {len(steps)}"
        )
    flat = images.reshape(pairs * count, *images.shape[2:])
    grid = image_grid(flat, low, high, columns=count)
    head = Image.new("RGB", (grid.shape[1], _LINE), BACKDROP)
    draw, font = ImageDraw.Draw(head), ImageFont.load_default(_LETTERS)
    width = (grid.shape[1] - GAP) / count
    for i, step in enumerate(steps):
        text = f"{float(step):.2f}".rstrip("0").rstrip(".")
        middle = GAP + i * width + (width - GAP) / 2
        draw.text((middle, _LINE / 2 + 2), text, _FAINT, font, anchor="mm")
    return np.concatenate([np.asarray(head), grid])
