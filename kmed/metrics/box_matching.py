"""Which detections hit an object, which are false, and which objects were missed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

Boxes = Mapping[str, np.ndarray]


class Match(NamedTuple):
    """How the detections and the objects of one image belong together.

    Attributes:
        hits: `(N,)` bool, detections that found an object.
        false_positives: `(N,)` bool, detections that found nothing. Neither a hit nor a false
            positive is what lies on a difficult object or scores below the threshold.
        objects: `(N,)` int64, index of the object that each detection lies on, -1 for none.
        missed: `(M,)` bool, objects that no detection found; never a difficult one.
    """

    hits: np.ndarray
    false_positives: np.ndarray
    objects: np.ndarray
    missed: np.ndarray


def matched(
    truth: Sequence[Boxes], found: Sequence[Boxes], iou: float = 0.5, *, threshold: float = 0.0
) -> list[Match]:
    """Returns which detections of each image are hits or false, and which objects are missed.

    The rule of COCO: detections choose in the order of their scores; each takes the object of its
    own class that it overlaps most among those that no other has taken, if the overlap is at least
    `iou`; only if there is none, a difficult object. A second box on one object is false.

    Reference:
        Lin et al.: Microsoft COCO: common objects in context, ECCV 2014; matching as in
        pycocotools 2.0.11, `COCOeval.evaluateImg`.

    Args:
        truth: per image `{"boxes": (M, 4), "labels": (M,), "difficult": (M,) bool, optional}`,
            boxes as (x1, y1, x2, y2) in pixels.
        found: per image `{"boxes": (N, 4), "scores": (N,), "labels": (N,)}`.
        iou: least intersection over union of a hit.
        threshold: detections that score less are left out.

    Returns:
        One Match per image, rows in the order of the arguments.

    Raises:
        ValueError: for lists or arrays that do not fit one another.

    Example:
        >>> truth = [{"boxes": [[0, 0, 10, 10], [20, 20, 30, 30]], "labels": [0, 0]}]
        >>> boxes = [[0, 0, 10, 9], [0, 0, 10, 10], [50, 50, 60, 60]]
        >>> found = [{"boxes": boxes, "scores": [0.9, 0.8, 0.7], "labels": [0, 0, 0]}]
        >>> match = matched(truth, found)[0]
        >>> match.hits.tolist(), match.false_positives.tolist(), match.missed.tolist()
        ([True, False, False], [False, True, True], [False, True])
    """
    truth, found = checked_images(truth, found)
    check_overlap(iou)
    return [_match(one, other, iou, threshold) for one, other in zip(truth, found, strict=True)]


def overlaps(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Returns the intersection over union of every detection with every object.

    Args:
        found: `(N, 4)` boxes (x1, y1, x2, y2).
        truth: `(M, 4)`.

    Returns:
        `(N, M)` float64, pycocotools' own numbers to the last bit: what lies exactly on a threshold
        falls on the same side of it.

    Example:
        >>> overlaps(np.array([[0.0, 0, 2, 2]]), np.array([[0.0, 0, 2, 1], [2, 2, 3, 3]])).tolist()
        [[0.5, 0.0]]
    """
    from pycocotools import mask

    if len(found) == 0 or len(truth) == 0:
        return np.zeros((len(found), len(truth)))
    return np.asarray(mask.iou(corner_and_size(found), corner_and_size(truth), [0] * len(truth)))


