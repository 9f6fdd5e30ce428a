"""Normalisation by name: a builder's option is one word, and one place says what it means."""

from __future__ import annotations

import keras

NORMALIZATIONS = ("batch", "instance", None)


def normalize(x, kind: str | None, *, name: str, epsilon: float = 1e-5):
    """Normalise a tensor's channels.

    Reference: Ioffe and Szegedy 2015 (batch); Ulyanov, Vedaldi and Lempitsky 2016 (instance).

    Args:
        x: tensor `(B, ..., C)`.
        kind: "batch" (momentum 0.9, as in torch, so that short trainings have usable moving
            statistics), "instance" (with scale and shift) or None (nothing is done).
        name: the layer's name, part of the checkpoint's contract.
        epsilon: added to the variance; torch's 1e-5 by default.

    Returns:
        A tensor of the shape of `x`.

    Raises:
        ValueError: if `kind` is not one of the three.
    """
    if kind is None:
        return x
    if kind == "batch":
        layer = keras.layers.BatchNormalization(momentum=0.9, epsilon=epsilon, name=name)
    elif kind == "instance":
        layer = keras.layers.GroupNormalization(groups=-1, epsilon=epsilon, name=name)
    else:
        raise ValueError(f"`normalization` must be one of {NORMALIZATIONS}; received {kind!r}")
    return layer(x)
