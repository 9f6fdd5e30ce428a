"""What SSDs on all backbones share: their convolutions, coarser levels and heads."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from kmed.layers.convolution import convolution
from kmed.layers.normalization import normalize
from kmed.layers.symmetric_padding import padded_convolution
from kmed.ops.default_boxes import boxes_per_cell, default_ratios


def activated_convolution(
    x, filters: int, size: int, names: str, normalization: str | None, **options
):
    """Convolve, normalise and cut off below 0.

    Args:
        x: tensor `(B, H, W, C)`.
        filters: number of output channels.
        size: kernel size along both axes.
        names: of the layers, with `{}` for what each is, "conv", "norm" or "relu".
        normalization: "batch", "instance" or None.
        **options: of `kmed.layers.symmetric_padding.padded_convolution`.

    Returns:
        A tensor of `filters` channels.
    """
    options = {"use_bias": normalization is None} | options
    x = padded_convolution(x, filters, size, name=names.format("conv"), **options)
    x = normalize(x, normalization, name=names.format("norm"))
    return keras.layers.Activation("relu", name=names.format("relu"))(x)


def coarser_level(
    x,
    filters: int,
    number: int,
    normalization: str | None,
    *,
    size: int = 3,
    stride: int = 2,
    padding: int = 1,
):
    """Make the next level: a 1x1 convolution of half the channels, then one that shrinks.

    Reference: Liu et al. 2016, figure 2 (conv8_2 to conv11_2).

    Args:
        x: tensor `(B, H, W, C)`.
        filters: number of output channels.
        number: of the level behind the backbone, from 0: its layers are "extra0_conv1" ...
        normalization: "batch", "instance" or None.
        size: kernel size of the second convolution.
        stride: of it.
        padding: zeros at each end of both axes.

    Returns:
        A tensor `(B, (H + 2 padding - size) // stride + 1, ..., filters)`.
    """
    x = activated_convolution(x, max(filters // 2, 1), 1, f"extra{number}_{{}}1", normalization)
    if size % 2 == 0:  # an even kernel has no "same" that pads both ends alike
        x = keras.layers.ZeroPadding2D(padding, name=f"extra{number}_pad2")(x)
        padding = 0
    options = {"stride": stride, "padding": padding}
    return activated_convolution(x, filters, size, f"extra{number}_{{}}2", normalization, **options)


def detection_heads(
    features: Sequence,
    classes: int,
    aspect_ratios: Sequence[Sequence[float]] | None = None,
):
    """Give the offsets and logits of all levels' default boxes.

    Args:
        features: tensors `(B, H, W, C)` of known sizes, from fine to coarse.
        classes: number of classes of objects, background not counted.
        aspect_ratios: of each level; by default `kmed.ops.default_boxes.default_ratios`.

    Returns:
        `(B, N, 4 + classes + 1)` float32, by level, row, column and shape; background first.

    Raises:
        ValueError: if the aspect ratios are of another number of levels.
    """
    ratios = default_ratios(len(features)) if aspect_ratios is None else aspect_ratios
    if len(ratios) != len(features):
        raise ValueError(
            f"`aspect_ratios` must be those of {len(features)} levels, extra ones too; "
            f"received {len(ratios)}"
        )
    outputs = []
    for i, (x, level) in enumerate(zip(features, ratios, strict=True)):
        parts = []
        for kind, columns in (("boxes", 4), ("classes", classes + 1)):
            # float32 under mixed precision too: a softmax of half-precision logits loses classes.
            filters = boxes_per_cell(level) * columns
            options = {"kernel_initializer": "glorot_uniform", "dtype": "float32"}
            part = convolution(x, filters, 3, name=f"head{i}_{kind}", **options)
            # (B, H, W, A * columns) to (B, H * W * A, columns)
            parts.append(keras.layers.Reshape((-1, columns), name=f"head{i}_{kind}_rows")(part))
        outputs.append(keras.layers.Concatenate(name=f"head{i}", dtype="float32")(parts))
    if len(outputs) == 1:
        return outputs[0]
    return keras.layers.Concatenate(axis=1, name="predictions", dtype="float32")(outputs)