def corner_and_size(boxes: np.ndarray) -> np.ndarray:
    """Turns (x1, y1, x2, y2) into COCO's (x1, y1, width, height).

    Args:
        boxes: `(N, 4)`.

    Returns:
        `(N, 4)` float64.

    Example:
        >>> corner_and_size(np.array([[1, 2, 4, 6]])).tolist()
        [[1.0, 2.0, 3.0, 4.0]]
    """
    boxes = np.asarray(boxes, "float64")
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def checked_images(
    truth: Sequence[Boxes], found: Sequence[Boxes], labels: Sequence[str] | None = None
) -> tuple[list[dict[str, np.ndarray]], list[dict[str, np.ndarray]]]:
    """Checks the objects and the detections of a test set and completes what may be left out.

    Args:
        truth: as `matched`.
        found: as `matched`.
        labels: names of the classes, if labels are to be checked against them.

    Returns:
        Truth with boxes, labels and difficult, and found with boxes, scores and labels, in float64,
        int64 and bool.

    Raises:
        ValueError: for lists of different lengths, arrays of wrong shapes, boxes or scores that are
            not finite, boxes without an area, labels that are no class, or class names that are not
            different ones.
    """
    if len(truth) != len(found) or len(truth) == 0:
        raise ValueError(
            "`truth` and `found` must have one entry for each of at least one image; received "
            f"{len(truth)} and {len(found)}"
        )
    if labels is not None and (len(set(labels)) != len(labels) or "all" in labels or not labels):
        raise ValueError(
            '`labels` must be different names of the classes, none of them "all"; received '
            f"{list(labels)}"
        )
    classes = None if labels is None else len(labels)
    return (
        [_checked(one, f"truth[{i}]", "difficult", classes) for i, one in enumerate(truth)],
        [_checked(one, f"found[{i}]", "scores", classes) for i, one in enumerate(found)],
    )


def check_overlap(iou: float) -> None:
    """Refuses an overlap that is none.

    Args:
        iou: intersection over union.

    Raises:
        ValueError: outside (0, 1].
    """
    if not 0 < iou <= 1:
        raise ValueError(f"`iou` must lie above 0 and be at most 1; received {iou}")


def _match(truth, found, iou, threshold):
    overlap = overlaps(found["boxes"], truth["boxes"])
    overlap[found["labels"][:, None] != truth["labels"]] = -1.0
    free, difficult = np.ones(len(truth["labels"]), bool), truth["difficult"]
    objects = np.full(len(found["labels"]), -1)
    # pycocotools' bound; without it an overlap of 1 could miss a threshold of 1 by rounding.
    least = min(iou, 1 - 1e-10)
    for row in np.argsort(-found["scores"], kind="stable"):
        if found["scores"][row] < threshold:
            break
        for kind in (free & ~difficult, free & difficult):
            near = np.where(kind & (overlap[row] >= least), overlap[row], -1.0)
            if len(near) and near.max() >= 0:
                best = len(near) - 1 - int(near[::-1].argmax())  # of equals pycocotools' last
                objects[row], free[best] = best, False
                break
    on_object = objects >= 0
    hits = on_object.copy()
    hits[on_object] = ~difficult[objects[on_object]]
    shown = found["scores"] >= threshold
    return Match(hits, shown & ~on_object, objects, free & ~difficult)


def _checked(image, name, extra, classes):
    keys = {"boxes", "labels"} | ({"scores"} if extra == "scores" else set())
    missing = sorted(keys - set(image))
    if missing:
        raise ValueError(f"`{name}` must hold {sorted(keys)}; {missing} are missing")
    labels = np.asarray(image["labels"])
    count = len(labels)
    boxes = np.asarray(image["boxes"], "float64")
    boxes = boxes.reshape(0, 4) if count == 0 and boxes.size == 0 else boxes
    values = image.get(extra)
    values = np.zeros(count) if values is None else np.asarray(values)
    for key, array, shape in (
        ("boxes", boxes, (count, 4)),
        ("labels", labels, (count,)),
        (extra, values, (count,)),
    ):
        if array.shape != shape:
            raise ValueError(f"`{name}[{key!r}]` must have shape {shape}; received {array.shape}")
    for key, array in (("boxes", boxes), (extra, values)):
        if not np.isfinite(array).all():
            raise ValueError(f"`{name}[{key!r}]` must be finite; received NaN or infinity")
    if extra == "difficult" and not (boxes[:, 2:] > boxes[:, :2]).all():
        flat = boxes[~(boxes[:, 2:] > boxes[:, :2]).all(axis=1)][0]
        raise ValueError(f"`{name}['boxes']` must have an area; received {flat.tolist()}")
    last = np.inf if classes is None else classes - 1
    if not ((labels >= 0) & (labels <= last)).all():
        raise ValueError(
            f"`{name}['labels']` must be class indices 0..{last}; received "
            f"{np.unique(labels).tolist()}. Cut padding rows (-1) off."
        )
    kind = "float64" if extra == "scores" else bool
    return {"boxes": boxes, "labels": labels.astype("int64"), extra: values.astype(kind)}
