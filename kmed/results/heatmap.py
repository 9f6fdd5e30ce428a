"""Pictures of a heat map over its image, for one slice or for a whole volume."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from kmed.results.drawing import BACKDROP, paint, robust_range, to_rgb, with_caption
from kmed.results.overlay import choose_slices

# Dark to bright in one order for any colour vision. Both ends are left out: the dark one would be
# lost on air and the pale one on bone.
_COLORS = "inferno"
_FIRST, _LAST = 0.3, 0.82
_INK = (235, 235, 235)
_GREY = 110.0  # what the colour bar is laid over: the middle of most images


def heatmap(
    image: np.ndarray,
    heat: np.ndarray,
    *,
    window: tuple[float, float] | None = None,
    alpha: float = 0.65,
    spacing_mm: tuple[float, float] = (1.0, 1.0),
    size: int | None = None,
    label: str | None = "evidence for the class",
) -> np.ndarray:
    """Draws a heat map over its image: the more heat, the more colour.

    Args:
        image: `(H, W)`, `(H, W, 1)` or `(H, W, 3)` of any dtype and range.
        heat: `(H, W)` in [0, 1]; where it is 0 the image shows as it is.
        window: `(center, width)` in the image's units; None takes the 0.5th to 99.5th percentile.
        alpha: opacity of the hottest colour, 0..1.
        spacing_mm: of rows and columns; pixels that are not square are stretched.
        size: longest side of the picture in pixels; None keeps the image's own within 512..1280.
        label: what the heat means, written at the colour bar below; None leaves the bar out.

    Returns:
        `(H', W', 3)` uint8 RGB.

    Raises:
        ValueError: shapes that do not fit each other, or heat outside of [0, 1].

    Example:
        >>> heatmap(np.eye(32), np.eye(32), label=None).shape
        (512, 512, 3)
    """
    image = _checked(image, heat, rank=2)
    picture = _blend(to_rgb(image, window), np.asarray(heat), alpha, spacing_mm, size)
    return _with_bar(picture, label, alpha, min(28, max(14, picture.shape[1] // 28)))


def heatmap_montage(
    volume: np.ndarray,
    heat: np.ndarray,
    *,
    slices: Sequence[int] | int = 6,
    window: tuple[float, float] | None = None,
    alpha: float = 0.65,
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    affine: np.ndarray | None = None,
    columns: int = 3,
    size: int = 360,
    label: str | None = "evidence for the class",
) -> np.ndarray:
    """Draws the slices of a volume with most heat side by side, all in one window.

    Args:
        volume: `(D, H, W)`, `(D, H, W, 1)` or `(D, H, W, 3)` of any dtype and range.
        heat: `(D, H, W)` in [0, 1].
        slices: indices along the first axis, or how many: the one with most heat, and others
            evenly through those that reach half of the largest heat.
        window: `(center, width)` in the volume's units; None takes the volume's percentiles.
        alpha: opacity of the hottest colour, 0..1.
        spacing_mm: of the three axes.
        affine: `(4, 4)` index to patient LPS mm; with it, the sides of the patient are marked.
        columns: slices in a row.
        size: longest side of one slice in pixels.
        label: what the heat means, written at the colour bar below; None leaves the bar out.

    Returns:
        `(H', W', 3)` uint8 RGB.

    Raises:
        ValueError: shapes that do not fit each other, heat outside of [0, 1], or a slice outside
            of the volume.
    """
    volume, heat = _checked(volume, heat, rank=3), np.asarray(heat)
    depth = len(volume)
    if isinstance(slices, int):
        slices = choose_slices(heat >= max(heat.max() / 2, 1e-6), slices)
    if not slices or min(slices) < 0 or max(slices) >= depth:
        raise ValueError(f"`slices` must lie in 0..{depth - 1}; received {list(slices)}")
    if window is None:
        low, high = robust_range(volume)
        window = ((low + high) / 2, high - low)
    tiles = []
    for index in slices:
        rgb = to_rgb(volume[index], window)
        tile = _blend(rgb, heat[index], alpha, spacing_mm[1:], size)
        tiles.append(with_caption(tile, f"slice {index + 1} of {depth}", affine))
    columns, gap = min(columns, len(tiles)), 4
    height, width = tiles[0].shape[:2]
    rows = math.ceil(len(tiles) / columns)
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap, 3)
    sheet = np.full(shape, BACKDROP, np.uint8)
    for position, tile in enumerate(tiles):
        top, left = (position // columns) * (height + gap), (position % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = tile
    return _with_bar(sheet, label, alpha, 14)


def _blend(rgb, heat, alpha, spacing_mm, size):
    """Scales a slice to its picture's size and lays the colours over it."""
    picture = paint(rgb, np.zeros(heat.shape, np.uint8), None, 0.0, spacing_mm, size)
    height, width = picture.shape[:2]
    scaled = Image.fromarray(np.ascontiguousarray(heat, np.float32))
    scaled = scaled.resize((width, height), Image.Resampling.BILINEAR)
    return _colored(picture.astype(np.float32), np.clip(np.asarray(scaled), 0, 1), alpha)


def _colored(picture, heat, alpha):
    colors = matplotlib.colormaps[_COLORS](_FIRST + (_LAST - _FIRST) * heat)[..., :3] * 255
    # Opacity follows the heat, so that what is cold shows the image and nothing else.
    opacity = alpha * heat[..., None]
    return np.round((1 - opacity) * picture + opacity * colors).astype(np.uint8)


def _with_bar(picture, label, alpha, letters):
    """Adds a strip below with the colours from 0 to 1, blended as they are in the picture."""
    if label is None:
        return picture
    width = picture.shape[1]
    font = ImageFont.load_default(letters)
    height, pad, gap = round(1.7 * letters) + 8, 10, letters // 2
    strip = Image.new("RGB", (width, height), BACKDROP)
    draw = ImageDraw.Draw(strip)
    middle = height // 2
    x = pad + math.ceil(font.getlength("0")) + gap
    long = min(10 * letters, width // 3)
    ramp = np.broadcast_to(np.linspace(0, 1, long, dtype=np.float32), (letters, long))
    bar = _colored(np.full((letters, long, 3), _GREY, np.float32), ramp, alpha)
    strip.paste(Image.fromarray(bar), (x, middle - letters // 2))
    style = {"fill": _INK, "font": font, "anchor": "lm"}
    draw.text((pad, middle), "0", **style)
    draw.text((x + long + gap, middle), "1", **style)
    after = x + long + 2 * gap + math.ceil(font.getlength("1"))
    draw.text((after + gap, middle), label, **style)
    return np.concatenate([picture, np.asarray(strip)], axis=0)


def _checked(image, heat, rank):
    image, heat = np.asarray(image), np.asarray(heat)
    if image.ndim == rank:
        image = image[..., None]
    if image.ndim != rank + 1 or image.shape[-1] not in (1, 3):
        axes = "(H, W, 1 or 3)" if rank == 2 else "(D, H, W, 1 or 3)"
        raise ValueError(f"the image must be {axes}; received shape {image.shape}")
    if heat.shape != image.shape[:-1]:
        raise ValueError(
            f"`heat` must have the image's shape {image.shape[:-1]}; received {heat.shape}"
        )
    if not (heat.min() >= 0 and heat.max() <= 1):
        raise ValueError(
            f"`heat` must lie in [0, 1]; received {heat.min():.3g} to {heat.max():.3g}"
        )
    return image
