"""Overlap and volume of masks: Dice, IoU, volume difference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_CHUNK = 1 << 20  # voxels counted at once


def dice_score(
    truth: np.ndarray, prediction: np.ndarray, classes: int | None = None
) -> float | np.ndarray:
    """Returns the Dice coefficient 2 |A and B| / (|A| + |B|).

    Two empty masks agree: 1. If one is empty, 0.

    Reference:
        Dice: Measures of the amount of ecologic association, Ecology 26 (1945).

    Args:
        truth: mask of any shape, boolean or 0 and 1; with `classes`, class indices.
        prediction: the same.
        classes: None for masks, or the number of classes K of two label maps.

    Returns:
        A float; with `classes` an array `(K,)`, the background first.

    Raises:
        ValueError: if the shapes differ, or a value is neither 0 nor 1 (or no class).

    Example:
        >>> dice_score(np.array([1, 1, 0]), np.array([1, 0, 0]))
        0.6666666666666666
        >>> dice_score(np.array([0, 1, 2]), np.array([0, 2, 2]), classes=3).round(3).tolist()
        [1.0, 0.0, 0.667]
    """
    both, true, found = _sizes(truth, prediction, classes)
    return _ratio(2 * both, true + found, classes)


def iou_score(
    truth: np.ndarray, prediction: np.ndarray, classes: int | None = None
) -> float | np.ndarray:
    """Returns the intersection over union |A and B| / |A or B|, Jaccard's index.

    Two empty masks agree: 1. If one is empty, 0.

    Args:
        truth: mask of any shape, boolean or 0 and 1; with `classes`, class indices.
        prediction: the same.
        classes: None for masks, or the number of classes K of two label maps.

    Returns:
        A float; with `classes` an array `(K,)`, the background first.

    Raises:
        ValueError: if the shapes differ, or a value is neither 0 nor 1 (or no class).

    Example:
        >>> iou_score(np.array([1, 1, 0]), np.array([1, 0, 0]))
        0.5
    """
    both, true, found = _sizes(truth, prediction, classes)
    return _ratio(both, true + found - both, classes)


def volume_ml(mask: np.ndarray, spacing_mm: Sequence[float]) -> float:
    """Returns the volume of a mask in millilitres.

    Args:
        mask: `(D, H, W)`, boolean or 0 and 1.
        spacing_mm: voxel size along D, H, W in millimetres.

    Raises:
        ValueError: if the mask is not three-dimensional: an area has no volume.
    """
    mask = as_mask(mask)
    if mask.ndim != 3:
        raise ValueError(f"a volume needs a mask (D, H, W); received shape {mask.shape}")
    return float(mask.sum() * np.prod(check_spacing(spacing_mm, 3)) / 1000)


def volume_difference_ml(
    truth: np.ndarray, prediction: np.ndarray, spacing_mm: Sequence[float]
) -> float:
    """Returns the volume of the prediction minus that of the truth, in millilitres.

    Args:
        truth: `(D, H, W)` mask, boolean or 0 and 1.
        prediction: the same.
        spacing_mm: voxel size along D, H, W in millimetres.

    Returns:
        Positive where too much was segmented; 0 for two empty masks.

    Raises:
        ValueError: if the shapes differ or are not three-dimensional.
    """
    truth, prediction = as_masks(truth, prediction)
    return volume_ml(prediction, spacing_mm) - volume_ml(truth, spacing_mm)


def relative_volume_difference(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Returns (prediction - truth) / truth in voxels, of areas as well as of volumes.

    Two empty masks give 0; an empty truth with a prediction gives infinity.

    Args:
        truth: mask, boolean or 0 and 1.
        prediction: the same.

    Raises:
        ValueError: if the shapes differ.

    Example:
        >>> relative_volume_difference(np.array([1, 1, 0]), np.array([1, 1, 1]))
        0.5
    """
    truth, prediction = as_masks(truth, prediction)
    true, found = int(truth.sum()), int(prediction.sum())
    if true == 0:
        return 0.0 if found == 0 else float("inf")
    return (found - true) / true


def as_mask(mask: np.ndarray) -> np.ndarray:
    """Returns a boolean mask; refuses values that are neither 0 nor 1."""
    mask = np.asarray(mask)
    if mask.dtype == bool:
        return mask
    boolean = mask.astype(bool)
    if not np.array_equal(boolean, mask):
        raise ValueError(
            "a mask must be boolean or hold only 0 and 1 (of a label map pass `labels == k`); "
            f"received values from {mask.min()} to {mask.max()}"
        )
    return boolean


def as_masks(truth: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns two boolean masks of one shape."""
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    _check_shapes(truth, prediction)
    return as_mask(truth), as_mask(prediction)


def check_spacing(spacing_mm: Sequence[float], rank: int) -> np.ndarray:
    """Returns the spacing `(rank,)` as floats above 0, or refuses it."""
    spacing = np.asarray(spacing_mm, dtype="float64")
    if spacing.shape != (rank,) or not (np.isfinite(spacing) & (spacing > 0)).all():
        raise ValueError(
            f"`spacing_mm` must be {rank} finite numbers above 0, one per axis of the mask; "
            f"received {spacing_mm}"
        )
    return spacing


def _check_shapes(truth, prediction):
    if truth.shape != prediction.shape:
        raise ValueError(
            "truth and prediction must have one shape; "
            f"received truth {truth.shape}, prediction {prediction.shape}"
        )


def _sizes(truth, prediction, classes):
    """Sizes of the intersection, the truth and the prediction."""
    if classes is None:
        truth, prediction = as_masks(truth, prediction)
        return (
            np.count_nonzero(truth & prediction),
            np.count_nonzero(truth),
            np.count_nonzero(prediction),
        )
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    _check_shapes(truth, prediction)
    for name, labels in (("truth", truth), ("prediction", prediction)):
        if labels.dtype.kind not in "bui":
            raise ValueError(f"{name} must hold integer class indices; received {labels.dtype}")
        if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            raise ValueError(
                f"{name} must hold classes 0 to {classes - 1}; "
                f"received {labels.min()} to {labels.max()}"
            )
    truth, prediction = truth.ravel(), prediction.ravel()
    table = np.zeros(classes**2, "int64")
    for start in range(0, truth.size, _CHUNK):  # numpy counts in 64 bits: eight times the volume
        part = slice(start, start + _CHUNK)
        pairs = truth[part].astype("int64") * classes + prediction[part]
        table += np.bincount(pairs, minlength=classes**2)
    table = table.reshape(classes, classes)
    return np.diag(table), table.sum(axis=1), table.sum(axis=0)


def _ratio(part, whole, classes):
    if classes is None:
        return float(part / whole) if whole else 1.0
    return np.where(whole > 0, part / np.maximum(whole, 1), 1.0)
