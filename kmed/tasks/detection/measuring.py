"""A detector's bundle measured on images that it has not seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from kmed.data import DataError, Sample
from kmed.export import Bundle
from kmed.metrics import Interval, detection_report, matched
from kmed.tasks.detection.data import truth
from kmed.tasks.inputs import check_modality

Found = dict[str, np.ndarray]
_NEVER = 1.0  # of a class that the validation part has no hit of


@dataclass
class Measured:
    """What a test set says of a bundle.

    Attributes:
        samples: the images.
        truth: of each image "boxes" `(N, 4)` xyxy in pixels, "labels" and "difficult" `(N,)`.
        found: of each image "boxes", "scores" and "labels", as the bundle gives them.
        summary: `{class: {measure: Interval}}` with intervals over patients.
        seconds_per_case: median time from raw values to boxes.
    """

    samples: Sequence[Sample]
    truth: list[Found]
    found: list[Found]
    summary: dict[str, dict[str, Interval]] = field(default_factory=dict)
    seconds_per_case: float = float("nan")


def measure(
    bundle: Bundle,
    samples: Sequence[Sample],
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Measured:
    """Detect the objects of every image and compare them with its boxes, one image at a time.

    Args:
        bundle: the bundle.
        samples: images with objects.
        seed: of the bootstrap.
        progress: called with the number of images done and of all.

    Returns:
        The measures; sensitivity, precision and F1 at the scores from which the bundle's boxes are
        shown.

    Raises:
        DataError: if an image has no boxes or another modality, or there is no image.
    """
    found, seconds = detections(bundle, samples, progress)
    measured = Measured(samples, truth(samples), found, seconds_per_case=float(np.median(seconds)))
    shown_from = bundle.metadata.get("shown_from", {})
    measured.summary = detection_report(
        measured.truth,
        found,
        bundle.labels,
        patients=[sample.patient for sample in samples],
        threshold=[shown_from.get(label, 0.5) for label in bundle.labels],
        seed=seed,
    )
    return measured


def detections(
    bundle: Bundle,
    samples: Sequence[Sample],
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[Found], list[float]]:
    """Detect the objects of images whose boxes are known.

    Args:
        bundle: the bundle.
        samples: images with objects.
        progress: called with the number of images done and of all.

    Returns:
        Of each image its detections and the seconds they took.

    Raises:
        DataError: if an image has no boxes or another modality, or there is no image.
    """
    if not samples:
        raise DataError("there is no image to measure on")
    found, seconds = [], []
    for done, sample in enumerate(samples, start=1):
        if sample.objects is None:
            raise DataError(f"{sample.files[0]}: has no boxes to compare with")
        check_modality(sample, bundle.preprocessor.name)
        image = fitting(bundle, sample)
        start = time.perf_counter()
        found.append(bundle.detect(image))
        seconds.append(time.perf_counter() - start)
        if progress:
            progress(done, len(samples))
    return found, seconds


def fitting(bundle: Bundle, sample: Sample) -> np.ndarray:
    """Read an image, and refuse it where the bundle does not take it.

    Args:
        bundle: the bundle.
        sample: the image.

    Returns:
        `(H, W, C)` in raw units.

    Raises:
        DataError: naming the file and both shapes.
    """
    image = sample.read().image
    if image.ndim - 1 != bundle.rank or image.shape[-1] != bundle.channels:
        raise DataError(
            f"{sample.files[0]}: the bundle takes (H, W, C) of {bundle.channels} channels; this "
            f"is {image.shape}"
        )
    return image


def operating_scores(bundle: Bundle, samples: Sequence[Sample]) -> dict[str, float]:
    """Choose for each class the score from which on a box is shown: that of the largest F1.

    Args:
        bundle: the bundle.
        samples: of the validation part.

    Returns:
        By name of the class.
    """
    found, _ = detections(bundle, samples)
    known = truth(samples)
    matches = matched(known, found)
    chosen = {}
    for k, label in enumerate(bundle.labels):
        hits, false, missed = [], [], 0
        for image, reference, match in zip(found, known, matches, strict=True):
            of_class = image["labels"] == k
            hits.append(image["scores"][match.hits & of_class])
            false.append(image["scores"][match.false_positives & of_class])
            missed += int((match.missed & (reference["labels"] == k)).sum())
        hits, false = np.concatenate(hits), np.concatenate(false)
        chosen[label] = round(_best_f1(hits, false, len(hits) + missed), 6)
    return chosen


def _best_f1(hits: np.ndarray, false: np.ndarray, objects: int) -> float:
    """Score from which on the F1 of detections is largest."""
    if not len(hits):
        return _NEVER
    scores = np.concatenate([hits, false])
    order = np.argsort(-scores, kind="stable")
    right = np.cumsum(order < len(hits))
    scores = scores[order]
    f1 = 2 * right / (np.arange(1, len(scores) + 1) + objects)
    # Equal scores are shown together, or not at all.
    f1[:-1][scores[:-1] == scores[1:]] = -1.0
    best = int(f1.argmax())
    # Halfway to the next score, so that rounding in another format moves no box across.
    after = scores[best + 1] if best + 1 < len(scores) else scores[best]
    return float(scores[best] + after) / 2


def shown(bundle: Bundle, found: Found, *, score: float | None = None) -> Found:
    """Give the detections that people see: those at or above their class' score.

    Args:
        bundle: the bundle.
        found: detections of one image.
        score: for all classes, in place of the bundle's own.

    Returns:
        The same arrays, shorter.
    """
    own = bundle.metadata.get("shown_from", {})
    limits = np.array([score if score is not None else own.get(n, 0.5) for n in bundle.labels])
    kept = found["scores"] >= limits[found["labels"]]
    return {name: values[kept] for name, values in found.items()}
