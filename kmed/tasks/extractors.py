"""In which features generated images are compared with real ones: named, and the same for both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from kmed.export import Bundle
from kmed.layers import ResizeTo
from kmed.layers.intensity import IntensityInverse
from kmed.metrics.features import extractor, features, inception, random_extractor

_BATCH = 64


@dataclass(frozen=True)
class FeatureSpace:
    """A feature extractor with its name.

    Attributes:
        name: what the report says of it.
        model: from images `(B, [D,] H, W, C)` in [-1, 1] to `(B, F)`.
        classifier: from the same images to the index of their class, or None.
        labels: names of these classes.
    """

    name: str
    model: keras.Model
    classifier: keras.Model | None = None
    labels: tuple[str, ...] = ()

    def of(self, images: np.ndarray) -> np.ndarray:
        """Give the features of images `(N, [D,] H, W, C)` in [-1, 1], float32 `(N, F)`."""
        return features(self.model, images, batch_size=_BATCH)

    def classify(self, images: np.ndarray) -> np.ndarray:
        """Give the classes `(N,)` that the classifier finds."""
        found = [
            np.asarray(self.classifier(images[first : first + _BATCH], training=False))
            for first in range(0, len(images), _BATCH)
        ]
        return np.concatenate(found)


def feature_space(which: str, shape: tuple[int, ...], limits: tuple[float, float]) -> FeatureSpace:
    """Build what `which` names.

    Args:
        which: "random"; the folder of a classifier's bundle; or a file of Inception V3's weights.
        shape: of an image, `([D,] H, W, C)`.
        limits: raw values of -1 and 1, for a bundle, which takes raw values.

    Returns:
        The extractor.

    Raises:
        FileNotFoundError: if there is nothing of this name.
        ValueError: if the bundle is no classifier of such images.
    """
    if which == "random":
        return FeatureSpace("fixed random convolutions, seed 0", random_extractor(shape, seed=0))
    path = Path(which)
    if path.is_file():
        return FeatureSpace("Inception V3, ImageNet", inception(path))
    bundle = Bundle.load(path)
    if bundle.metadata.get("task") != "classification":
        raise ValueError(f"`extractor` must be a classifier's bundle; {path} is none")
    if bundle.rank != len(shape) - 1 or bundle.channels != shape[-1]:
        raise ValueError(
            f"`extractor` {path} takes images of {bundle.rank} axes and {bundle.channels} "
            f"channels; these are {shape}"
        )
    image = keras.Input(shape, name="generated")
    raw = IntensityInverse(*limits, name="raw_values")(image)
    fitted = ResizeTo(bundle.size, name="extractor_fit")(bundle.preprocessor(raw))
    seen = extractor(bundle.network)(fitted)
    return FeatureSpace(
        f"the classifier {bundle.name} of {', '.join(bundle.labels)}",
        keras.Model(image, seen, name="features"),
        keras.Model(image, bundle.model(raw)["labels"], name="classes"),
        bundle.labels,
    )
