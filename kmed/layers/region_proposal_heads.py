"""Heads of a region proposal network: one small network that runs over every level."""

from __future__ import annotations

from collections.abc import Sequence

import keras


def region_proposal_heads(maps: Sequence[keras.KerasTensor], anchors: int):
    """Score and move the anchors of every level by the same three convolutions.

    Layers: `rpn_conv` (3x3, ReLU), `rpn_objectness` and `rpn_offsets` (1x1), all initialised with
    a deviation of 0.01.

    Reference: Ren et al. 2015, section 3.1; Lin et al. 2017, section 4.1.

    Args:
        maps: levels `(B, H, W, C)` of one number of channels, from fine to coarse.
        anchors: at each pixel.

    Returns:
        Objectness `(B, A)` float32 logits, and offsets `(B, A, 4)` float32; A in the order of
        level, row, column, anchor.

    Example:
        >>> maps = [keras.Input((4, 4, 8)), keras.Input((2, 2, 8))]
        >>> [tuple(x.shape) for x in region_proposal_heads(maps, 3)]
        [(None, 60), (None, 60, 4)]
    """
    channels = maps[0].shape[-1]
    hidden = _convolution(channels, 3, "rpn_conv", padding="same", activation="relu")
    objectness = _convolution(anchors, 1, "rpn_objectness", dtype="float32")
    offsets = _convolution(4 * anchors, 1, "rpn_offsets", dtype="float32")
    hiddens = [hidden(x) for x in maps]
    objectness = _joined([objectness(x) for x in hiddens], (-1,), "rpn_objectness")
    return objectness, _joined([offsets(x) for x in hiddens], (-1, 4), "rpn_offsets")


def _convolution(filters, size, name, **options):
    initializer = keras.initializers.RandomNormal(stddev=0.01)
    return keras.layers.Conv2D(filters, size, kernel_initializer=initializer, name=name, **options)


def _joined(levels, shape, name):
    """Flatten pixels and anchors of each level, and put the levels one after another."""
    flatten = keras.layers.Reshape(shape, dtype="float32", name=f"{name}_flat")
    levels = [flatten(x) for x in levels]
    if len(levels) == 1:
        return levels[0]
    return keras.layers.Concatenate(axis=1, dtype="float32", name=f"{name}_all")(levels)
