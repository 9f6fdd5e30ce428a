"""From validation images to a temperature and thresholds: what the test part must not choose."""

from __future__ import annotations

import keras
import numpy as np

from kmed.export import ClassificationDecoder
from kmed.metrics import choose_threshold, fit_temperature


def calibrated_decoder(
    network: keras.Model,
    batches,
    truth: np.ndarray,
    *,
    kind: str,
    rule: str = "youden",
    at: float = 0.9,
    calibrate: bool = True,
) -> ClassificationDecoder:
    """Fit a decoder's temperature and thresholds on images that the weights were not fitted to.

    Args:
        network: gives logits.
        batches: tf.data of the validation images, in the order of `truth`.
        truth: `(N,)` class indices, or `(N, K)` of 0 and 1.
        kind: what the labels mean.
        rule: how the thresholds of "binary" and "multilabel" are chosen: as
            `kmed.metrics.choose_threshold`, or "half".
        at: the sensitivity or specificity of those rules.
        calibrate: False leaves the temperature 1.

    Returns:
        The decoder. A class that the validation part does not have, or has alone, keeps the
        threshold one half.
    """
    logits = np.concatenate([np.asarray(network(x, training=False)) for x, _ in batches])
    temperature = fit_temperature(logits, truth, kind) if calibrate else 1.0
    decoder = ClassificationDecoder(kind, temperature=temperature)
    if rule == "half" or kind in ("multiclass", "ordinal"):
        return decoder
    probabilities = keras.ops.convert_to_numpy(decoder(logits)["probabilities"])
    positive = truth if kind == "multilabel" else np.stack([truth == 0, truth == 1], axis=1)
    thresholds = [0.5] * positive.shape[1]
    for k in range(positive.shape[1]):
        if 0 < positive[:, k].sum() < len(positive):
            thresholds[k] = choose_threshold(
                positive[:, k].astype(int), probabilities[:, k], rule=rule, at=at
            )
    return ClassificationDecoder(kind, temperature=temperature, thresholds=thresholds)
