"""Weights against rare classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kmed.data.label_kinds import require_kind
from kmed.data.sample import DataError


def balanced_class_weights(targets: Sequence, classes: int, kind: str) -> np.ndarray:
    """Gives each class a weight that is inverse to how often it occurs.

    Of N examples in K classes, class k with n_k examples weighs N / (K n_k), so that all classes
    weigh the same together and the mean weight of an example is 1. For "multilabel", label k weighs
    (N - n_k) / n_k where it is 1, so that its positives weigh as much together as its negatives,
    which weigh 1 each.

    Reference: King and Zeng, "Logistic regression in rare events data", Political Analysis 9
    (2001).

    Args:
        targets: (N,) class indices, or (N, K) 0 and 1 for "multilabel".
        classes: number of classes K.
        kind: one of `KINDS`.

    Returns:
        (K,) float32.

    Raises:
        DataError: if a class has no example, or a label is on every example.
        ValueError: if the targets do not fit `classes` and `kind`.

    Example:
        >>> balanced_class_weights([0, 1, 1, 2], 3, "multiclass").round(2)
        array([1.33, 0.67, 1.33], dtype=float32)
    """
    targets = checked_targets(targets, classes, kind)
    count = len(targets)
    if kind == "multilabel":
        positive = targets.sum(axis=0)
        bad = np.flatnonzero((positive == 0) | (positive == count))
        if len(bad):
            raise DataError(
                f"label {bad[0]} is on {positive[bad[0]]} of {count} training examples: it cannot "
                "be weighted; leave it out"
            )
        return ((count - positive) / positive).astype(np.float32)
    of_class = np.bincount(targets, minlength=classes)
    if not of_class.all():
        raise DataError(
            f"class {np.flatnonzero(of_class == 0)[0]} has no training example: it cannot be "
            "weighted; leave it out or give it examples"
        )
    return (count / (classes * of_class)).astype(np.float32)


def checked_targets(targets: Sequence, classes: int, kind: str) -> np.ndarray:
    """Checks the targets of a classifier.

    Args:
        targets: (N,) class indices, or (N, K) 0 and 1 for "multilabel".
        classes: number of classes K.
        kind: one of `KINDS`.

    Returns:
        (N,) or (N, K) int32.

    Raises:
        ValueError: saying what does not fit.

    Example:
        >>> checked_targets([(0, 1), (1, 1)], 2, "multilabel").shape
        (2, 2)
    """
    require_kind(kind)
    array = np.asarray(targets)
    shape = (len(array), classes) if kind == "multilabel" else (len(array),)
    if array.shape != shape or not array.size or array.dtype.kind not in "biu":
        raise ValueError(
            f"`targets` must be integers of shape {'(N, K)' if len(shape) > 1 else '(N,)'} for "
            f"kind={kind!r} and {classes} classes; received {array.dtype} {array.shape}"
        )
    limit = 2 if kind == "multilabel" else classes
    if array.min() < 0 or array.max() >= limit:
        raise ValueError(
            f"`targets` must be from 0 to {limit - 1}; received {array.min()} to {array.max()}"
        )
    return array.astype(np.int32)
