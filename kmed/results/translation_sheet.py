"""A sheet of translations: what went in, what came out, what is true, and where they differ."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from kmed.results.drawing import BACKDROP, OKABE_ITO
from kmed.results.image_grid import NOT_FINITE, in_grey_levels
from kmed.results.query_sheet import wrapped

#: Colours of a difference: too low, none, too high. Apart in any colour vision.
BELOW, EQUAL, ABOVE = np.array([OKABE_ITO[1], (0, 0, 0), OKABE_ITO[0]], np.float64)

_INK, _FAINT = (235, 235, 235), (160, 160, 168)
_GAP = 4  # pixels
_BAR = 12  # height of the colour bar in pixels

Case = tuple[np.ndarray, np.ndarray, "np.ndarray | None"]
Range = tuple[float, float]


def translation_sheet(
    cases: Sequence[Case],
    *,
    source_range: Range,
    target_range: Range,
    unit: str = "",
    titles: Sequence[str] = ("input", "output", "target", "difference"),
    limit: float | None = None,
    size: int = 220,
) -> np.ndarray:
    """Draws a row for each case: input, output, target and output minus target.

    Differences of all rows share one scale, from light blue (too low) over black to orange (too
    high), with a bar below. The target's values are cut off at the ends of the range before they
    are compared, since no generator can give what lies beyond; the mean absolute difference of the
    slice stands below it. Of a volume the middle slice is shown. Where no case has a target, the
    sheet has input and output alone. It says nothing that is not in the images and the titles.

    Args:
        cases: `(input, output, target or None)`, each `(H, W, C)` or `(D, H, W, C)` in raw units;
            the target has the output's shape.
        source_range: values of the input that are black and white.
        target_range: values of output and target that are black and white, `(-160, 240)` say.
        unit: of the target's values, "HU" say.
        titles: of the four columns.
        limit: the difference that has the full colour; by default the 98th percentile of all.
        size: longest side of an image in pixels.

    Returns:
        `(H', W', 3)` uint8 RGB, for `save_png`.

    Raises:
        ValueError: without a case, for shapes that do not fit, an empty range or a limit that is
            not above 0.

    Example:
        >>> image = np.zeros((32, 32, 1))
        >>> translation_sheet(
        ...     [(image, image, image + 1)], source_range=(0, 1), target_range=(0, 1), size=100
        ... ).shape
        (207, 412, 3)
    """
    _check(cases, titles, limit, size)
    cases = [tuple(None if one is None else _plane(one) for one in case) for case in cases]
    differences = [_difference(output, target, target_range) for _, output, target in cases]
    known = [one for one in differences if one is not None]
    limit = limit or _limit(known, target_range)
    rows = []
    for (source, output, target), difference in zip(cases, differences, strict=True):
        row = [in_grey_levels(source, *source_range), in_grey_levels(output, *target_range)]
        if known:
            row.append(None if target is None else in_grey_levels(target, *target_range))
            row.append(None if difference is None else difference_colors(difference, limit))
        rows.append([None if picture is None else _scaled(picture, size) for picture in row])
    letters = max(11, size // 16)
    font, line = ImageFont.load_default(letters), letters + 8
    width = max(tile.width for row in rows for tile in row if tile)
    heights = [max(tile.height for tile in row if tile) + (line if known else 0) for row in rows]
    count = 4 if known else 2
    # Above the columns their titles, and the range that they are shown in.
    top, foot = 2 * line, 2 * line + _BAR if known else 0
    extent = count * (width + _GAP) - _GAP, top + sum(heights) + _GAP * (len(rows) - 1) + foot
    sheet = Image.new("RGB", extent, BACKDROP)
    draw = ImageDraw.Draw(sheet)

    def write(text, column, y, ink):
        place = column * (width + _GAP) + 3, y
        draw.text(place, wrapped(text, font, width - 6, 1)[0], ink, font, anchor="lm")

    notes = [f"{_number(low)} to {_number(high)}" for low, high in (source_range, target_range)]
    notes[1] = f"{notes[1]} {unit}"
    notes += [notes[1], "output - target"]
    for column in range(count):
        write(titles[column], column, line / 2 + 2, _INK)
        write(notes[column], column, 1.5 * line - 2, _FAINT)
    y = top
    for row, difference, height in zip(rows, differences, heights, strict=True):
        for column, tile in enumerate(row):
            if tile:
                sheet.paste(tile, (column * (width + _GAP) + (width - tile.width) // 2, y))
        if difference is not None:
            mean = _number(float(np.abs(difference).mean()))
            write(f"mean |difference| {mean} {unit}", 3, y + height - line / 2, _FAINT)
        y += height + _GAP
    if known:
        _draw_bar(sheet, draw, font, (3 * (width + _GAP), y - _GAP), width, line, limit, unit)
    return np.asarray(sheet)


def difference_colors(difference: np.ndarray, limit: float) -> np.ndarray:
    """Gives each difference its colour.

    Args:
        difference: of any shape.
        limit: the size of a difference that has the full colour, above 0.

    Returns:
        `(..., 3)` uint8: black for 0, brighter the larger it is, light blue below and orange above;
        magenta where it is not finite.

    Example:
        >>> difference_colors(np.array([-5.0, 0.0, 99.0]), 5.0).tolist()
        [[86, 180, 233], [0, 0, 0], [230, 159, 0]]
    """
    difference = np.asarray(difference, np.float64)
    share = np.clip(np.nan_to_num(difference) / limit, -1, 1)[..., None]
    colors = np.where(share < 0, BELOW, ABOVE) * np.abs(share) + EQUAL * (1 - np.abs(share))
    colors[~np.isfinite(difference)] = NOT_FINITE
    return np.round(colors).astype(np.uint8)


def _check(cases, titles, limit, size):
    if not len(cases) or len(titles) != 4:
        raise ValueError(
            f"a sheet needs a case and four titles; received {len(cases)} and {len(titles)}"
        )
    for _, output, target in cases:
        if target is not None and np.shape(output) != np.shape(target):
            raise ValueError(
                "output and target of a case must have one shape; received "
                f"{np.shape(output)} and {np.shape(target)}"
            )
    if limit is not None and not limit > 0:
        raise ValueError(f"`limit` must be above 0; received {limit}")
    if size < 48:
        raise ValueError(f"`size` must be at least 48 pixels to be read; received {size}")


def _plane(image):
    image = np.asarray(image)
    image = image[len(image) // 2] if image.ndim == 4 else image
    return image[..., None] if image.ndim == 2 else image


def _difference(output, target, limits):
    """Difference of each pixel `(H, W)`, of colours their mean; None without a target."""
    if target is None:
        return None
    return (output.astype(np.float64) - np.clip(target.astype(np.float64), *limits)).mean(axis=-1)


def _limit(differences, limits):
    """A round number that one pixel in fifty exceeds."""
    values = np.abs(np.concatenate([one.ravel() for one in differences] or [np.zeros(1)]))
    values = values[np.isfinite(values)]
    largest = float(np.percentile(values, 98)) if len(values) else 0.0
    # A perfect translation needs a scale as well.
    largest = max(largest, 1e-3 * (limits[1] - limits[0]))
    power = 10.0 ** math.floor(math.log10(largest))
    return next(step * power for step in (1, 2, 3, 5, 10) if step * power >= largest * 0.999)


def _scaled(picture, size):
    height, width = (max(1, round(n * size / max(picture.shape[:2]))) for n in picture.shape[:2])
    # Enlarging by bicubic, not nearest: blocks would read as anatomy. Reducing averages.
    smooth = Image.Resampling.BICUBIC if width >= picture.shape[1] else Image.Resampling.BOX
    return Image.fromarray(picture).resize((width, height), smooth)


def _draw_bar(sheet, draw, font, corner, width, line, limit, unit):
    left, top = corner[0] + 3, corner[1] + line // 2
    ramp = difference_colors(np.linspace(-1, 1, width - 6), 1.0)
    bar = np.broadcast_to(ramp, (_BAR, *ramp.shape))
    sheet.paste(Image.fromarray(np.ascontiguousarray(bar)), (left, top))
    marks = (("l", -limit), ("m", 0.0), ("r", limit))
    for i, (side, value) in enumerate(marks):
        text = _number(value) if value <= 0 else f"+{_number(value)} {unit}".rstrip()
        x = left + i * (width - 6) / 2
        draw.text((x, top + _BAR + line / 2), text, _FAINT, font, anchor=f"{side}m")


def _number(value):
    """Three digits at least. The font has a hyphen, and no minus."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
