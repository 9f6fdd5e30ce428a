"""Pictures of a segmentation: a mask over its image, for one slice or for a whole volume."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from kmed.data.atomic import write_bytes
from kmed.results.drawing import BACKDROP, paint, robust_range, to_rgb, with_caption, with_legend


def overlay(
    image: np.ndarray,
    mask: np.ndarray,
    *,
    truth: np.ndarray | None = None,
    labels: Sequence[str] | None = None,
    window: tuple[float, float] | None = None,
    alpha: float = 0.3,
    spacing_mm: tuple[float, float] = (1.0, 1.0),
    size: int | None = None,
) -> np.ndarray:
    """Draws a predicted mask over its image: tinted, with a contour, and the reference's dashed.

    Args:
        image: `(H, W)`, `(H, W, 1)` or `(H, W, 3)` of any dtype and range.
        mask: `(H, W)` class indices of the prediction, 0 = background.
        truth: `(H, W)` class indices of the reference, drawn as a dashed white and black line.
        labels: names of the classes, `labels[0]` the background's; adds a legend below.
        window: `(center, width)` in the image's units; None takes the 0.5th to 99.5th percentile.
        alpha: opacity of the tint, 0..1.
        spacing_mm: of rows and columns; pixels that are not square are stretched.
        size: longest side of the picture in pixels; None keeps the image's own within 512..1280.

    Returns:
        `(H', W', 3)` uint8 RGB.

    Raises:
        ValueError: shapes that do not fit each other.

    Example:
        >>> mask = np.zeros((32, 32), "uint8")
        >>> mask[8:24, 8:24] = 1
        >>> overlay(np.random.default_rng(0).normal(size=(32, 32)), mask).shape
        (512, 512, 3)
    """
    image = _as_channels(image, rank=2)
    _check_masks(image.shape[:2], mask=mask, truth=truth)
    picture = paint(to_rgb(image, window), mask, truth, alpha, spacing_mm, size)
    # In proportion, as a large picture is seldom shown at its full size.
    letters = min(28, max(14, picture.shape[1] // 28))
    return with_legend(picture, labels, mask, truth, letters)


def montage(
    volume: np.ndarray,
    mask: np.ndarray,
    truth: np.ndarray | None = None,
    *,
    slices: Sequence[int] | int = 6,
    labels: Sequence[str] | None = None,
    window: tuple[float, float] | None = None,
    alpha: float = 0.3,
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    affine: np.ndarray | None = None,
    columns: int = 3,
    size: int = 360,
) -> np.ndarray:
    """Draws several slices of a volume side by side, all in one window.

    The array's rows run to posterior and its columns to the patient's left, so a slice shown as
    it lies in memory is in radiological convention: the patient's right is on the picture's left.

    Args:
        volume: `(D, H, W)`, `(D, H, W, 1)` or `(D, H, W, 3)` of any dtype and range.
        mask: `(D, H, W)` class indices of the prediction, 0 = background.
        truth: `(D, H, W)` class indices of the reference, or None.
        slices: indices along the first axis, or how many `choose_slices` shall choose.
        labels: names of the classes, `labels[0]` the background's; adds a legend below.
        window: `(center, width)` in the volume's units; None takes the volume's percentiles.
        alpha: opacity of the tint, 0..1.
        spacing_mm: of the three axes.
        affine: `(4, 4)` index to patient LPS mm; with it, the sides of the patient are marked.
        columns: slices in a row.
        size: longest side of one slice in pixels.

    Returns:
        `(H', W', 3)` uint8 RGB.

    Raises:
        ValueError: shapes that do not fit each other, or a slice outside the volume.
    """
    volume = _as_channels(volume, rank=3)
    depth = volume.shape[0]
    _check_masks(volume.shape[:3], mask=mask, truth=truth)
    if isinstance(slices, int):
        either = mask if truth is None else np.maximum(mask != 0, truth != 0)
        slices = choose_slices(either, slices)
    if not slices or min(slices) < 0 or max(slices) >= depth:
        raise ValueError(f"`slices` must lie in 0..{depth - 1}; received {list(slices)}")
    if window is None:
        low, high = robust_range(volume)
        window = ((low + high) / 2, high - low)
    tiles = []
    for index in slices:
        tile = paint(
            to_rgb(volume[index], window),
            mask[index],
            None if truth is None else truth[index],
            alpha,
            spacing_mm[1:],
            size,
        )
        tiles.append(with_caption(tile, f"slice {index + 1} of {depth}", affine))
    columns = min(columns, len(tiles))
    gap = 4
    height, width = tiles[0].shape[:2]
    rows = math.ceil(len(tiles) / columns)
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap, 3)
    sheet = np.full(shape, BACKDROP, np.uint8)
    for position, tile in enumerate(tiles):
        top, left = (position // columns) * (height + gap), (position % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = tile
    shown = list(slices)
    return with_legend(sheet, labels, mask[shown], None if truth is None else truth[shown])


def choose_slices(mask: np.ndarray, count: int = 6) -> list[int]:
    """Chooses the slices worth showing: the fullest one, and others evenly through the foreground.

    Args:
        mask: `(D, H, W)`, foreground where it is not 0.
        count: how many slices at most.

    Returns:
        Increasing slice indices; evenly through the whole volume where there is no foreground.

    Example:
        >>> mask = np.zeros((20, 4, 4))
        >>> mask[5:16, 0, 0] = mask[9] = 1
        >>> choose_slices(mask, 3)
        [5, 9, 15]
    """
    if count < 1:
        raise ValueError(f"`count` must be at least 1; received {count}")
    filled = np.count_nonzero(mask, axis=(1, 2))
    where = np.flatnonzero(filled)
    fullest = int(filled.argmax()) if where.size else len(filled) // 2
    if count == 1:
        return [fullest]
    first, last = (int(where[0]), int(where[-1])) if where.size else (0, len(filled) - 1)
    chosen = sorted({round(x) for x in np.linspace(first, last, min(count, last - first + 1))})
    # The fullest slice takes the place of its nearest neighbour.
    nearest = min(range(len(chosen)), key=lambda i: abs(chosen[i] - fullest))
    chosen[nearest] = fullest
    return sorted(set(chosen))


def save_png(path: str | Path, rgb: np.ndarray) -> Path:
    """Writes a picture as PNG, whole or not at all.

    Args:
        path: of the file; missing folders are made.
        rgb: `(H, W, 3)` uint8.

    Returns:
        The path.
    """
    return write_bytes(path, encode_png(rgb))


def encode_png(rgb: np.ndarray) -> bytes:
    """Encodes a picture as PNG.

    Args:
        rgb: `(H, W, 3)` uint8.

    Returns:
        The bytes of the file.
    """
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(rgb)).save(buffer, "PNG")
    return buffer.getvalue()


def _as_channels(image, rank):
    image = np.asarray(image)
    if image.ndim == rank:
        image = image[..., None]
    if image.ndim != rank + 1 or image.shape[-1] not in (1, 3):
        axes = "(H, W, 1 or 3)" if rank == 2 else "(D, H, W, 1 or 3)"
        raise ValueError(f"the image must be {axes}; received shape {image.shape}")
    return image


def _check_masks(shape, **masks):
    for name, mask in masks.items():
        if mask is not None and mask.shape != shape:
            raise ValueError(f"`{name}` must have the image's shape {shape}; received {mask.shape}")
