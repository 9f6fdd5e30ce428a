"""All measures of a detector on a test set, with intervals from resampling patients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from kmed.metrics.bootstrap import Interval, bootstrap_statistics
from kmed.metrics.box_matching import Boxes
from kmed.metrics.coco_average_precision import coco_evaluation
from kmed.metrics.froc import class_marks, sensitivity_at_rates
from kmed.metrics.weighting import ratio

#: Name of the entry that holds the measures of all classes together.
ALL = "all"

_SIZES = ("ap", "ap_small", "ap_medium", "ap_large")  # pycocotools' area ranges
_BLOCK = 1 << 20  # curve points held at once: 8 MB an array


def detection_report(
    truth: Sequence[Boxes],
    found: Sequence[Boxes],
    labels: Sequence[str],
    *,
    patients: Sequence[str] | None = None,
    threshold: float | Sequence[float] = 0.5,
    hit: str = "iou",
    max_detections: int = 100,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, dict[str, Interval]]:
    """Returns every measure of a detector with its bootstrap interval over patients.

    Of each class `objects` (their number, without an interval); `ap`, `ap50`, `ap75`, `ap_small`,
    `ap_medium`, `ap_large` and `recall` as `coco_average_precision`; `froc`, the sensitivity
    averaged over 1/8 to 8 false positives per image; and of the detections that score at least
    `threshold`, matched at an overlap of 0.5, `sensitivity`, `precision`, `f1` and
    `false_positives_per_image`.

    Under "all" the average precisions and `recall` are means over the classes; the others are of
    the boxes of all classes together. A class that the test set has no object of gives NaN where
    one is needed, and `omitted` 1; means leave it out and count it in `omitted`. Resamples that
    lack a class of the test set are left out, see `bootstrap_statistics`.

    Args:
        truth: per image `{"boxes": (M, 4), "labels": (M,), "difficult": (M,) bool, optional}`,
            boxes as (x1, y1, x2, y2) in pixels, labels 0..K-1.
        found: per image `{"boxes": (N, 4), "scores": (N,), "labels": (N,)}`.
        labels: names of the K classes of objects.
        patients: the patient of each image, or None if each is another patient.
        threshold: of the score, or one for each class; chosen on validation data.
        hit: of the FROC, see `froc`.
        max_detections: of each image and class, the best that count.
        level: of confidence, between 0 and 1.
        resamples: number of bootstrap samples.
        seed: of the resampling.

    Returns:
        `{name: {measure: Interval}}`, the classes in the order of `labels`, "all" last.

    Raises:
        ValueError: for lists or arrays that do not fit one another, or labels that are no class.

    Example:
        >>> truth = [{"boxes": [[0, 0, 10, 10]], "labels": [0]}] * 2
        >>> found = [{"boxes": [[0, 0, 10, 8]], "scores": [s], "labels": [0]} for s in (0.9, 0.4)]
        >>> report = detection_report(truth, found, ["cell"], resamples=20)
        >>> report["cell"]["ap50"].value, report["cell"]["sensitivity"].value
        (1.0, 0.5)
    """
    thresholds = np.asarray(threshold, "float64")
    if thresholds.shape not in ((), (len(labels),)):
        raise ValueError(
            f"`threshold` must be a number or one for each of the {len(labels)} classes; received "
            f"{threshold}"
        )
    thresholds = np.broadcast_to(thresholds, len(labels))
    evaluation = coco_evaluation(truth, found, labels, max_detections=max_detections)
    marks = class_marks(truth, found, labels, hit=hit)
    measure = _Measures(evaluation, marks, labels, thresholds, len(truth))
    names: list[tuple[str, str]] = []

    def statistic(weights):
        values = measure(weights)
        names[:] = values
        return np.stack(list(values.values()), axis=1)

    intervals = bootstrap_statistics(
        statistic, len(truth), patients=patients, level=level, resamples=resamples, seed=seed
    )
    report: dict[str, dict[str, Interval]] = {}
    for (name, key), interval in zip(names, intervals, strict=True):
        if key == "objects":
            interval = interval._replace(low=float("nan"), high=float("nan"))
        elif name == ALL:
            interval = interval._replace(omitted=max(interval.omitted, measure.omitted.get(key, 0)))
        report.setdefault(name, {})[key] = interval
    return report


class _Ranked(NamedTuple):
    """Detections of one class, best first, and objects, of one range of sizes.

    Attributes:
        images: `(D,)` the image of each detection.
        scores: `(D,)`.
        true: `(T, D)` bool, found an object at each of T overlaps.
        false: `(T, D)` bool, found nothing; what is ignored is neither.
        objects: `(N,)` number of objects in each image.
    """

    images: np.ndarray
    scores: np.ndarray
    true: np.ndarray
    false: np.ndarray
    objects: np.ndarray


class _Measures:
    """Every measure of R samples at once, from the images' weights `(R, N)`."""

    def __init__(self, evaluation, marks, labels, thresholds, images):
        self.marks, self.labels = marks, labels
        self.recalls = evaluation.params.recThrs
        self.ranked = [
            [_ranked(evaluation, k, size, images) for size in range(len(_SIZES))]
            for k in range(len(labels))
        ]
        self.counts = [_counts(self.ranked[k][0], thresholds[k]) for k in range(len(labels))]
        self.counts.append(np.sum(self.counts, axis=0))
        # A mean over classes takes those that the test set has objects of.
        occurs = np.array([[one.objects.any() for one in sizes] for sizes in self.ranked])
        self.judged = dict(zip(_SIZES, occurs.T, strict=True))
        self.judged |= {key: occurs[:, 0] for key in ("ap50", "ap75", "recall")}
        self.omitted = {key: int((~kept).sum()) for key, kept in self.judged.items()}

    def __call__(self, weights):
        """Gives `{(name, measure): (R,)}`."""
        values, averages = {}, [self._averages(k, weights) for k in range(len(self.labels))]
        averages.append({key: self._mean(key, averages) for key in averages[0]})
        for k, name in enumerate([*self.labels, ALL]):
            true, false, objects = (weights @ count for count in self.counts[k])
            of_class = {
                "objects": objects,
                **averages[k],
                "froc": sensitivity_at_rates(self.marks[k], weights).mean(axis=1),
                "sensitivity": ratio(true, objects),
                "precision": ratio(true, true + false),
                "f1": ratio(2 * true, true + false + objects),
                "false_positives_per_image": false / weights.sum(axis=1),
            }
            values |= {(name, key): value for key, value in of_class.items()}
        return values

    def _averages(self, k, weights):
        values = {}
        for size, ranked in zip(_SIZES, self.ranked[k], strict=True):
            at_overlap, recall = resampled_precision(ranked, weights, self.recalls)
            values[size] = at_overlap.mean(axis=0)
            if size == "ap":
                values |= {"ap50": at_overlap[0], "ap75": at_overlap[5]}
                values["recall"] = recall.mean(axis=0)
        order = ("ap", "ap50", "ap75", *_SIZES[1:], "recall")
        return {key: values[key] for key in order}

    def _mean(self, key, classes):
        kept = [one[key] for one, held in zip(classes, self.judged[key], strict=True) if held]
        return np.mean(kept, axis=0) if kept else np.full_like(classes[0][key], np.nan)


