"""What is explained: from a network's outputs to one score for each image."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf


class Target(NamedTuple):
    """The score to be explained, and what it was taken from.

    `class_index` and `mask` explain the same thing again.
    """

    score: tf.Tensor  # (B,)
    class_index: np.ndarray | None  # (B,), -1 where a segmenter found no foreground
    mask: np.ndarray | None  # (B, [D,] H, W), pixels of a segmenter's score
    classes: int | None  # logits of a segmenter's pixel


def target_of(
    outputs,
    rank: int,
    *,
    class_index=None,
    mask: np.ndarray | None = None,
    score: Callable | None = None,
) -> Target:
    """Take the score to be explained from a network's outputs.

    Args:
        outputs: logits `(B, K)` or `(B, [D,] H, W, K)`, a dictionary with "logits", or whatever
            `score` takes.
        rank: number of spatial axes of the image.
        class_index: class, or `(B,)` classes, or None for the predicted ones (of a segmenter the
            foreground class of the most pixels).
        mask: pixels `([B,] [D,] H, W)` that a segmenter's score adds up; by default those
            predicted as the class.
        score: from outputs to `(B,)`.

    Returns:
        The target. A network of one logit has the classes 1 (its logit) and 0 (less its logit).

    Raises:
        ValueError: if the outputs are not logits and there is no `score`, or an argument does not
            fit the outputs.
    """
    if score is not None:
        if class_index is not None or mask is not None:
            raise ValueError("`score` says what is explained: leave `class_index` and `mask` out")
        return Target(_checked_score(score(outputs), outputs), None, None, None)
    logits = _logits(outputs)
    if not tf.is_tensor(logits) or len(logits.shape) not in (2, rank + 2):
        received = tf.nest.map_structure(lambda x: tuple(x.shape), outputs)
        raise ValueError(
            f'logits must be (B, K) or (B, {"D, " * (rank == 3)}H, W, K), or "logits" of a '
            "dictionary; for a network of other outputs give `score`, a function from its outputs "
            f"to (B,). Received outputs of shape {received}"
        )
    logits = tf.cast(logits, tf.float32)
    if len(logits.shape) == 2:
        if mask is not None:
            raise ValueError("`mask` is for segmenters; received a classifier's logits (B, K)")
        values = _both_classes(logits).numpy()
        chosen = _classes(class_index, values.argmax(axis=-1), values.shape[-1])
        return Target(_checked_score(_class_score(logits, chosen), logits), chosen, None, None)
    return _of_segmenter(logits, class_index, mask)


def same_score(outputs, target: Target, score: Callable | None = None):
    """Take the score of a target from the outputs of another pass, also while it is traced.

    Args:
        outputs: of the same network for the same images.
        target: what `target_of` gave.
        score: as it was given to `target_of`.

    Returns:
        The score `(B,)`.
    """
    if score is not None:
        return score(outputs)
    logits = tf.cast(_logits(outputs), tf.float32)
    if target.mask is None:
        return _class_score(logits, target.class_index)
    return _mask_score(logits, target.class_index, target.mask)


def _logits(outputs):
    if isinstance(outputs, (list, tuple)) and len(outputs) == 1:
        (outputs,) = outputs
    return outputs["logits"] if isinstance(outputs, dict) and "logits" in outputs else outputs


def _class_score(logits, chosen):
    return tf.gather(_both_classes(logits), chosen, axis=1, batch_dims=1)


def _mask_score(logits, chosen, mask):
    both = _both_classes(logits)
    per_image = chosen.reshape(-1, *[1] * (mask.ndim - 1))
    # Class -1, where no foreground was found, is no class at all: a sum over nothing.
    weight = mask[..., None] & (np.arange(both.shape[-1]) == per_image[..., None])
    return tf.reduce_sum(both * tf.constant(weight, tf.float32), axis=range(1, len(both.shape)))


def _of_segmenter(logits, class_index, mask):
    both = _both_classes(logits)
    predicted, count = both.numpy().argmax(axis=-1), both.shape[-1]  # (B, [D,] H, W)
    if mask is not None:
        mask = np.asarray(mask) != 0
        if mask.shape == predicted.shape[1:]:
            mask = np.broadcast_to(mask, predicted.shape)
        if mask.shape != predicted.shape:
            raise ValueError(
                f"`mask` must have the output's shape {predicted.shape[1:]} or "
                f"{predicted.shape}; received {mask.shape}"
            )
    largest = np.full(len(predicted), -1)
    for i, labels in enumerate(predicted):
        labels = labels if mask is None else labels[mask[i]]
        pixels = np.bincount(labels.ravel(), minlength=count)[1:]
        if pixels.any():
            largest[i] = 1 + pixels.argmax()
    chosen = _classes(class_index, largest, count)
    per_image = chosen.reshape(-1, *[1] * (predicted.ndim - 1))
    if mask is None:
        mask = predicted == per_image
    scores = _mask_score(logits, chosen, mask)
    return Target(_checked_score(scores, logits), chosen, mask, logits.shape[-1])


def _both_classes(logits):
    """A network of one logit has two classes."""
    return tf.concat([-logits, logits], axis=-1) if logits.shape[-1] == 1 else logits


def _classes(class_index, predicted, count):
    if class_index is None:
        return predicted
    chosen = np.asarray(class_index)
    fits = chosen.dtype.kind in "iu" and chosen.shape in ((), predicted.shape)
    if not fits or chosen.min() < 0 or chosen.max() >= count:
        raise ValueError(
            f"`class_index` must be 0 to {count - 1}, one for all images or one for each of "
            f"{len(predicted)}; received {class_index!r}"
        )
    return np.broadcast_to(chosen, predicted.shape).astype("int64")


def _checked_score(score, outputs):
    first = tf.nest.flatten(outputs)[0]
    if not tf.is_tensor(score) or score.shape != first.shape[:1]:
        received = tuple(score.shape) if tf.is_tensor(score) else type(score).__name__
        raise ValueError(
            f"`score` must give one number for each of {first.shape[0]} images; received {received}"
        )
    if not np.isfinite(score.numpy()).all():
        raise ValueError(
            f"the score to be explained is not finite: received {score.numpy().tolist()}; check "
            "the image and the network's weights"
        )
    return tf.cast(score, tf.float32)
