"""A bundle measured on cases that it has not seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from kmed.data import DataError, Sample
from kmed.export import Bundle
from kmed.metrics import Interval, segmentation_report, summarize
from kmed.tasks.inputs import check_modality
from kmed.tasks.segmentation.whole_case import WholeCase


@dataclass
class Measured:
    """What a test set says of a bundle.

    Attributes:
        cases: for each case its id, its measures per class and the mean Dice over its classes.
        summary: `{class: {measure: Interval}}`, means over cases with intervals over patients.
        seconds_per_case: median time of the whole way from raw values to labels.
        in_pixels: whether some source states no spacing, so that its "millimetres" count pixels.
    """

    cases: list[dict] = field(default_factory=list)
    summary: dict[str, dict[str, Interval]] = field(default_factory=dict)
    seconds_per_case: float = float("nan")
    in_pixels: bool = False


def measure(
    bundle: Bundle,
    samples: Sequence[Sample],
    *,
    seed: int = 0,
    overlap: float = 0.5,
    flips: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Measured:
    """Segment every case and compare it with its mask, one case in memory at a time.

    Args:
        bundle: the bundle.
        samples: cases with masks.
        seed: of the bootstrap.
        overlap: of the sliding window.
        flips: average over mirrored inputs.
        progress: called with the number of cases done and of all.

    Returns:
        The measures.

    Raises:
        DataError: if a case has no mask or another modality, or there is no case.
    """
    if not samples:
        raise DataError("there is no case to measure on")
    segment = WholeCase(bundle, overlap=overlap, flips=flips)
    measured, seconds = Measured(), []
    for done, sample in enumerate(samples, start=1):
        check_modality(sample, bundle.preprocessor.name)
        arrays = sample.read()
        if arrays.mask is None:
            raise DataError(f"{sample.files[0]}: has no mask to compare with")
        started = time.perf_counter()
        found = segment(arrays.image, arrays.spacing_mm).labels
        seconds.append(time.perf_counter() - started)
        values = segmentation_report(arrays.mask, found, bundle.labels, arrays.spacing_mm)
        dice = float(np.mean([value["dice"] for value in values.values()]))
        measured.in_pixels |= arrays.affine is None and set(arrays.spacing_mm) == {1.0}
        measured.cases.append({"sample": sample, "dice": dice, "classes": values})
        if progress:
            progress(done, len(samples))
    measured.summary = summarize(
        [case["classes"] for case in measured.cases],
        [case["sample"].patient for case in measured.cases],
        seed=seed,
    )
    measured.seconds_per_case = float(np.median(seconds))
    return measured


def example_cases(measured: Measured) -> list[tuple[str, dict]]:
    """Choose the worst, the median and the best case by their mean Dice.

    Args:
        measured: result of `measure`.

    Returns:
        Pairs of "worst", "median" or "best" and the case; fewer where there are fewer cases.
    """
    order = sorted(measured.cases, key=lambda case: case["dice"])
    picks = {"worst": 0, "median": (len(order) - 1) // 2, "best": len(order) - 1}
    chosen, seen = [], set()
    for name, index in picks.items():
        if index not in seen:
            seen.add(index)
            chosen.append((name, order[index]))
    return chosen
