"""How near translations are to the truth, judged on pairs that the networks do not learn from."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from kmed.ops.structural_similarity import ssim

_BATCH = 8


class ValidationError(keras.callbacks.Callback):
    """Adds the mean absolute error and SSIM of the validation part's pairs to the log.

    "val_mae" is in units of the network's [-1, 1], which is 2 wide; "val_ssim" is of that range.
    Place it before whatever reads the log.

    Args:
        translate: function from images `(B, [D,] H, W, C)` of the source in [-1, 1] to the target.
        source: images of the source, `(N, [D,] H, W, C)`.
        target: what they should become.
    """

    def __init__(self, translate: Callable, source: np.ndarray, target: np.ndarray):
        super().__init__()
        self.translate, self.source, self.target = translate, source, target

    def on_epoch_end(self, epoch, logs=None):
        """Translate all pairs and compare."""
        errors, similarities = [], []
        for first in range(0, len(self.source), _BATCH):
            part = slice(first, first + _BATCH)
            found = np.asarray(self.translate(self.source[part]))
            errors.append(np.abs(found - self.target[part]).mean(axis=tuple(range(1, found.ndim))))
            similarities.append(np.asarray(ssim(found, self.target[part], data_range=2.0)))
        logs["val_mae"] = float(np.concatenate(errors).mean())
        logs["val_ssim"] = float(np.concatenate(similarities).mean())
