"""FROC: the share of objects found against the number of false positives per image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from kmed.metrics.box_matching import Boxes, check_overlap, checked_images, overlaps
from kmed.metrics.weighting import ratio

#: False positives per image at which LUNA16 reads the sensitivity.
RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
HITS = ("iou", "centre")


class FrocCurve(NamedTuple):
    """The points of a FROC curve, from (0, 0) on, and what is read from it.

    Attributes:
        false_positives: `(G + 1,)` per image.
        sensitivity: `(G + 1,)` share of the objects that are found; NaN without an object.
        thresholds: `(G + 1,)`; a point's detections score at least its threshold. The first,
            infinity, takes none.
        rates: `(7,)` false positives per image, 1/8 to 8.
        at_rates: `(7,)` sensitivity at each of them.
        average: mean of the seven, the score of LUNA16.
        objects: number of objects.
        images: number of images.
    """

    false_positives: np.ndarray
    sensitivity: np.ndarray
    thresholds: np.ndarray
    rates: np.ndarray
    at_rates: np.ndarray
    average: float
    objects: int
    images: int


class Marks(NamedTuple):
    """What a FROC curve is made of.

    Attributes:
        objects: `(M,)` highest score of the detections that hit an object, -infinity if none does.
        object_images: `(M,)` the image of each object.
        false: `(F,)` scores of the detections that hit nothing.
        false_images: `(F,)` the image of each.
    """

    objects: np.ndarray
    object_images: np.ndarray
    false: np.ndarray
    false_images: np.ndarray


def froc(
    truth: Sequence[Boxes],
    found: Sequence[Boxes],
    labels: Sequence[str],
    *,
    hit: str = "iou",
    iou: float = 0.5,
    rates: Sequence[float] = RATES,
) -> dict[str, FrocCurve]:
    """Returns the FROC curve of each class and of all classes together.

    An object is found at the highest score of the detections of its class that hit it; further ones
    on it are neither right nor false, and no more is a detection on a difficult object. "all" is
    the curve of the whole detector: objects and false positives of every class at one threshold.

    Between the points the curve is straight, and flat after the last, as LUNA16 evaluates.

    Reference:
        Setio et al.: Validation, comparison, and combination of algorithms for automatic detection
        of pulmonary nodules in computed tomography images: the LUNA16 challenge, Medical Image
        Analysis 42 (2017), section 4.

    Args:
        truth: per image `{"boxes": (M, 4), "labels": (M,), "difficult": (M,) bool, optional}`,
            boxes as (x1, y1, x2, y2) in pixels, labels 0..K-1.
        found: per image `{"boxes": (N, 4), "scores": (N,), "labels": (N,)}`.
        labels: names of the K classes of objects.
        hit: "iou": the boxes overlap by at least `iou`; "centre": the detection's centre lies less
            than the object's radius, a quarter of width plus height, from the object's centre, as
            in LUNA16.
        iou: least intersection over union of a hit.
        rates: false positives per image at which the sensitivity is read.

    Returns:
        `{name: FrocCurve}`, the classes in the order of `labels`, "all" last.

    Raises:
        ValueError: for lists or arrays that do not fit one another, labels that are no class, or
            an unknown `hit`.

    Example:
        >>> truth = [{"boxes": [[0, 0, 10, 10], [20, 20, 30, 30]], "labels": [0, 0]}]
        >>> boxes = [[0, 0, 10, 9], [50, 50, 60, 60], [20, 20, 30, 30]]
        >>> found = [{"boxes": boxes, "scores": [0.9, 0.8, 0.7], "labels": [0, 0, 0]}]
        >>> froc(truth, found, ["nodule"])["nodule"].at_rates.tolist()
        [0.5, 0.5, 0.5, 1.0, 1.0, 1.0, 1.0]
    """
    rates = np.asarray(rates, "float64")
    if rates.ndim != 1 or len(rates) == 0 or not (rates >= 0).all():
        raise ValueError(f"`rates` must be numbers of 0 or more; received {rates.tolist()}")
    marks = class_marks(truth, found, labels, hit=hit, iou=iou)
    return {
        name: _curve(one, len(truth), rates)
        for name, one in zip([*labels, "all"], marks, strict=True)
    }


def class_marks(
    truth: Sequence[Boxes],
    found: Sequence[Boxes],
    labels: Sequence[str],
    *,
    hit: str = "iou",
    iou: float = 0.5,
) -> list[Marks]:
    """Finds the score at which each object is found, and the false positives.

    Args:
        truth: as `froc`.
        found: as `froc`.
        labels: as `froc`.
        hit: as `froc`.
        iou: as `froc`.

    Returns:
        Marks of each class, and of all together as the last.

    Raises:
        ValueError: as `froc`.
    """
    truth, found = checked_images(truth, found, labels)
    check_overlap(iou)
    if hit not in HITS:
        raise ValueError(f"`hit` must be one of {HITS}; received {hit!r}")
    objects, false = [], []  # rows: class, image, score
    for image, (one, other) in enumerate(zip(truth, found, strict=True)):
        touched = _hits(other["boxes"], one["boxes"], hit, iou)
        touched &= other["labels"][:, None] == one["labels"]
        scores = np.where(touched, other["scores"][:, None], -np.inf).max(axis=0, initial=-np.inf)
        counted, wrong = ~one["difficult"], ~touched.any(axis=1)
        objects.append(_rows(one["labels"][counted], image, scores[counted]))
        false.append(_rows(other["labels"][wrong], image, other["scores"][wrong]))
    objects, false = np.concatenate(objects), np.concatenate(false)
    marks = []
    for index in [*range(len(labels)), None]:
        rows = [r if index is None else r[r[:, 0] == index] for r in (objects, false)]
        marks.append(Marks(*(a for r in rows for a in (r[:, 2], r[:, 1].astype("int64")))))
    return marks


def sensitivity_at_rates(
    marks: Marks, weights: np.ndarray, rates: Sequence[float] = RATES
) -> np.ndarray:
    """Reads the FROC curves of many samples of images at some numbers of false positives.

    Args:
        marks: of `class_marks`.
        weights: `(R, N)`, how often each image counts in each of R samples.
        rates: false positives per image.

    Returns:
        `(R, len(rates))`; NaN for a sample without an object.
    """
    images = weights.sum(axis=1)
    total = weights[:, marks.object_images].sum(axis=1)
    # The curve turns only where objects are found: two points for each of their distinct scores,
    # with the false positives above it and with those at it. In between it runs flat.
    levels = np.unique(marks.objects[np.isfinite(marks.objects)])  # ascending
    at = np.searchsorted(levels, marks.false, side="right") - 1  # highest level not above
    level = len(levels) - 1 - at  # counted from the highest score
    equal = (at >= 0) & (levels[at] == marks.false) if len(levels) else at >= 0
    found = np.isfinite(marks.objects)
    reached = len(levels) - 1 - np.searchsorted(levels, marks.objects[found])
    points, counts = 2 * len(levels), weights.shape[1]
    false = _running(2 * level + equal, marks.false_images, points, counts, weights)
    true = _running(2 * reached + 1, marks.object_images[found], points, counts, weights)
    read = np.stack(
        [
            np.interp(rates, np.append(0.0, x), np.append(0.0, y))
            for x, y in zip((false / images).T, true.T, strict=True)
        ]
    )
    return ratio(read, np.broadcast_to(total[:, None], read.shape))


def _running(rows, images, points, counts, weights):
    """Cumulative sums `(points, R)` of the weights of marks that begin to count at a point."""
    kept = rows < points  # the others score below every object found
    entries = (np.ones(int(kept.sum())), (rows[kept], images[kept]))
    return np.cumsum(csr_array(entries, shape=(points, counts)) @ weights.T, axis=0)


def _curve(marks, images, rates):
    scores = np.concatenate([marks.objects, marks.false])
    true = np.concatenate([np.ones(len(marks.objects)), np.zeros(len(marks.false))])
    true, scores = true[np.isfinite(scores)], scores[np.isfinite(scores)]
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else order
    found = np.append(0.0, np.cumsum(true[order])[last])
    false = np.append(0.0, np.cumsum(1 - true[order])[last])
    at_rates = sensitivity_at_rates(marks, np.ones((1, images)), rates)[0]
    return FrocCurve(
        false / images,
        ratio(found, np.full(found.shape, float(len(marks.objects)))),
        np.append(np.inf, ranked[last]),
        rates,
        at_rates,
        float(at_rates.mean()),
        len(marks.objects),
        images,
    )


def _hits(found, truth, hit, iou):
    if hit == "iou":
        return overlaps(found, truth) >= iou
    centres = [(boxes[:, :2] + boxes[:, 2:]) / 2 for boxes in (found, truth)]
    distance = np.linalg.norm(centres[0][:, None] - centres[1], axis=-1)
    return distance < (truth[:, 2:] - truth[:, :2]).sum(axis=1) / 4


def _rows(labels, image, scores):
    return np.stack([labels, np.full(len(labels), image), scores], axis=1)
