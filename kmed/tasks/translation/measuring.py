"""Translations measured on patients that the networks have not seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from kmed.data import DataError
from kmed.data.items import CrossModal, Item
from kmed.export import Bundle
from kmed.metrics import Interval
from kmed.metrics.translation_report import translation_report
from kmed.tasks.inputs import check_modality
from kmed.tasks.translation.data import pairs
from kmed.tasks.translation.whole_volume import WholeVolume

_SHOWN = 6


@dataclass
class Shown:
    """One translation as a person looks at it.

    Attributes:
        source: `(H, W, C)`, the slice or picture that was translated, in raw units.
        translated: what became of it.
        target: what it should have become, or None.
    """

    source: np.ndarray
    translated: np.ndarray
    target: np.ndarray | None


@dataclass
class Measured:
    """What a test set says of one direction.

    Attributes:
        summary: `{"t1 to t2": {measure: Interval}}`.
        shown: some translations.
        rows: measures of each image, without names.
        seconds_per_image: median time of an image, or slice.
    """

    summary: dict[str, dict[str, Interval]]
    shown: list[Shown] = field(default_factory=list)
    rows: list[dict] = field(default_factory=list)
    seconds_per_image: float = float("nan")


def measure(
    bundle: Bundle,
    found: CrossModal,
    *,
    overlap: float = 0.5,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Measured:
    """Translate all images of the source and compare them with the target's where pairs exist.

    True values beyond the range that was learnt are cut off at its ends, since no generator can
    give them: of a CT window, air is the window's lower end.

    Args:
        bundle: of the direction; its metadata name source and target.
        found: items of both modalities.
        overlap: of a sliding window.
        seed: of the bootstrap.
        progress: called with the number of images done and of all.

    Returns:
        The measures; of unpaired data the pictures alone.

    Raises:
        DataError: if there is nothing to translate, or an image is not what the bundle takes.
    """
    source, target = bundle.metadata["source"], bundle.metadata["target"]
    low, high = bundle.decoder.low, bundle.decoder.high
    ordered = CrossModal(
        modalities=(source, target),
        items={name: found.items[name] for name in (source, target)},
    )
    matching = pairs(ordered)
    listed = matching or [(item, None) for item in ordered.items[source]]
    if not listed:
        raise DataError(f"there is no image of {source} to translate")
    cases, shown, seconds = [], [], []
    at = set(np.linspace(0, len(listed) - 1, min(_SHOWN, len(listed))).round().astype(int))
    translate = WholeVolume(bundle, overlap=overlap)
    for i, (image, translated, truth, patient, took) in enumerate(_translated(listed, translate)):
        seconds.append(took)
        if truth is not None:
            cases.append((np.clip(truth, low, high), translated, patient))
        if i in at:
            shown.append(Shown(*map(_plane, (image, translated, truth))))
        if progress:
            progress(i + 1, len(listed))
    summary, rows = {}, []
    if cases:
        name = f"{source} to {target}"
        report = translation_report(cases, data_range=high - low, seed=seed)
        summary = {name: report}
    return Measured(summary, shown, rows, float(np.median(seconds)))


def _translated(listed: list[tuple[Item, Item | None]], translate: WholeVolume) -> Iterator:
    """Give source, translation, truth, patient and seconds of each pair; read volumes once."""
    known, image, result, truth, truth_of = None, None, None, None, None
    for item, other in listed:
        if item.sample.id != known:
            known, image = item.sample.id, item.sample.read().image
            check_modality(item.sample, translate.bundle.preprocessor.name)
            started = time.perf_counter()
            result = translate(image)
            units = len(image) if image.ndim - 1 > translate.bundle.rank else 1
            took = (time.perf_counter() - started) / units
        if other is not None and other.sample.id != truth_of:
            truth_of, truth = other.sample.id, other.sample.read().image
            truth = np.asarray(truth, np.float32)
        if other is None:
            truth = None
        if item.slice is None:
            yield image, result, truth, item.patient, took
        else:
            one = None if truth is None else truth[other.slice]
            yield image[item.slice], result[item.slice], one, item.patient, took


def _plane(image: np.ndarray | None) -> np.ndarray | None:
    """Give a picture, or the middle slice of a volume."""
    if image is None or image.ndim == 3:
        return image
    return image[len(image) // 2]
