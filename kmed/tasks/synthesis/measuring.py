"""A generator measured on images that it has not learnt from."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from kmed.export import GeneratorBundle
from kmed.metrics import Interval
from kmed.metrics.memorisation import Memorisation, memorisation
from kmed.metrics.synthesis_report import synthesis_report
from kmed.tasks.extractors import FeatureSpace

_PICTURES = 64


@dataclass
class Measured:
    """What a test set says of a generator.

    Attributes:
        summary: `{"all": {measure: Interval}}`.
        real: some test images, `(N, [D,] H, W, C)` in [-1, 1].
        fake: some generated images, in the order of the classes.
        nearest: for some generated images the nearest training image.
        copies: what the search for copies of training images found.
        extractor: in whose features was compared.
        seconds_per_image: from random numbers to an image in raw units.
    """

    summary: dict[str, dict[str, Interval]]
    real: np.ndarray
    fake: np.ndarray
    nearest: np.ndarray
    copies: Memorisation
    extractor: str
    seconds_per_image: float = float("nan")
    labels: list[str] = field(default_factory=list)


def measure(
    bundle: GeneratorBundle,
    space: FeatureSpace,
    *,
    real: np.ndarray,
    known: np.ndarray,
    labels: np.ndarray | None,
    count: int,
    seed: int = 0,
) -> Measured:
    """Generate images and compare them with real ones that were not learnt from.

    Args:
        bundle: the generator.
        space: whose features are compared.
        real: test images `(N, [D,] H, W, C)` in [-1, 1].
        known: training images, among which copies are looked for.
        labels: classes `(N,)` of the test images, which the generated ones take turns of; None
            without classes.
        count: number of generated images.
        seed: of the random numbers and of the bootstrap.

    Returns:
        The measures.
    """
    asked = None if labels is None else np.resize(np.sort(labels), count)
    if asked is not None:
        shares = np.bincount(labels, minlength=len(bundle.labels)) / len(labels)
        asked = np.repeat(np.arange(len(shares)), np.round(shares * count).astype(int))
        count = len(asked)
    started = time.perf_counter()
    fake = normalised(bundle, bundle.answer(bundle.latents(count, seed), asked))
    seconds = (time.perf_counter() - started) / count
    found = None
    if asked is not None and space.classifier is not None:
        names = np.array(bundle.labels)[asked]
        found = np.array(space.labels)[space.classify(fake)] == names
    real_features, fake_features, known_features = map(space.of, (real, fake, known))
    copies = memorisation(fake_features, known_features, held_out=real_features)
    summary = synthesis_report(
        real_features,
        fake_features,
        memorisation=copies,
        correct=found,
        classes=None if asked is None else np.array(bundle.labels)[asked],
        seed=seed,
    )
    chosen = np.linspace(0, count - 1, min(_PICTURES, count)).round().astype(int)
    return Measured(
        summary,
        real[:_PICTURES],
        fake[chosen],
        known[copies.nearest[chosen]],
        copies,
        space.name,
        seconds,
        [] if asked is None else [bundle.labels[i] for i in asked[chosen]],
    )


def normalised(bundle: GeneratorBundle, images: np.ndarray) -> np.ndarray:
    """Bring a bundle's images from raw units back to [-1, 1]."""
    low, high = bundle.decoder.low, bundle.decoder.high
    return ((images - low) * (2 / (high - low)) - 1).astype(np.float32)
