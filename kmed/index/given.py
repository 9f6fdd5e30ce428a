"""What an index is given, checked: ids, unit vectors and rows."""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np

from kmed.index.errors import VectorIndexError


def unit_vectors(vectors: np.ndarray, dimension: int) -> np.ndarray:
    """Give vectors of length 1, whose inner product is the cosine of the angle between them.

    Args:
        vectors: (N, D) numbers.
        dimension: D.

    Returns:
        (N, D) float32, C-contiguous.

    Raises:
        VectorIndexError: for another shape, values that are not finite, or a zero vector.

    Example:
        >>> unit_vectors([[3, 4]], 2)
        array([[0.6, 0.8]], dtype=float32)
    """
    array = np.asarray(vectors)
    if array.ndim != 2 or array.shape[1] != dimension or array.dtype.kind not in "fiu":
        raise VectorIndexError(
            f"vectors must be numbers of shape (N, {dimension}), the index's dimension; received "
            f"{array.dtype} of shape {array.shape}"
        )
    array = np.ascontiguousarray(array, np.float32)
    # In float64, where no finite float32 overflows or vanishes when it is squared.
    lengths = np.sqrt(np.einsum("nd,nd->n", array, array, dtype=np.float64))
    wrong = np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))
    if len(wrong):
        raise VectorIndexError(
            "vectors must be finite and have a direction; vector "
            f"{wrong[0]} has length {lengths[wrong[0]]:g}"
        )
    return (array / lengths[:, None]).astype(np.float32)


def checked_ids(ids: Iterable[str]) -> list[str]:
    """Give ids as a list.

    Args:
        ids: texts that are not empty and differ from one another.

    Raises:
        VectorIndexError: if they aren't so.

    Example:
        >>> checked_ids(("ct/1", "ct/2"))
        ['ct/1', 'ct/2']
    """
    names = list(ids)
    for name in names:
        if not isinstance(name, str) or not name:
            raise VectorIndexError(f"an id must be a text that is not empty; received {name!r}")
    if len(set(names)) < len(names):
        seen: set[str] = set()
        twice = next(name for name in names if name in seen or seen.add(name))
        raise VectorIndexError(f"`ids` must differ from one another; {twice!r} is there twice")
    return names


def checked_facts(facts: dict) -> dict:
    """Give facts as a file of JSON will.

    Args:
        facts: JSON values.

    Raises:
        VectorIndexError: for another value.

    Example:
        >>> checked_facts({"size": (96, 96)})
        {'size': [96, 96]}
    """
    try:
        return dict(json.loads(json.dumps(facts, allow_nan=False)))
    except (TypeError, ValueError) as error:
        raise VectorIndexError(
            f"`facts` must be a dictionary of JSON values; received {facts!r}: {error}"
        ) from None


def row_lines(ids: Iterable[str], rows: Iterable[dict]) -> list[bytes]:
    """Write ids and facts as lines of JSON.

    Args:
        ids: names of the vectors.
        rows: what is known of each: JSON values; NumPy's scalars become numbers.

    Raises:
        VectorIndexError: for a row that is no dictionary or has what JSON hasn't: NaN, a date.

    Example:
        >>> row_lines(["ct/12"], [{"slice": 12}])
        [b'["ct/12", {"slice": 12}]']
    """
    lines = []
    for name, facts in zip(ids, rows, strict=True):
        if not isinstance(facts, dict):
            raise VectorIndexError(f"a row must be a dictionary; that of {name!r} is {facts!r}")
        try:
            text = json.dumps(
                [name, facts], ensure_ascii=False, allow_nan=False, default=_plain_number
            )
            lines.append(text.encode())
        except (TypeError, ValueError) as error:
            raise VectorIndexError(
                "`rows` must hold JSON values (texts, finite numbers, true, false, null, lists, "
                f"objects); the row of {name!r} is {facts!r}: {error}"
            ) from None
    return lines


def _plain_number(value):
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is no JSON value")
