"""Normalisation by name: a builder's option is one word, and one place says what it means."""

from __future__ import annotations

from typing import Any

import keras

from kmed.layers.instance_normalization import InstanceNormalization

NORMALIZATIONS = ("batch", "instance", None)


def normalize(
    x,
    kind: str | None,
    *,
    name: str,
    epsilon: float = 1e-5,
    affine: bool = True,
    gamma_initializer: Any = "ones",
):
    """Normalise a tensor's channels.

    Reference: Ioffe and Szegedy 2015 (batch); Ulyanov, Vedaldi and Lempitsky 2016 (instance).

    Args:
        x: tensor `(B, ..., C)`.
        kind: "batch" (momentum 0.9, as in torch, so that short trainings have usable moving
            statistics), "instance" (with scale and shift) or None (nothing is done).
        name: the layer's name, part of the checkpoint's contract.
        epsilon: added to the variance; torch's 1e-5 by default.
        affine: False leaves out scale and shift of "instance", as torch does by default; "batch"
            has them always, there as here.
        gamma_initializer: of the scale.

    Returns:
        A tensor of the shape of `x`.

    Raises:
        ValueError: if `kind` is not one of the three.
    """
    if kind is None:
        return x
    options = {"epsilon": epsilon, "name": name}
    if kind == "batch":
        layer = keras.layers.BatchNormalization(
            momentum=0.9, gamma_initializer=gamma_initializer, **options
        )
    elif kind == "instance" and affine:
        layer = keras.layers.GroupNormalization(
            groups=-1, gamma_initializer=gamma_initializer, **options
        )
    elif kind == "instance":
        layer = InstanceNormalization(**options)
    else:
        raise ValueError(f"`normalization` must be one of {NORMALIZATIONS}; received {kind!r}")
    return layer(x)
