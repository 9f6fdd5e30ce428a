"""Distances between all vectors of one list and all of another."""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import ops

METRICS = ("L2", "squared-L2", "angular")
_SHORTEST = 1e-6  # TensorFlow Addons' too; what is shorter has no direction


def at_least_float32(x):
    """Give a tensor in float32, or in float64 if that is what it has.

    Args:
        x: tensor or array, any shape and type.

    Returns:
        The same values.

    Example:
        >>> at_least_float32(ops.array([65504.0], dtype="float16") * 1.0).numpy().tolist()
        [65504.0]
    """
    x = ops.convert_to_tensor(x)
    precise = keras.backend.standardize_dtype(x.dtype) == "float64"
    return x if precise else ops.cast(x, "float32")


def unit_vectors(x):
    """Divide each vector by its length.

    Args:
        x: `(N, D)`.

    Returns:
        `(N, D)` of length 1; zeros, with a gradient of 0, for vectors shorter than 0.000001.

    Example:
        >>> unit_vectors([[3.0, 4.0], [0.0, 0.0]]).numpy().round(4).tolist()
        [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    x = at_least_float32(x)
    squares = ops.sum(ops.square(x), axis=-1, keepdims=True)
    found = squares > _SHORTEST**2
    # Selected before the root, so that no gradient is multiplied by an infinite one.
    return ops.where(found, x, 0.0) * ops.rsqrt(ops.where(found, squares, 1.0))


def pairwise_distances(a, b=None, metric: str | Callable = "L2"):
    """Compare every vector of one list with every vector of another.

    Where two vectors are equal to the last digit of float32, the distance is exactly 0 and so is
    its gradient, which for "L2" does not exist there.

    Squares are expanded, as in TensorFlow Addons, so that no `(A, B, D)` tensor is needed: "L2"
    of unit vectors that are closer than about 0.001 is rounding. A GPU that multiplies in
    TensorFloat-32 rounds sooner, at about 0.05.

    Reference: TensorFlow Addons 0.23, `losses.metric_learning`.

    Args:
        a: `(A, D)`; half precision is computed in float32.
        b: `(B, D)`; without it, or if it is the very tensor `a`, the distances of `a` to itself,
            whose diagonal is 0.
        metric: "L2", its square "squared-L2", or "angular", which is 1 - cosine. Or a function of
            one `(N, D)` tensor that gives `(N, N)`, as in TensorFlow Addons.

    Returns:
        `(A, B)`, not negative, float32 unless the vectors are float64.

    Raises:
        ValueError: for an unknown metric, or vectors of different length.

    Example:
        >>> a, b = [[1.0, 0.0], [0.0, 0.0]], [[1.0, 0.0], [4.0, 4.0]]
        >>> pairwise_distances(a, b).numpy().round(4).tolist()
        [[0.0, 5.0], [1.0, 5.656899929046631]]
    """
    check_metric(metric)
    itself = b is None or b is a
    a = at_least_float32(a)
    b = a if itself else ops.cast(b, a.dtype)
    if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(
            "`a` and `b` must have the shapes (A, D) and (B, D); "
            f"received {tuple(a.shape)} and {tuple(b.shape)}"
        )
    if callable(metric):
        if itself:
            return at_least_float32(metric(a))
        count = ops.shape(a)[0]
        return at_least_float32(metric(ops.concatenate([a, b])))[:count, count:]
    if metric == "angular":
        cosine = ops.matmul(unit_vectors(a), ops.transpose(unit_vectors(b)))
        return ops.maximum(1 - cosine, 0.0)
    squares = _squared(a, b)
    if itself:
        squares = ops.where(ops.eye(ops.shape(a)[0], dtype="bool"), 0.0, squares)
    if metric == "squared-L2":
        return squares
    # Selected before the root, so that no gradient is multiplied by an infinite one.
    apart = squares > 0
    return ops.where(apart, ops.sqrt(ops.where(apart, squares, 1.0)), 0.0)


def check_metric(metric: str | Callable) -> None:
    """Refuse what `pairwise_distances` does not know.

    Args:
        metric: a name or a function.

    Raises:
        ValueError: if it is neither of `METRICS` nor callable.
    """
    if not callable(metric) and metric not in METRICS:
        raise ValueError(
            f"`distance_metric` must be one of {METRICS} or a function; received {metric!r}"
        )


def _squared(a, b):
    lengths = ops.sum(ops.square(a), axis=1, keepdims=True)  # (A, 1)
    others = ops.sum(ops.square(b), axis=1)[None, :]
    return ops.maximum(lengths + others - 2.0 * ops.matmul(a, ops.transpose(b)), 0.0)
