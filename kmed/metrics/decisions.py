"""From probabilities to decisions: the one rule that reports and exported models share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kmed.ops.class_targets import KINDS


def decisions(
    probabilities: np.ndarray,
    kind: str,
    thresholds: float | Sequence[float] | None = None,
) -> np.ndarray:
    """Returns the class that probabilities stand for.

    - binary: 1 where `p[1] >= threshold`, else 0.
    - multiclass: the most probable class, the first of equals.
    - multilabel: each class where `p[k] >= thresholds[k]`.
    - ordinal: the median grade, that is the number of k with `P(y > k) >= 0.5`, which has the
      smallest expected absolute error.

    Args:
        probabilities: `(N, K)` of all K classes; for two classes K = 2.
        kind: one of `KINDS`.
        thresholds: for binary a number or one per class, of which `thresholds[1]` counts; for
            multilabel a number or one per class; None means 0.5. The other kinds have none.

    Returns:
        `(N,)` int64 class indices; `(N, K)` int64 0 or 1 for multilabel.

    Raises:
        ValueError: for an unknown kind, a shape that does not fit it, or thresholds that the kind
            does not have.

    Example:
        >>> decisions([[0.7, 0.3], [0.4, 0.6]], "binary", 0.25).tolist()
        [1, 1]
        >>> decisions([[0.4, 0.3, 0.3], [0.45, 0.1, 0.45]], "ordinal").tolist()
        [1, 1]
    """
    probabilities = np.asarray(probabilities)
    check_kind(kind)
    if probabilities.ndim != 2 or (kind == "binary" and probabilities.shape[1] != 2):
        expected = "(N, 2)" if kind == "binary" else "(N, K)"
        raise ValueError(
            f"`probabilities` of a {kind} classifier must have shape {expected}; "
            f"received {probabilities.shape}"
        )
    limits = threshold_values(kind, thresholds, probabilities.shape[1])
    if kind == "multiclass":
        return np.argmax(probabilities, axis=1)
    if kind == "binary":
        return (probabilities[:, 1] >= limits[0]).astype("int64")
    if kind == "multilabel":
        return (probabilities >= limits).astype("int64")
    above = np.cumsum(probabilities[:, :0:-1], axis=1)  # (N, K - 1): P(y > K - 2), ..., P(y > 0)
    return (above >= 0.5).sum(axis=1)


def decision_confidence(
    probabilities: np.ndarray,
    kind: str,
    thresholds: float | Sequence[float] | None = None,
) -> np.ndarray:
    """Returns how sure a classifier is of each decision, for rejecting the least sure.

    Multiclass and ordinal: the probability of the class decided on. Binary: how far p lies from
    its threshold t on the way to 0 or 1, as (1 + distance) / 2, which at t = 0.5 is the
    probability of the class decided on. Multilabel: the least sure of an example's classes.

    Args:
        probabilities: `(N, K)`.
        kind: one of `KINDS`.
        thresholds: as `decisions`.

    Returns:
        `(N,)` from 0 to 1.

    Raises:
        ValueError: as `decisions`.

    Example:
        >>> decision_confidence([[0.7, 0.3], [0.4, 0.6]], "binary").round(3).tolist()
        [0.7, 0.6]
    """
    decided = decisions(probabilities, kind, thresholds)
    probabilities = np.asarray(probabilities, "float64")
    if kind in ("multiclass", "ordinal"):
        return probabilities[np.arange(len(decided)), decided]
    limits = threshold_values(kind, thresholds, probabilities.shape[1])
    if kind == "binary":
        probabilities, decided = probabilities[:, 1:], decided[:, None]
    room = np.maximum(np.where(decided == 1, 1 - limits, limits), 1e-12)
    distance = np.minimum(np.abs(probabilities - limits) / room, 1)
    return (1 + distance.min(axis=1)) / 2


def check_kind(kind: str) -> None:
    """Refuses a kind that is none of `KINDS`.

    Args:
        kind: of classification.

    Raises:
        ValueError: if there is no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f"`kind` must be one of {KINDS}; received {kind!r}")


def threshold_values(
    kind: str, thresholds: float | Sequence[float] | None, classes: int
) -> np.ndarray:
    """Gives one threshold for each probability that has one.

    Args:
        kind: one of `KINDS`.
        thresholds: as `decisions`.
        classes: number of classes K.

    Returns:
        `(1,)` for binary, `(K,)` for multilabel, `(0,)` for the other kinds.

    Raises:
        ValueError: for thresholds of a kind without any, another number of them, or values that
            are not finite.
    """
    if thresholds is None:
        return np.full({"binary": 1, "multilabel": classes}.get(kind, 0), 0.5)
    values = np.asarray(thresholds, "float64")
    if kind in ("multiclass", "ordinal"):
        raise ValueError(
            f"`thresholds` are for binary and multilabel classifiers; a {kind} one takes the "
            f"{'median grade' if kind == 'ordinal' else 'most probable class'}; "
            f"received {thresholds}"
        )
    if values.shape not in ((), (classes,)):
        raise ValueError(
            f"`thresholds` must be one number or one for each of {classes} classes; "
            f"received {thresholds}"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"`thresholds` must be finite; received {thresholds}")
    values = np.broadcast_to(values, (classes,))
    return values[1:] if kind == "binary" else values
