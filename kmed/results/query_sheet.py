"""A sheet of queries with what was found for each, the right ones framed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from kmed.results.drawing import BACKDROP, OKABE_ITO
from kmed.results.overlay import overlay

_RIGHT = OKABE_ITO[2]  # green
_INK, _FAINT = (235, 235, 235), (160, 160, 168)
_PAPER = (39, 39, 42)  # behind a sentence
_FRAME, _GAP, _SPACE = 4, 4, 14  # pixels; the space stands between a query and its finds
_WIDER = 1.6  # of a field with sentences

Window = tuple[float, float]


class Hit(NamedTuple):
    """An item that was found.

    Attributes:
        content: image `(H, W)`, `(H, W, 1)` or `(H, W, 3)`, volume `(D, H, W, 1 or 3)`, or a
            sentence.
        score: its similarity to the query.
        right: whether it matches the query.
    """

    content: np.ndarray | str
    score: float
    right: bool


def query_sheet(
    queries: Sequence[np.ndarray | str],
    hits: Sequence[Sequence[Hit]],
    *,
    first: Sequence[float] | None = None,
    windows: tuple[Window | None, Window | None] = (None, None),
    size: int = 120,
) -> np.ndarray:
    """Draws a row for each query: itself, and what was found, best first, with rank and score.

    What matches has a green frame and the word "match". Of a volume the middle slice is shown. The
    sheet says nothing that is not in the images and sentences themselves; whether those name a
    patient is the caller's to know.

    Args:
        queries: images, volumes or sentences, as `Hit.content`.
        hits: of each query, best first; a row may have fewer than the others.
        first: of each query the place of its first match in the whole gallery, written below it;
            NaN if the gallery has none.
        windows: `(center, width)` of the queries' images and of those found; None adapts to each.
        size: longest side of an image in pixels.

    Returns:
        `(H', W', 3)` uint8 RGB.

    Raises:
        ValueError: without a query, or for lists or images that do not fit.

    Example:
        >>> image = np.eye(32)
        >>> query_sheet(["lung, frontal"], [[Hit(image, 0.9, True), Hit(image, 0.8, False)]]).shape
        (141, 450, 3)
    """
    if not len(queries) or len(queries) != len(hits) or not any(len(row) for row in hits):
        raise ValueError(
            "a sheet needs queries, the hits of each and at least one hit; received "
            f"{len(queries)} and {[len(row) for row in hits][:10]}"
        )
    if first is not None and len(first) != len(queries):
        raise ValueError(
            f"`first` must have a place for each of {len(queries)} queries; received {len(first)}"
        )
    if size < 48:
        raise ValueError(f"`size` must be at least 48 pixels to be read; received {size}")
    letters = max(11, size // 9)
    line = letters + 8
    inner = size - 2 * _FRAME
    contents = [hit.content for row in hits for hit in row]
    wide, width = (_width(kind, size) for kind in (queries, contents))
    across = max(len(row) for row in hits)
    row_height = size + line + _GAP
    extent = wide + _SPACE + across * (width + _GAP) - _GAP, len(queries) * row_height - _GAP
    sheet = Image.new("RGB", extent, BACKDROP)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(letters)
    for i, (query, row) in enumerate(zip(queries, hits, strict=True)):
        top = i * row_height
        tile = _tile(query, wide - 2 * _FRAME, inner, windows[0], letters)
        sheet.paste(tile, ((wide - tile.width) // 2, top + (size - tile.height) // 2))
        note = "query" if first is None else _place(first[i])
        draw.text((_FRAME, top + size + line / 2), note, _FAINT, font, anchor="lm")
        for j, hit in enumerate(row):
            left = wide + _SPACE + j * (width + _GAP)
            tile = _tile(hit.content, width - 2 * _FRAME, inner, windows[1], letters)
            if hit.right:
                draw.rectangle([left, top, left + width - 1, top + size - 1], fill=_RIGHT)
                inside = [left + _FRAME, top + _FRAME]
                inside += [left + width - 1 - _FRAME, top + size - 1 - _FRAME]
                draw.rectangle(inside, fill=BACKDROP)
            middle = (width - tile.width) // 2, (size - tile.height) // 2
            sheet.paste(tile, (left + middle[0], top + middle[1]))
            text = f"{j + 1} · {hit.score:.2f}".replace("-", "−") + " match" * bool(hit.right)
            tone = _INK if hit.right else _FAINT
            draw.text((left + _FRAME, top + size + line / 2), text, tone, font, anchor="lm")
    return np.asarray(sheet)


def wrapped(text: str, font: ImageFont.FreeTypeFont, width: float, lines: int) -> list[str]:
    """Breaks a text into lines of a width, the last one ending in "…" if there is more.

    Args:
        text: any text; line breaks count as spaces.
        font: it is written in.
        width: in pixels.
        lines: at most.

    Returns:
        The lines. A word that is wider than a line is broken.

    Example:
        >>> wrapped("ground glass opacities in both lungs", ImageFont.load_default(12), 100, 2)
        ['ground glass', 'opacities in bot…']
    """
    rows = [""]
    for word in text.split():
        while word:
            joined = f"{rows[-1]} {word}".strip()
            if font.getlength(joined) <= width:
                rows[-1], word = joined, ""
            elif rows[-1]:
                rows.append("")
            else:
                fits = [n for n in range(1, len(word)) if font.getlength(word[:n]) <= width]
                cut = fits[-1] if fits else 1
                rows[-1], word = word[:cut], word[cut:]
                rows += [""] if word else []
    if len(rows) > lines:
        rows = rows[:lines]
        while rows[-1] and font.getlength(f"{rows[-1]}…") > width:
            rows[-1] = rows[-1][:-1].rstrip()
        rows[-1] += "…"
    return rows


def _width(contents, size):
    return round(_WIDER * size) if any(isinstance(one, str) for one in contents) else size


def _place(place):
    return "no match" if math.isnan(place) else f"match at {int(place):,}"


def _tile(content, width, height, window, letters):
    """An image within a field, or a sentence on a field of its own."""
    if isinstance(content, str):
        letters = max(10, letters - 1)
        font = ImageFont.load_default(letters)
        tile = Image.new("RGB", (width, height), _PAPER)
        step = letters + 3
        rows = wrapped(content, font, width - 12, (height - 8) // step)
        ImageDraw.Draw(tile).multiline_text((6, 4), "\n".join(rows), _INK, font, spacing=3)
        return tile
    image = np.asarray(content)
    if image.ndim == 4:
        image = image[len(image) // 2]
    blank = np.zeros(image.shape[:2], np.uint8)
    return Image.fromarray(overlay(image, blank, window=window, size=height))
