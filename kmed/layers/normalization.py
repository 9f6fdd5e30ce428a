"""Normalisation by name: a builder's option is one word, and one place says what it means."""

from __future__ import annotations

import keras

NORMALIZATIONS = ("batch", "instance", None)


def normalize(x, kind: str | None, *, name: str):
    """Normalise a tensor's channels.

    Reference: Ioffe and Szegedy 2015 (batch); Ulyanov, Vedaldi and Lempitsky 2016 (instance).

    Args:
        x: tensor `(B, ..., C)`.
        kind: "batch" (momentum 0.9 and epsilon 1e-5, as in torch, so that short trainings have
            usable moving statistics), "instance" (epsilon 1e-5, with
            scale and shift) or None (nothing is done).
        name: the layer's name, part of the checkpoint's contract.

    Returns:
        A tensor of the shape of `x`.

    Raises:
        ValueError: if `kind` is not one of the three.
    """
    if kind is None:
        return x
    if kind == "batch":
        layer = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)
    elif kind == "instance":
        layer = keras.layers.GroupNormalization(groups=-1, epsilon=1e-5, name=name)
    else:
        raise ValueError(f"`normalization` must be one of {NORMALIZATIONS}; received {kind!r}")
    return layer(x)
