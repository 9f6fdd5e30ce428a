"""How a slice is drawn: window, tint, contours, captions and the legend of the classes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from contourpy import LineType, contour_generator
from PIL import Image, ImageDraw, ImageFont

# Okabe and Ito's colours, which people with any colour vision tell apart. Black is left out: it is
# the background of most medical images. The brightest come first.
OKABE_ITO = (
    (230, 159, 0),  # orange
    (86, 180, 233),  # sky blue
    (0, 158, 115),  # bluish green
    (240, 228, 66),  # yellow
    (204, 121, 167),  # reddish purple
    (213, 94, 0),  # vermilion
    (0, 114, 178),  # blue
)

_SIDES = (512, 1280)  # pixels: smaller pictures are scaled up, larger ones down
_OVERSAMPLING = 2  # lines are drawn at twice the size and averaged, so that they are smooth
_DASH = 7.0  # pixels of a dash of the reference's contour, and of the gap after it
BACKDROP = (24, 24, 27)  # background of legend and captions
_INK = (235, 235, 235)


def color(index: int) -> tuple[int, int, int]:
    """Gives the colour of a class, the same in every picture and legend.

    Reference: M. Okabe and K. Ito, "Color Universal Design", 2008.

    Args:
        index: class index, 1 or more (0 is the background, which has no colour). The seven
            colours repeat from class 8 on.

    Returns:
        Red, green, blue in 0..255.

    Example:
        >>> color(1), color(8) == color(1)
        ((230, 159, 0), True)
    """
    if index < 1:
        raise ValueError(f"`index` must be a class from 1 on (0 is background); received {index}")
    return OKABE_ITO[(index - 1) % len(OKABE_ITO)]


def robust_range(image: np.ndarray) -> tuple[float, float]:
    """Gives the range worth showing: one hot pixel must not darken all others.

    Args:
        image: any shape, any real dtype; values that are not finite do not count.

    Returns:
        The 0.5th and 99.5th percentile; the extremes where those two are equal.
    """
    values = image[np.isfinite(image)] if image.dtype.kind == "f" else image.ravel()
    values = values.astype(np.uint8) if values.dtype.kind == "b" else values
    if values.size == 0:
        return 0.0, 1.0
    # A million values give the percentiles of any image to less than a grey level.
    low, high = np.percentile(values[:: max(1, values.size // 1_000_000)], (0.5, 99.5))
    if high <= low:
        low, high = float(values.min()), float(values.max())
    return float(low), float(high)


def to_rgb(image: np.ndarray, window: tuple[float, float] | None) -> np.ndarray:
    """Maps an image of any range to what a screen shows.

    Args:
        image: `(H, W, 1)` or `(H, W, 3)`; colours in uint8 stay as they are.
        window: `(center, width)` in the image's units; None takes `robust_range`.

    Returns:
        `(H, W, 3)` uint8.
    """
    if image.shape[-1] == 3 and image.dtype == np.uint8 and window is None:
        return image
    if window is None:
        low, high = robust_range(image)
    else:
        low, high = window[0] - window[1] / 2, window[0] + window[1] / 2
    scaled = (image.astype(np.float32) - low) / max(high - low, 1e-6)
    grey = np.round(255 * np.clip(np.nan_to_num(scaled), 0, 1)).astype(np.uint8)
    return np.broadcast_to(grey, (*grey.shape[:2], 3))


def paint(
    rgb: np.ndarray,
    mask: np.ndarray,
    truth: np.ndarray | None,
    alpha: float,
    spacing_mm: tuple[float, float],
    size: int | None,
) -> np.ndarray:
    """Scales a slice to millimetres and to a readable size, then tints and outlines it.

    Args:
        rgb: `(H, W, 3)` uint8.
        mask: `(H, W)` class indices of the prediction.
        truth: `(H, W)` class indices of the reference, or None.
        alpha: opacity of the tint, 0..1.
        spacing_mm: of rows and columns.
        size: longest side in pixels; None keeps the slice's own within 512..1280.

    Returns:
        `(H', W', 3)` uint8.
    """
    extent = np.array(rgb.shape[:2]) * np.array(spacing_mm) / min(spacing_mm)
    longest = size or float(np.clip(extent.max(), *_SIDES))
    height, width = (max(1, round(x)) for x in extent * longest / extent.max())
    # Enlarging by bicubic, not nearest: blocks would read as anatomy. Reducing averages.
    resample = Image.Resampling.BICUBIC if width >= rgb.shape[1] else Image.Resampling.BOX
    scaled = Image.fromarray(np.ascontiguousarray(rgb)).resize((width, height), resample)
    picture = np.asarray(scaled, np.float32)
    classes = [int(k) for k in np.unique(mask) if k != 0]
    for k in classes:
        inside = Image.fromarray(np.where(mask == k, np.uint8(255), np.uint8(0)))
        inside = np.asarray(inside.resize((width, height), Image.Resampling.BILINEAR)) >= 128
        picture[inside] = (1 - alpha) * picture[inside] + alpha * np.array(color(k), np.float32)
    if not classes and truth is None:  # no line to draw
        return picture.astype(np.uint8)
    s = _OVERSAMPLING
    lines = Image.new("RGBA", (width * s, height * s), (0, 0, 0, 0))
    draw = ImageDraw.Draw(lines)
    scale = np.array([width * s / mask.shape[1], height * s / mask.shape[0]])
    for k in classes:
        for line in _contours(mask == k):
            draw.line(_flat(line * scale), fill=(*color(k), 255), width=2 * s, joint="curve")
    if truth is not None:
        for k in np.unique(truth[truth != 0]):
            for line in _contours(truth == k):
                _draw_dashed(draw, line * scale)
    cover = np.asarray(lines, np.float32)
    # Averaging premultiplied colours keeps the transparent black out of the lines' edges.
    opacity = cover[..., 3:] / 255
    premultiplied = np.concatenate([cover[..., :3] * opacity, opacity], axis=-1)
    reduced = premultiplied.reshape(height, s, width, s, 4).mean(axis=(1, 3))
    return np.round(picture * (1 - reduced[..., 3:]) + reduced[..., :3]).astype(np.uint8)


def _contours(inside):
    """Outlines of a boolean mask as `(N, 2)` arrays of x, y, the pixel (0, 0) covering 0..1."""
    generator = contour_generator(
        z=np.pad(inside.astype(np.float32), 1), line_type=LineType.Separate
    )
    # Sample centres lie at 0.5, and the padding shifts by one: index 1 is x = 0.5.
    return [line - 0.5 for line in generator.lines(0.5)]


def _draw_dashed(draw, line):
    """White dashes on black: seen on bone and on air alike."""
    s = _OVERSAMPLING
    draw.line(_flat(line), fill=(0, 0, 0, 150), width=2 * s, joint="curve")
    steps = np.hypot(*np.diff(line, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    # Dashes are shared out evenly, so that the last one does not run into the first.
    pairs = max(2, round(along[-1] / (2 * _DASH * s)))
    ends = np.linspace(0, along[-1], 2 * pairs + 1)
    for start, stop in zip(ends[0:-1:2], ends[1::2], strict=True):
        inner = (along > start) & (along < stop)
        at = np.concatenate([[start], along[inner], [stop]])
        points = np.stack([np.interp(at, along, line[:, i]) for i in (0, 1)], axis=-1)
        draw.line(_flat(points), fill=(255, 255, 255, 255), width=2 * s, joint="curve")


def _flat(points):
    return [tuple(point) for point in points.tolist()]


def with_caption(tile: np.ndarray, text: str, affine: np.ndarray | None) -> np.ndarray:
    """Writes a line of text on a slice, and the patient's sides where the affine tells them.

    Args:
        tile: `(H, W, 3)` uint8.
        text: goes to the lower left.
        affine: `(4, 4)` index `(d, h, w, 1)` to patient LPS mm, or None.

    Returns:
        A copy of the slice, written on.
    """
    picture = Image.fromarray(tile)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(max(11, tile.shape[1] // 26))
    style = {"fill": _INK, "font": font, "stroke_width": 2, "stroke_fill": (0, 0, 0)}
    height, width = tile.shape[:2]
    draw.text((7, height - 6), text, anchor="ls", **style)
    if affine is not None:
        left, right = _patient_sides(np.asarray(affine)[:3, 2])
        top, _ = _patient_sides(np.asarray(affine)[:3, 1])
        draw.text((7, height / 2), left, anchor="lm", **style)
        draw.text((width - 7, height / 2), right, anchor="rm", **style)
        draw.text((width / 2, 6), top, anchor="mt", **style)
    return np.asarray(picture)


def _patient_sides(direction):
    """The letters at the start and at the end of an axis that runs along an LPS direction."""
    axis = int(np.abs(direction).argmax())
    start, end = ("RL", "AP", "IS")[axis]
    return (start, end) if direction[axis] > 0 else (end, start)


def with_legend(
    picture: np.ndarray,
    labels: Sequence[str] | None,
    mask: np.ndarray,
    truth: np.ndarray | None,
    letters: int = 14,
) -> np.ndarray:
    """Adds a strip below with the colours of the classes that occur.

    Args:
        picture: `(H, W, 3)` uint8.
        labels: names of the classes, `labels[0]` the background's; None adds nothing.
        mask: class indices of the prediction, any shape.
        truth: class indices of the reference, or None.
        letters: size of the names in pixels.

    Returns:
        The picture, higher by the strip.

    Raises:
        ValueError: a class that has no name.
    """
    if labels is None:
        return picture
    present = set(np.unique(mask)) | (set() if truth is None else set(np.unique(truth)))
    present = sorted(int(k) for k in present if k != 0)
    if present and present[-1] >= len(labels):
        raise ValueError(
            f"`labels` must name every class, the background first; received {len(labels)} names "
            f"and a mask with class {present[-1]}"
        )
    entries = [(str(labels[k]), color(k)) for k in present]
    if truth is not None:
        entries.append(("reference", None))
    width = picture.shape[1]
    font = ImageFont.load_default(letters)
    swatch, row, pad, gap = round(1.6 * letters), round(1.7 * letters), 10, letters // 2
    # Entries flow into as many rows as they need.
    places, x, y = [], pad, 0
    for name, _ in entries:
        advance = swatch + gap + math.ceil(font.getlength(name))
        if x > pad and x + advance > width - pad:
            x, y = pad, y + row
        places.append((x, y))
        x += advance + round(1.3 * letters)
    strip = Image.new("RGB", (width, y + row + 8 if entries else 0), BACKDROP)
    draw = ImageDraw.Draw(strip)
    for (name, tone), (left, top) in zip(entries, places, strict=True):
        middle = top + 4 + row // 2
        if tone is None:
            dash = swatch // 5
            for start in range(0, 5 * dash, 2 * dash):
                draw.line([(left + start, middle), (left + start + dash, middle)], (255,) * 3, 2)
        else:
            half = round(0.42 * letters)
            draw.rectangle([left, middle - half, left + swatch - 1, middle + half], fill=tone)
        draw.text((left + swatch + gap, middle), name, fill=_INK, font=font, anchor="lm")
    return np.concatenate([picture, np.asarray(strip)], axis=0) if entries else picture
