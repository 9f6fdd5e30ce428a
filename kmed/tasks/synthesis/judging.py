"""How near generated images are to images that the generator does not learn from."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from kmed.metrics.frechet import frechet_distance_of_features
from kmed.tasks.extractors import FeatureSpace

Draw = Callable[[int, np.ndarray | None, int], np.ndarray]


class ValidationDistance(keras.callbacks.Callback):
    """Adds the Fréchet distance to the validation part to the log as "val_fid".

    Place it before whatever reads the log.

    Args:
        draw: function of count, labels (or None) and seed that gives images in [-1, 1].
        space: whose features are compared.
        real: images of the validation part, `(N, [D,] H, W, C)` in [-1, 1].
        labels: their classes `(N,)`, which the generated ones take turns of; None without classes.
        count: number of generated images.
        seed: of their random numbers, the same in every epoch.
    """

    def __init__(
        self,
        draw: Draw,
        space: FeatureSpace,
        real: np.ndarray,
        *,
        labels: np.ndarray | None,
        count: int,
        seed: int,
    ):
        super().__init__()
        self.draw, self.space, self.count, self.seed = draw, space, count, seed
        self.real = space.of(real)
        self.labels = None if labels is None else np.resize(labels, count)

    def on_epoch_end(self, epoch, logs=None):
        """Generate as many images as told and compare."""
        fake = self.draw(self.count, self.labels, self.seed)
        logs["val_fid"] = float(frechet_distance_of_features(self.real, self.space.of(fake)))
