"""Stored mask values to class indices, or a refusal that names the file."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kmed.data.sample import DataError


def class_indices(
    stored: np.ndarray,
    where: str,
    *,
    classes: int | None = None,
    mask_values: Mapping[int, int] | None = None,
    binary_255: bool = False,
) -> np.ndarray:
    """Turns the values that a mask file holds into uint8 class indices.

    Args:
        stored: integers, booleans or floats that are whole to within 1e-3, any shape.
        where: the file, for error messages.
        classes: number of classes, background included; None accepts 0 to 255.
        mask_values: stored value -> class index, instead of the values themselves.
        binary_255: read a mask that holds nothing but 0 and 255 as 0 and 1, as pictures of masks
            are stored; not if 255 is itself a class.

    Returns:
        uint8 array of the same shape.

    Raises:
        DataError: if a value is no class.

    Example:
        >>> class_indices(np.array([[0, 255]]), "lung.png", classes=2, binary_255=True)
        array([[0, 1]], dtype=uint8)
    """
    check_classes(classes, mask_values)
    if stored.dtype.kind == "b":
        stored = stored.view(np.uint8)
    if stored.dtype.kind == "f":
        whole = np.rint(stored)
        # `not <=` also catches NaN.
        if stored.size and not np.abs(stored - whole).max() <= 1e-3:
            raise DataError(
                f"{where}: a mask holds whole numbers, one per class; this one holds fractions, "
                "as interpolation makes them; resample masks with nearest neighbour"
            )
        stored = whole
    elif stored.dtype.kind not in "iu":
        raise DataError(f"{where}: a mask holds whole numbers; received {stored.dtype}")
    values = _distinct(stored)
    if mask_values is not None:
        unknown = [v for v in values if v not in mask_values]
        if unknown:
            raise DataError(
                f"{where}: holds the value {_shown(unknown)}, which `mask_values` "
                f"{dict(mask_values)} does not name"
            )
        return _mapped(stored, values, mask_values)
    if binary_255 and 255 in values and set(values) <= {0, 255} and (classes or 2) <= 255:
        if classes is not None and classes > 2:
            raise DataError(
                f"{where}: holds only 0 and 255, which fits two classes, not classes={classes}; "
                "say which class 255 is, for instance mask_values={0: 0, 255: 1}"
            )
        return (stored != 0).astype(np.uint8)
    limit = 256 if classes is None else classes
    outside = [v for v in values if not 0 <= v < limit]
    if outside:
        raise DataError(
            f"{where}: a mask holds class indices from 0 to {limit - 1}; this one holds "
            f"{_shown(outside)}; set `classes`, or map stored values with "
            "mask_values={stored: class}"
        )
    return stored.astype(np.uint8)


def check_classes(classes: int | None, mask_values: Mapping[int, int] | None = None) -> None:
    """Checks `classes` and `mask_values` before any file is opened.

    Args:
        classes: number of classes, background included, from 1 to 256, or None.
        mask_values: stored value -> class index, or None.

    Raises:
        ValueError: if either is out of range.
    """
    if classes is not None and (isinstance(classes, bool) or not 1 <= classes <= 256):
        raise ValueError(f"`classes` must be from 1 to 256, background included; got {classes!r}")
    for stored, index in (mask_values or {}).items():
        if not 0 <= index < (classes or 256):
            raise ValueError(
                f"`mask_values` must map to class indices from 0 to {(classes or 256) - 1}; "
                f"received {stored}: {index}"
            )


def _distinct(stored: np.ndarray) -> list[int]:
    # bincount is twenty times faster than unique, and most masks are uint8.
    if stored.dtype == np.uint8:
        return np.flatnonzero(np.bincount(stored.ravel(), minlength=1)).tolist()
    return [int(v) for v in np.unique(stored)]


def _mapped(stored: np.ndarray, values: list[int], mask_values: Mapping[int, int]) -> np.ndarray:
    mask = np.zeros(stored.shape, np.uint8)
    for value in values:
        mask[stored == value] = mask_values[value]
    return mask


def _shown(values: list[int]) -> str:
    return ", ".join(map(str, values[:8])) + (f" and {len(values) - 8} more" if values[8:] else "")
