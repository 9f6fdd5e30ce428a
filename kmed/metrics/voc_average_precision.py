"""Average precision of boxes as the Pascal VOC challenges counted it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kmed.metrics.box_matching import Boxes, check_overlap, checked_images, overlaps


def voc_average_precision(
    truth: Sequence[Boxes],
    found: Sequence[Boxes],
    labels: Sequence[str],
    *,
    iou: float = 0.5,
    points: int | None = 11,
) -> dict[str, float]:
    """Returns Pascal VOC's average precision of each class, and their mean.

    Each detection belongs to the object of its class that it overlaps most. The best-scored one
    on an object is right, all further ones are false, and so is one that would overlap a second
    object well enough: that is where VOC and COCO differ. Difficult objects count neither for nor
    against a detector.

    The challenge's boxes run from the first to the last pixel inside, so that a width is the
    difference plus one; with edges at x1 and x2 it is the difference, and the overlaps are equal.

    Reference:
        Everingham et al.: The Pascal visual object classes (VOC) challenge, IJCV 88 (2010),
        section 4.2; `VOCevaldet.m` of the development kits.

    Args:
        truth: per image `{"boxes": (M, 4), "labels": (M,), "difficult": (M,) bool, optional}`,
            boxes as (x1, y1, x2, y2) in pixels, labels 0..K-1.
        found: per image `{"boxes": (N, 4), "scores": (N,), "labels": (N,)}`.
        labels: names of the K classes of objects.
        iou: least intersection over union of a hit.
        points: number of equally spaced recalls, 11 until VOC2007; None for the area under the
            curve, since VOC2010.

    Returns:
        `{name: average precision}`, the classes in the order of `labels`; the last, "all", is the
        mean over the classes that have objects. NaN without an object.

    Raises:
        ValueError: for lists or arrays that do not fit one another, labels that are no class, or
            fewer than 2 points.

    Example:
        >>> truth = [{"boxes": [[0, 0, 10, 10], [20, 20, 30, 30]], "labels": [0, 0]}]
        >>> boxes = [[0, 0, 10, 9], [50, 50, 60, 60], [20, 20, 30, 30]]
        >>> found = [{"boxes": boxes, "scores": [0.9, 0.8, 0.7], "labels": [0, 0, 0]}]
        >>> round(voc_average_precision(truth, found, ["cell"])["cell"], 4)  # (6 + 5 * 2/3) / 11
        0.8485
        >>> round(voc_average_precision(truth, found, ["cell"], points=None)["cell"], 4)
        0.8333
    """
    truth, found = checked_images(truth, found, labels)
    check_overlap(iou)
    if points is not None and points < 2:
        raise ValueError(f"`points` must be at least 2 or None; received {points}")
    values = {}
    for k, name in enumerate(labels):
        recall, precision = _curve(truth, found, k, iou)
        values[name] = _average(recall, precision, points)
    known = [value for value in values.values() if np.isfinite(value)]
    return {**values, "all": float(np.mean(known)) if known else float("nan")}


def _curve(truth, found, k, iou):
    """Recall and precision after each detection of class k, the best first."""
    objects, scores, verdicts = 0, [], []
    for one, other in zip(truth, found, strict=True):
        mine, theirs = one["labels"] == k, other["labels"] == k
        difficult = one["difficult"][mine]
        objects += int((~difficult).sum())
        order = np.argsort(-other["scores"][theirs], kind="stable")
        boxes = other["boxes"][theirs][order]
        scores.append(other["scores"][theirs][order])
        verdicts.append(_verdicts(boxes, one["boxes"][mine], difficult, iou))
    scores, verdicts = np.concatenate(scores), np.concatenate(verdicts)
    order = np.argsort(-scores, kind="stable")
    true, false = (np.cumsum(verdicts[order] == sign) for sign in (1, -1))
    if objects == 0:
        return None, None
    # Where all detections so far lie on difficult objects there is no precision yet: 0 never wins.
    return true / objects, true / np.maximum(true + false, 1)


def _verdicts(boxes, objects, difficult, iou):
    """1 for a hit, -1 for a false positive, 0 on a difficult object, of detections best first."""
    verdicts = np.full(len(boxes), -1)
    if len(boxes) == 0 or len(objects) == 0:
        return verdicts
    overlap = overlaps(boxes, objects)
    nearest = overlap.argmax(axis=1)
    rows = np.flatnonzero(overlap.max(axis=1) >= iou)
    _, first = np.unique(nearest[rows], return_index=True)
    verdicts[rows[first]] = 1
    verdicts[rows[difficult[nearest[rows]]]] = 0
    return verdicts


def _average(recall, precision, points):
    if recall is None:
        return float("nan")
    # Interpolated: the best precision at this recall or a larger one.
    best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    if points is None:
        return float((np.diff(recall, prepend=0.0) * best[:-1]).sum())
    # k / 10 and not multiples of 0.1: three objects of ten are exactly 0.3 of them.
    places = np.searchsorted(recall, np.arange(points) / (points - 1), side="left")
    return float(best[places].mean())