def resampled_precision(
    ranked: _Ranked, weights: np.ndarray, recalls: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Computes pycocotools' average precision of many samples of images at once.

    An image drawn twice counts its detections twice. Between two objects that are found precision
    only falls, so the curve is needed at those points alone: there are as many as objects found,
    while a detector gives hundreds of boxes.

    Args:
        ranked: detections and objects of one class.
        weights: `(R, N)`, how often each image counts in each of R samples.
        recalls: `(101,)` at which the precision is read.

    Returns:
        Average precision and recall `(T, R)` of T overlaps, NaN where a sample has no object.
    """
    total = weights @ ranked.objects
    average = np.zeros((len(ranked.true), len(weights)))
    recall = np.zeros_like(average)
    for t, (true, false) in enumerate(zip(ranked.true, ranked.false, strict=True)):
        points = int(true.sum())
        if points == 0:
            continue
        place = np.cumsum(true)[false]  # objects found before each false detection
        kept = place < points  # after the last one they change nothing
        entries = (np.ones(int(kept.sum())), (ranked.images[false][kept], place[kept]))
        falling = csr_array(entries, shape=(weights.shape[1], points))
        step = max(1, _BLOCK // points)
        for start in range(0, len(weights), step):
            part = slice(start, start + step)
            hits = np.cumsum(weights[part][:, ranked.images[true]], axis=1)
            misses = np.cumsum(weights[part] @ falling, axis=1)
            precision = np.zeros((len(hits), points + 1))  # 0 beyond the largest recall
            precision[:, :-1] = hits / (hits + misses + np.spacing(1))
            precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
            with np.errstate(invalid="ignore"):
                reached = hits / total[part, None]  # NaN without an object
            read = [np.searchsorted(row, recalls, side="left") for row in reached]
            average[t, part] = np.take_along_axis(precision, np.stack(read), axis=1).mean(axis=1)
            recall[t, part] = reached[:, -1]
    missing = total == 0
    average[:, missing] = recall[:, missing] = np.nan
    return average, recall


def _ranked(evaluation, k, size, images):
    sizes = len(evaluation.params.areaRng)
    entries = evaluation.evalImgs[(k * sizes + size) * images :][:images]
    kept = [(i, entry) for i, entry in enumerate(entries) if entry is not None]
    objects = np.zeros(images)
    overlaps = len(evaluation.params.iouThrs)
    if not kept:
        nothing = np.zeros((overlaps, 0), bool)
        return _Ranked(np.zeros(0, "int64"), np.zeros(0), nothing, nothing, objects)
    for i, entry in kept:
        objects[i] = np.count_nonzero(np.asarray(entry["gtIgnore"]) == 0)
    scores = np.concatenate([np.asarray(entry["dtScores"], "float64") for _, entry in kept])
    order = np.argsort(-scores, kind="stable")  # pycocotools' own order
    hit, ignored = (
        np.concatenate([np.asarray(entry[key], bool) for _, entry in kept], axis=1)[:, order]
        for key in ("dtMatches", "dtIgnore")
    )
    of_image = np.concatenate([np.full(len(entry["dtScores"]), i) for i, entry in kept])
    return _Ranked(of_image[order], scores[order], hit & ~ignored, ~hit & ~ignored, objects)


def _counts(ranked, threshold):
    """Hits and false positives at the threshold, and objects: `(3, N)`."""
    shown = ranked.scores >= threshold
    images = len(ranked.objects)
    found = [
        np.bincount(ranked.images[kind[0] & shown], minlength=images)
        for kind in (ranked.true, ranked.false)
    ]
    return np.stack([*found, ranked.objects])
