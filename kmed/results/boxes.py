"""Pictures of detections: boxes over their image, many images on one sheet, and the worst cases."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from kmed.results.drawing import BACKDROP, color, with_legend
from kmed.results.overlay import overlay

_DASH = 6  # pixels of a white dash of the reference's boxes, and of the coloured one after it
_TAGS = ("full", "score", "none")
_GAP = 4  # pixels between the pictures of a sheet


def draw_boxes(
    image: np.ndarray,
    *,
    found: Mapping[str, np.ndarray] | None = None,
    truth: Mapping[str, Any] | None = None,
    labels: Sequence[str],
    max_boxes: int = 100,
    window: tuple[float, float] | None = None,
    spacing_mm: tuple[float, float] = (1.0, 1.0),
    size: int | None = None,
    tags: str = "full",
    legend: bool = True,
) -> np.ndarray:
    """Draws boxes over their image: each class in its colour, the reference's dashed with white.

    Of a box that reaches beyond the image the sides within it are drawn. Boxes outside of it, those
    that are not finite and padding (label -1) are left out.

    Args:
        image: `(H, W)`, `(H, W, 1)` or `(H, W, 3)` of any dtype and range.
        found: `boxes` `(N, 4)` as (x1, y1, x2, y2) in pixels of the image, `scores` `(N,)` and
            `labels` `(N,)`; drawn in one colour each.
        truth: `boxes` and `labels` of the reference.
        labels: names of the classes of objects, without the background.
        max_boxes: of `found` those of highest score are drawn.
        window: `(center, width)` in the image's units; None takes the 0.5th to 99.5th percentile.
        spacing_mm: of rows and columns; pixels that are not square are stretched.
        size: longest side of the picture in pixels; None keeps the image's own within 512..1280.
        tags: what stands at each box of `found`: "full" for name and score, "score" for the score
            alone, "none". Where `found` is None, "full" puts the names at the boxes of `truth`.
        legend: adds the colours of the classes below.

    Returns:
        `(H', W', 3)` uint8 RGB.

    Raises:
        ValueError: shapes that do not fit each other, a class without a name, other `tags`.

    Example:
        >>> found = {"boxes": [[4, 4, 20, 24]], "scores": [0.9], "labels": [0]}
        >>> draw_boxes(np.eye(32), found=found, labels=["cell"], legend=False).shape
        (512, 512, 3)
    """
    if tags not in _TAGS:
        raise ValueError(f"`tags` must be one of {_TAGS}; received {tags!r}")
    image = np.asarray(image)
    extent = image.shape[:2]
    # An empty mask: scaled to millimetres and to a readable size, and nothing else.
    picture = overlay(
        image, np.zeros(extent, np.uint8), window=window, spacing_mm=spacing_mm, size=size
    )
    scale = np.tile([picture.shape[1] / extent[1], picture.shape[0] / extent[0]], 2)
    shown = _shown("`found`", found, extent, labels, max_boxes)
    known = _shown("`truth`", truth, extent, labels, None)
    drawing = Image.fromarray(picture)
    draw = ImageDraw.Draw(drawing, "RGBA")
    letters = min(22, max(11, picture.shape[1] // 48))
    width = max(2, round(picture.shape[1] / 400))
    places, references = ([_pixels(box * scale) for box in one["boxes"]] for one in (shown, known))
    # The surest last, so that no other box covers them.
    for place, label in list(zip(places, shown["labels"], strict=True))[::-1]:
        _outline(draw, place, color(label + 1), width)
    for place, label in zip(references, known["labels"], strict=True):
        _dashes(draw, place, color(label + 1), width)
    if found is not None and tags != "none":
        names = [f"{labels[k]} " if tags == "full" else "" for k in shown["labels"]]
        texts = [f"{name}{score:.2f}" for name, score in zip(names, shown["scores"], strict=True)]
        _write_tags(draw, places, texts, shown["labels"], letters)
    elif found is None and tags == "full":
        texts = [str(labels[k]) for k in known["labels"]]
        _write_tags(draw, references, texts, known["labels"], letters)
    picture = np.asarray(drawing)
    if not legend:
        return picture
    reference = None if truth is None else _present([known])
    return with_legend(picture, ["", *labels], _present([shown]), reference, max(14, letters))


def box_sheet(
    images: Sequence[np.ndarray],
    found: Sequence[Mapping[str, np.ndarray]] | None = None,
    truth: Sequence[Mapping[str, Any]] | None = None,
    *,
    labels: Sequence[str],
    columns: int = 3,
    size: int = 420,
    tags: str = "score",
    **options: Any,
) -> np.ndarray:
    """Draws several images with their boxes on one sheet.

    Args:
        images: each as `draw_boxes` takes it.
        found: detections of each image, or None.
        truth: reference of each image, or None.
        labels: names of the classes of objects, without the background.
        columns: images in a row.
        size: longest side of one image in pixels.
        tags: as `draw_boxes`; the legend has the names.
        **options: more of `draw_boxes`.

    Returns:
        `(H', W', 3)` uint8 RGB.

    Raises:
        ValueError: as `draw_boxes`, and without an image.
    """
    none = [None] * len(images)
    options = {"labels": labels, "size": size, "tags": tags, "legend": False, **options}
    tiles = [
        draw_boxes(image, found=boxes, truth=known, **options)
        for image, boxes, known in zip(images, found or none, truth or none, strict=True)
    ]
    reference = None if truth is None else _present(truth)
    return with_legend(
        side_by_side(tiles, columns), ["", *labels], _present(found or ()), reference
    )


def side_by_side(tiles: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Lays pictures out in rows, each in the middle of a field of one size.

    Args:
        tiles: `(H, W, 3)` uint8 each.
        columns: pictures in a row.

    Returns:
        `(H', W', 3)` uint8.

    Raises:
        ValueError: without a picture.

    Example:
        >>> side_by_side([np.zeros((20, 30, 3), "uint8")] * 3, 2).shape
        (44, 64, 3)
    """
    if not tiles or columns < 1:
        raise ValueError(
            f"a sheet needs a picture and a column; received {len(tiles)} and {columns}"
        )
    columns = min(columns, len(tiles))
    high, wide = (max(tile.shape[axis] for tile in tiles) for axis in (0, 1))
    rows = math.ceil(len(tiles) / columns)
    shape = (rows * (high + _GAP) - _GAP, columns * (wide + _GAP) - _GAP, 3)
    sheet = np.full(shape, BACKDROP, np.uint8)
    for position, tile in enumerate(tiles):
        height, width = tile.shape[:2]
        top = (position // columns) * (high + _GAP) + (high - height) // 2
        left = (position % columns) * (wide + _GAP) + (wide - width) // 2
        sheet[top : top + height, left : left + width] = tile
    return sheet


def checked_boxes(
    objects: Mapping[str, Any], labels: Sequence[str], name: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gives boxes, scores and labels of one image without padding, or says what is wrong.

    Args:
        objects: `boxes` `(N, 4)`, `labels` `(N,)`, -1 in padding, and perhaps `scores` `(N,)`.
        labels: names of the classes of objects.
        name: what the error calls them.

    Returns:
        `(M, 4)` float64, `(M,)` float64 (1 without scores), `(M,)` int.

    Raises:
        ValueError: arrays that do not fit each other, or a class without a name.

    Example:
        >>> checked_boxes({"boxes": [[0, 0, 2, 3]], "labels": [0]}, ["cell"], "truth")
        (array([[0., 0., 2., 3.]]), array([1.]), array([0]))
    """
    boxes, classes = np.asarray(objects["boxes"], np.float64), np.asarray(objects["labels"])
    scores = np.asarray(objects.get("scores", np.ones(classes.shape)), np.float64)
    count = classes.size
    if classes.shape != (count,) or scores.shape != (count,) or boxes.size != 4 * count:
        raise ValueError(
            f"{name}: `boxes` (N, 4), `scores` (N,) and `labels` (N,) must fit each other; "
            f"received {boxes.shape}, {scores.shape} and {classes.shape}"
        )
    boxes, classes = boxes.reshape(-1, 4), classes.astype(int)  # an empty list has no type
    if count and classes.max() >= len(labels):
        raise ValueError(
            f"{name}: `labels` must name every class; received {len(labels)} names and a box of "
            f"class {classes.max()}"
        )
    real = classes >= 0
    return boxes[real], scores[real], classes[real]


def _shown(name, objects, extent, labels, count):
    """Boxes that the image shows a part of, the surest first, with their scores and labels."""
    boxes, scores, classes = checked_boxes(objects or {"boxes": [], "labels": []}, labels, name)
    finite = np.isfinite(boxes).all(axis=1)
    limits = np.tile(extent[::-1], 2)
    # Not at the image's edge, which would be drawn as a side of the box.
    boxes = np.clip(np.where(finite[:, None], boxes, 0), -limits, 2 * limits)
    kept = finite & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    kept &= (boxes[:, 2:] > 0).all(axis=1) & (boxes[:, :2] < limits[:2]).all(axis=1)
    order = np.argsort(-scores, kind="stable")
    order = order[kept[order]][:count]
    return {"boxes": boxes[order], "scores": scores[order], "labels": classes[order].tolist()}


def _present(dicts):
    """Class indices from 1 on of all boxes, for the legend."""
    found = [np.asarray(one["labels"], int).reshape(-1) for one in dicts]
    indices = np.concatenate([np.zeros(0, int), *found]) + 1
    return indices[indices > 0]


def _pixels(box):
    """First and last column and row of a box: (0, 0, 1, 1) is the first pixel alone."""
    x1, y1, x2, y2 = (round(float(value)) for value in box)
    return x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)


def _outline(draw, place, tone, width):
    x1, y1, x2, y2 = place
    # A dark line around a bright one is seen on bone and on air alike.
    draw.rectangle([x1 - 1, y1 - 1, x2 + 1, y2 + 1], outline=(0, 0, 0, 110), width=1)
    draw.rectangle(place, outline=(*tone, 255), width=width)


def _dashes(draw, place, tone, width):
    """The class's colour and white by turns."""
    _outline(draw, place, tone, width)
    x1, y1, x2, y2 = place
    for start in range(x1, x2 + 1, 2 * _DASH):
        stop = min(start + _DASH - 1, x2)
        draw.rectangle([start, y1, stop, min(y1 + width - 1, y2)], fill=(255, 255, 255, 255))
        draw.rectangle([start, max(y2 - width + 1, y1), stop, y2], fill=(255, 255, 255, 255))
    for start in range(y1, y2 + 1, 2 * _DASH):
        stop = min(start + _DASH - 1, y2)
        draw.rectangle([x1, start, min(x1 + width - 1, x2), stop], fill=(255, 255, 255, 255))
        draw.rectangle([max(x2 - width + 1, x1), start, x2, stop], fill=(255, 255, 255, 255))


def _write_tags(draw, places, texts, labels, letters):
    """Writes each text at a corner of its box where it covers the least of those before it."""
    font = ImageFont.load_default(letters)
    taken = np.zeros((0, 4))
    across, down = draw.im.size
    for place, text, label in zip(places, texts, labels, strict=True):
        wide, high = math.ceil(font.getlength(text)) + 5, letters + 3
        x1, y1, x2, y2 = place
        corners = [
            (x1, y1 - high), (x1, y1), (x2 + 1 - wide, y1 - high), (x2 + 1 - wide, y1),
            (x1, y2 + 1), (x1, y2 + 1 - high), (x2 + 1 - wide, y2 + 1 - high),
        ]  # fmt: skip
        left, top = np.clip(corners, 0, np.maximum([across - wide, down - high], 0)).T
        tags = np.stack([left, top, left + wide, top + high], axis=-1)  # (7, 4)
        overlap = np.minimum(tags[:, None, 2:], taken[:, 2:]) - np.maximum(
            tags[:, None, :2], taken[:, :2]
        )
        covered = np.prod(np.maximum(overlap, 0), axis=-1).sum(axis=-1)
        tag = tags[covered.argmin()]
        taken = np.concatenate([taken, tag[None]])
        tone = color(label + 1)
        draw.rectangle([*tag[:2], *(tag[2:] - 1)], fill=(*tone, 255))
        ink = (0, 0, 0) if np.dot(tone, (0.2, 0.7, 0.1)) > 100 else (255, 255, 255)
        draw.text((tag[0] + 3, tag[1] + high / 2), text, fill=ink, font=font, anchor="lm")
