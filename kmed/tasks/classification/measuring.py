"""A classifier's bundle measured on images that it has not seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from kmed.data import DataError, Sample
from kmed.export import Bundle
from kmed.metrics import Interval, classification_report, decision_confidence
from kmed.tasks.inputs import check_modality


@dataclass
class Measured:
    """What a test set says of a bundle.

    Attributes:
        samples: the images.
        truth: their labels, `(N,)` or `(N, K)`.
        labels: what the bundle says, of the same shape.
        probabilities: `(N, K)`.
        summary: `{class: {measure: Interval}}` with intervals over patients.
        seconds_per_case: median time from raw values to the label.
    """

    samples: Sequence[Sample]
    truth: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    summary: dict[str, dict[str, Interval]] = field(default_factory=dict)
    seconds_per_case: float = float("nan")


def measure(
    bundle: Bundle,
    samples: Sequence[Sample],
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Measured:
    """Classify every image and compare it with its label, one image in memory at a time.

    Args:
        bundle: the bundle.
        samples: images with labels.
        seed: of the bootstrap.
        progress: called with the number of images done and of all.

    Returns:
        The measures, at the bundle's own thresholds.

    Raises:
        DataError: if an image has no label or another modality, or there is no image.
    """
    if not samples:
        raise DataError("there is no image to measure on")
    labels, probabilities, seconds = [], [], []
    for done, sample in enumerate(samples, start=1):
        if sample.label is None:
            raise DataError(f"{sample.files[0]}: has no label to compare with")
        check_modality(sample, bundle.preprocessor.name)
        image = sample.read().image
        started = time.perf_counter()
        label, probability = bundle.predict(image)
        seconds.append(time.perf_counter() - started)
        labels.append(label)
        probabilities.append(probability)
        if progress:
            progress(done, len(samples))
    measured = Measured(
        samples,
        np.array([sample.label for sample in samples], np.int64),
        np.array(labels, np.int64),
        np.array(probabilities),
        seconds_per_case=float(np.median(seconds)),
    )
    measured.summary = classification_report(
        measured.truth,
        measured.probabilities,
        bundle.labels,
        kind=bundle.decoder.kind,
        thresholds=bundle.decoder.thresholds,
        patients=[sample.patient for sample in samples],
        seed=seed,
    )
    return measured


def example_cases(bundle: Bundle, measured: Measured) -> list[tuple[str, int]]:
    """Choose images worth a look: the most certain errors, a doubt, and certain right answers.

    Args:
        bundle: the bundle.
        measured: result of `measure`.

    Returns:
        Pairs of a caption and an index, up to six; none twice.
    """
    decoder = bundle.decoder
    sure = decision_confidence(measured.probabilities, decoder.kind, decoder.thresholds)
    right = (measured.labels == measured.truth).reshape(len(sure), -1).all(axis=1)
    by_certainty = np.argsort(-sure, kind="stable")
    wrong = [i for i in by_certainty if not right[i]][:3]
    doubtful = [i for i in by_certainty[::-1] if i not in wrong][:1]
    good = [i for i in by_certainty if right[i] and i not in doubtful][: 6 - len(wrong) - 1]
    return (
        [("surest error", int(i)) for i in wrong]
        + [("least sure", int(i)) for i in doubtful]
        + [("surest right answer", int(i)) for i in good]
    )
