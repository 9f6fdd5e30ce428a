"""A grid of generated images, pixel by pixel as the network made them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from kmed.results.drawing import BACKDROP
from kmed.results.query_sheet import wrapped

GAP = 4  # pixels around each image
NOT_FINITE = (255, 0, 255)  # magenta, which no image has
_INK = (235, 235, 235)
_LETTERS = 12
_SIDES = (96, 256)  # pixels: smaller images are enlarged, larger ones reduced


def image_grid(
    images: np.ndarray,
    low: float,
    high: float,
    columns: int = 8,
    titles: Sequence[str] | None = None,
) -> np.ndarray:
    """Draws images in rows from left to right.

    Small images are enlarged by a whole number without smoothing, since a generator's faults often
    are single pixels. Of a volume the middle slice is shown, and of images that have neither one
    channel nor three the first channel. Values that are not finite are magenta.

    Args:
        images: `(N, H, W, C)` or `(N, D, H, W, C)`; one channel stays grey.
        low: value that is black.
        high: value that is white.
        columns: images in a row at most.
        titles: a word or two below each image, cut where they are too long.

    Returns:
        `(H', W', 3)` uint8 RGB.

    Raises:
        ValueError: without an image, for another rank, an empty range or titles that don't fit.

    Example:
        >>> image_grid(np.zeros((3, 32, 32, 1)), -1.0, 1.0, columns=2).shape
        (204, 204, 3)
    """
    images = np.asarray(images)
    if images.ndim not in (4, 5) or 0 in images.shape:
        raise ValueError(
            f"`images` must be (N, [D,] H, W, C), at least one; received shape {images.shape}"
        )
    if columns < 1:
        raise ValueError(f"`columns` must be at least 1; received {columns}")
    if titles is not None and len(titles) != len(images):
        raise ValueError(
            f"`titles` must have one for each of {len(images)} images; received {len(titles)}"
        )
    tiles = [enlarged(in_grey_levels(image, low, high)) for image in images]
    height, width = tiles[0].shape[:2]
    line = 0 if titles is None else _LETTERS + 6
    columns = min(columns, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    down, across = height + line + GAP, width + GAP
    sheet = Image.new("RGB", (columns * across + GAP, rows * down + GAP), BACKDROP)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_LETTERS)
    for i, tile in enumerate(tiles):
        left, top = GAP + i % columns * across, GAP + i // columns * down
        sheet.paste(Image.fromarray(tile), (left, top))
        if titles is not None:
            text = wrapped(str(titles[i]), font, width, 1)[0]
            draw.text((left, top + height + line / 2), text, _INK, font, anchor="lm")
    return np.asarray(sheet)


def in_grey_levels(image: np.ndarray, low: float, high: float) -> np.ndarray:
    """Maps an image's values to what a screen shows.

    Args:
        image: `(H, W)`, `(H, W, C)` or a volume `(D, H, W, C)`, of which the middle slice is taken.
        low: value that is black.
        high: value that is white; what lies beyond them is cut off.

    Returns:
        `(H, W, 3)` uint8; magenta where a value is not finite.

    Raises:
        ValueError: for another rank or a range that is empty.

    Example:
        >>> in_grey_levels(np.array([[-160.0, 40.0, 900.0]]), -160, 240)[0, :, 0].tolist()
        [0, 128, 255]
    """
    image = np.asarray(image)
    if not (np.isfinite([low, high]).all() and high > low):
        raise ValueError(f"`high` must be above `low`, both finite; received {low} and {high}")
    if image.ndim == 4:
        image = image[len(image) // 2]
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or 0 in image.shape:
        raise ValueError(f"an image must be ([D,] H, W, C); received shape {image.shape}")
    image = image if image.shape[-1] == 3 else image[..., :1]
    values = (image.astype(np.float64) - low) / (high - low)
    finite = np.isfinite(values).all(axis=-1)
    levels = np.round(255 * np.clip(np.nan_to_num(values), 0, 1)).astype(np.uint8)
    levels = np.array(np.broadcast_to(levels, (*levels.shape[:2], 3)))
    levels[~finite] = NOT_FINITE
    return levels


def enlarged(picture: np.ndarray) -> np.ndarray:
    """Brings a picture to a size that can be looked at.

    Args:
        picture: `(H, W, 3)` uint8.

    Returns:
        The picture, its longest side from 96 to 256 pixels: each pixel repeated as often as fits,
        or pixels averaged.
    """
    longest = max(picture.shape[:2])
    if longest <= _SIDES[1]:
        factor = max(1, math.ceil(_SIDES[0] / longest))
        return picture.repeat(factor, axis=0).repeat(factor, axis=1)
    height, width = (max(1, round(n * _SIDES[1] / longest)) for n in picture.shape[:2])
    reduced = Image.fromarray(picture).resize((width, height), Image.Resampling.BOX)
    return np.asarray(reduced)
