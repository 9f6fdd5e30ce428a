"""Rand score and pixel error of membrane segmentations, as in the ISBI 2012 challenge."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage


def rand_score(truth_labels: np.ndarray, predicted_labels: np.ndarray) -> float:
    """Returns the foreground-restricted Rand score V^Rand, 1 for equal segmentations.

    With p_ij the share of pixels in segment i of the prediction and j of the truth, s_i and t_j
    its marginals: `2 sum(p_ij^2) / (sum(s_i^2) + sum(t_j^2))`, the harmonic mean of the split and
    the merge score. Pixels that the truth calls border (0) do not count. Pixels that only the
    prediction calls border are segments of one pixel each; grow the segments over them
    (`segments(..., grow=True)`) for the challenge's score "after thinning".

    If the truth has no segment, the score is 1.

    Reference:
        Arganda-Carreras et al.: Crowdsourcing the creation of image segmentation algorithms for
        connectomics, Frontiers in Neuroanatomy 9 (2015), equation 3 with alpha = 0.5.

    Args:
        truth_labels: integers of any shape, one number per segment, 0 on borders.
        predicted_labels: the same.

    Raises:
        ValueError: if the shapes differ or the labels are no integers of 0 and more.

    Example:
        >>> rand_score(np.array([1, 1, 2, 2]), np.array([1, 1, 1, 1]))  # merged: 2 * 8 / (16 + 8)
        0.6666666666666666
    """
    truth, found = np.asarray(truth_labels), np.asarray(predicted_labels)
    if truth.shape != found.shape:
        raise ValueError(
            "truth and prediction must have one shape; "
            f"received truth {truth.shape}, prediction {found.shape}"
        )
    for name, labels in (("truth_labels", truth), ("predicted_labels", found)):
        if labels.dtype.kind not in "ui" or (labels.size and labels.min() < 0):
            raise ValueError(
                f"`{name}` must hold segment numbers, integers of 0 and more (see `segments`); "
                f"received {labels.dtype}"
            )
    inside = truth > 0
    if not inside.any():
        return 1.0
    _, truth = np.unique(truth[inside], return_inverse=True)
    found = found[inside]
    single = found == 0
    numbers, found = np.unique(found[~single], return_inverse=True)
    pairs = found.astype("int64") * (int(truth.max()) + 1) + truth[~single]
    _, table = np.unique(pairs, return_counts=True)
    singles = int(single.sum())  # each 1 squared, in the joint table and in the prediction's

    def squares(counts):
        return float(np.sum(np.asarray(counts, "float64") ** 2))

    joint = squares(table) + singles
    of_found = squares(np.bincount(found, minlength=len(numbers))) + singles
    return 2 * joint / (of_found + squares(np.bincount(truth)))


def rand_error(truth_labels: np.ndarray, predicted_labels: np.ndarray) -> float:
    """Returns 1 minus `rand_score`, the "adapted Rand error"."""
    return 1.0 - rand_score(truth_labels, predicted_labels)


def segments(
    inside: np.ndarray, threshold: float = 0.5, *, grow: bool = False, planes: bool = False
) -> np.ndarray:
    """Returns numbered segments from the probability of being inside a cell, not on a membrane.

    Segments are face-connected, so that a membrane one pixel wide keeps them apart even where it
    runs diagonally.

    Args:
        inside: `(H, W)` or `(D, H, W)` probabilities, or a mask.
        threshold: pixels above it are inside.
        grow: gives border pixels to the nearest segment, which thins the borders to nothing.
        planes: treats the planes of a volume as separate images, as ISBI 2012 does.

    Returns:
        int32 labels of the same shape, 0 on borders, numbered through over the planes.

    Example:
        >>> segments(np.array([[0.9, 0.2, 0.8]]))
        array([[1, 0, 2]], dtype=int32)
    """
    inside = np.asarray(inside)
    if inside.ndim not in (2, 3):
        raise ValueError(f"`inside` must be (H, W) or (D, H, W); received shape {inside.shape}")
    if planes and inside.ndim == 3:
        labels, last = [], 0
        for plane in inside:
            numbers = segments(plane, threshold, grow=grow)
            labels.append(np.where(numbers > 0, numbers + last, 0))
            last += int(numbers.max())
        return np.stack(labels).astype("int32")
    labels, count = ndimage.label(inside > threshold)
    if grow and count:
        nearest = ndimage.distance_transform_edt(
            labels == 0, return_distances=False, return_indices=True
        )
        labels = labels[tuple(nearest)]
    return labels.astype("int32")


def best_rand_score(
    truth_labels: np.ndarray,
    inside: np.ndarray,
    thresholds: Sequence[float] = tuple(np.linspace(0.1, 0.9, 9).round(1)),
    *,
    grow: bool = True,
) -> tuple[float, float]:
    """Returns the largest mean Rand score over thresholds, and its threshold, as the challenge did.

    Args:
        truth_labels: `(H, W)` or `(D, H, W)` segment numbers, 0 on borders; the planes of a volume
            are separate images whose scores are averaged.
        inside: probabilities of being inside a cell, of the same shape.
        thresholds: thresholds to try.
        grow: thins the predicted borders, see `segments`.
    """
    truth_labels, inside = np.asarray(truth_labels), np.asarray(inside)
    if truth_labels.ndim == 2:
        truth_labels, inside = truth_labels[None], inside[None]
    scores = [
        np.mean(
            [
                rand_score(truth, segments(plane, threshold, grow=grow))
                for truth, plane in zip(truth_labels, inside, strict=True)
            ]
        )
        for threshold in thresholds
    ]
    best = int(np.argmax(scores))
    return float(scores[best]), float(thresholds[best])


def pixel_error(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Returns the part of the pixels that got another class than the truth.

    Args:
        truth: class indices or a mask.
        prediction: the same.

    Example:
        >>> pixel_error(np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0]))
        0.25
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if truth.shape != prediction.shape or truth.size == 0:
        raise ValueError(
            "truth and prediction must have one shape with at least one pixel; "
            f"received truth {truth.shape}, prediction {prediction.shape}"
        )
    return float(np.mean(truth != prediction))
