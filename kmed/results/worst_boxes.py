"""The worst errors of a detector, found and shown: sure false positives and large misses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from kmed.metrics.box_matching import Boxes, Match
from kmed.results.boxes import draw_boxes, side_by_side
from kmed.results.drawing import robust_range, with_caption, with_legend

_CONTEXT = 2.5  # sides of a crop, in longest sides of its box
_LEAST = 48  # pixels of the image that a crop has at least


class WorstBox(NamedTuple):
    """One error.

    Attributes:
        image: index of the image.
        row: index among its detections, or among its objects if it was missed.
        box: (x1, y1, x2, y2) in pixels.
        label: index of the class.
        score: of a false positive; None for an object that was missed.
    """

    image: int
    row: int
    box: tuple[float, float, float, float]
    label: int
    score: float | None


def worst_cases(
    truth: Sequence[Boxes], found: Sequence[Boxes], matches: Sequence[Match], count: int = 12
) -> tuple[list[WorstBox], list[WorstBox]]:
    """Chooses the false positives of highest score and the largest objects that were missed.

    Args:
        truth: per image `{"boxes": (M, 4), "labels": (M,)}`, boxes as (x1, y1, x2, y2) in pixels.
        found: per image `{"boxes": (N, 4), "scores": (N,), "labels": (N,)}`.
        matches: of the two by `kmed.metrics.matched`, whose `threshold` tells what is a detection.
        count: of each kind at most.

    Returns:
        False positives, the surest first; misses, the largest first.

    Raises:
        ValueError: for lists of different lengths.

    Example:
        >>> truth = [{"boxes": np.array([[0, 0, 10, 10]]), "labels": np.array([0])}]
        >>> boxes, scores = np.array([[20.0, 0, 30, 10]]), np.array([0.5])
        >>> found = [{"boxes": boxes, "scores": scores, "labels": np.array([0])}]
        >>> missed = Match(np.array([False]), np.array([True]), np.array([-1]), np.array([True]))
        >>> [[(one.row, one.score) for one in kind] for kind in worst_cases(truth, found, [missed])]
        [[(0, 0.5)], [(0, None)]]
    """
    if not len(truth) == len(found) == len(matches):
        raise ValueError(
            "`truth`, `found` and `matches` must have one entry for each image; received "
            f"{len(truth)}, {len(found)} and {len(matches)}"
        )
    false, missed = [], []
    for image, (objects, boxes, match) in enumerate(zip(truth, found, matches, strict=True)):
        for row in np.flatnonzero(match.false_positives).tolist():
            false.append(_case(image, row, boxes, float(boxes["scores"][row])))
        for row in np.flatnonzero(match.missed).tolist():
            missed.append(_case(image, row, objects, None))
    false.sort(key=lambda case: -case.score)
    missed.sort(key=lambda case: -_area(case.box))
    return false[:count], missed[:count]


def worst_sheet(
    images: Sequence[np.ndarray] | Mapping[int, np.ndarray],
    truth: Sequence[Boxes],
    found: Sequence[Boxes],
    matches: Sequence[Match],
    cases: Sequence[WorstBox],
    *,
    labels: Sequence[str],
    columns: int = 4,
    size: int = 300,
    window: tuple[float, float] | None = None,
) -> np.ndarray:
    """Draws each error with what is around it.

    A false positive stands with the reference's objects near it, a miss with the detections near
    it.

    Args:
        images: by index, each as `draw_boxes` takes it; only those of the cases are asked for.
        truth: as `worst_cases`.
        found: as `worst_cases`.
        matches: as `worst_cases`.
        cases: of one kind or of both, from `worst_cases`.
        labels: names of the classes of objects.
        columns: crops in a row.
        size: longest side of a crop in pixels of the sheet.
        window: `(center, width)` in the images' units; None adapts to each whole image.

    Returns:
        `(H', W', 3)` uint8 RGB.

    Raises:
        ValueError: without a case.
    """
    tiles, seen, known = [], [], []
    for case in cases:
        image = np.asarray(images[case.image])
        (left, top, right, bottom), crop = _crop(image.shape[:2], case.box)
        own = {"boxes": [case.box], "labels": [case.label], "scores": [case.score or 0.0]}
        if case.score is None:
            match = matches[case.image]
            others = _rows(found[case.image], match.hits | match.false_positives)
            shown, reference = others, own
            text = f"{labels[case.label]} missed"
        else:
            shown, reference = own, _rows(truth[case.image], slice(None))
            text = f"{labels[case.label]} {case.score:.2f}"
        shown, reference = (_moved(one, left, top, right, bottom) for one in (shown, reference))
        seen += [label + 1 for label in shown["labels"]]
        known += [label + 1 for label in reference["labels"]]
        # The whole image's window: what lies in a crop must look as it does in the image.
        tile = draw_boxes(
            image[crop],
            found=shown,
            truth=reference,
            labels=labels,
            window=window or _window(image),
            size=size,
            tags="score" if case.score is None else "none",
            legend=False,
        )
        tiles.append(with_caption(tile, text, None))
    sheet = side_by_side(tiles, columns)
    return with_legend(sheet, ["", *labels], np.array(seen, int), np.array(known, int))


def _case(image: int, row: int, boxes: Boxes, score: float | None) -> WorstBox:
    box = tuple(np.asarray(boxes["boxes"][row], np.float64).tolist())
    return WorstBox(image, row, box, int(boxes["labels"][row]), score)


def _area(box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _crop(extent, box):
    """A square around the box, moved into the image: its corners, and the slices that cut it."""
    side = max(_LEAST, _CONTEXT * max(box[2] - box[0], box[3] - box[1]))
    ends = []
    for low, high, length in zip(box[:2], box[2:], extent[::-1], strict=True):
        whole = min(round(side), length)
        start = min(max(0, round((low + high - whole) / 2)), length - whole)
        ends.append((start, start + whole))
    (left, right), (top, bottom) = ends
    return (left, top, right, bottom), (slice(top, bottom), slice(left, right))


def _rows(boxes: Boxes, rows) -> dict[str, Any]:
    count = len(boxes["labels"])
    columns = {"scores": np.ones(count), **boxes}
    return {
        name: np.asarray(columns[name], kind)[rows]
        for name, kind in (("boxes", float), ("labels", int), ("scores", float))
    }


def _moved(boxes, left, top, right, bottom):
    """The boxes that reach into a crop, from its own corner on."""
    corners = np.asarray(boxes["boxes"], np.float64).reshape(-1, 4)
    corners = corners - [left, top, left, top]
    inside = (corners[:, 2:] > 0).all(axis=1)
    inside &= (corners[:, :2] < [right - left, bottom - top]).all(axis=1)
    return {
        "boxes": corners[inside],
        **{name: np.asarray(boxes[name])[inside] for name in ("scores", "labels")},
    }


def _window(image):
    """None for colours as they are, else what the whole image's percentiles give."""
    if image.dtype == np.uint8 and image.shape[-1] == 3 and image.ndim == 3:
        return None
    low, high = robust_range(image)
    return (low + high) / 2, high - low
