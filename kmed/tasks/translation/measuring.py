"""Translations measured on patients that the networks have not seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from kmed.data import DataError
from kmed.data.items import CrossModal, Item
from kmed.export import Bundle
from kmed.layers import ResizeTo
from kmed.metrics import Interval
from kmed.metrics.synthesis_report import ALL, synthesis_report
from kmed.metrics.translation_report import translation_report
from kmed.tasks.extractors import feature_space
from kmed.tasks.inputs import check_modality
from kmed.tasks.translation.data import pairs
from kmed.tasks.translation.whole_volume import WholeVolume

_SHOWN = 6
_COMPARED = 500  # images of each kind, of two sets without pairs


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
        summary: `{"t1 to t2": {measure: Interval}}`; without pairs the Fréchet and kernel distance
            of the translated images to the real ones of the target.
        shown: some translations.
        seconds_per_image: median time of an image, or slice.
    """

    summary: dict[str, dict[str, Interval]]
    shown: list[Shown] = field(default_factory=list)
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
        The measures, see `Measured`.

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
    cases, made, shown, seconds = [], [], [], []
    every = -(-len(listed) // _COMPARED)
    at = set(np.linspace(0, len(listed) - 1, min(_SHOWN, len(listed))).round().astype(int))
    translate = WholeVolume(bundle, overlap=overlap)
    for i, (image, translated, truth, patient, took) in enumerate(_translated(listed, translate)):
        seconds.append(took)
        if truth is not None:
            cases.append((np.clip(truth, low, high), translated, patient))
        elif i % every == 0:
            made.append(translated)
        if i in at:
            shown.append(Shown(*map(_plane, (image, translated, truth))))
        if progress:
            progress(i + 1, len(listed))
    name, summary = f"{source} to {target}", {}
    if cases:
        summary = {name: translation_report(cases, data_range=high - low, seed=seed)}
    elif len(made) > 1 and len(ordered.items[target]) > 1:
        summary = {name: _likeness(bundle, made, ordered.items[target], seed)}
    return Measured(summary, shown, float(np.median(seconds)))


def _likeness(bundle: Bundle, made: list, items: Sequence[Item], seed: int) -> dict[str, Interval]:
    """Compare translated and real images of the target as two sets, where there are no pairs."""
    at = np.linspace(0, len(items) - 1, min(_COMPARED, len(items))).round().astype(int)
    chosen = [items[i] for i in np.unique(at)]
    real = (image for image, *_ in _read(chosen))
    sets = [np.stack([_at_size(bundle, image) for image in images]) for images in (real, made)]
    space = feature_space("random", sets[0].shape[1:], (bundle.decoder.low, bundle.decoder.high))
    features = [space.of(images) for images in sets]
    patients = [item.patient for item in chosen]
    return synthesis_report(*features, patients=patients, seed=seed)[ALL]


def _at_size(bundle: Bundle, image: np.ndarray) -> np.ndarray:
    """Bring an image to the bundle's size and to [-1, 1]."""
    low, high = bundle.decoder.low, bundle.decoder.high
    scaled = (np.clip(image, low, high) - low) * (2 / (high - low)) - 1
    fitted = ResizeTo(bundle.size)(scaled[None].astype(np.float32))
    return np.asarray(fitted)[0]


def _read(items: Sequence[Item]) -> Iterator[tuple[np.ndarray, Item]]:
    """Give the image of each item; volumes are read once."""
    known, image = None, None
    for item in items:
        if item.sample.id != known:
            known, image = item.sample.id, np.asarray(item.sample.read().image, np.float32)
        yield (image if item.slice is None else image[item.slice]), item


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
