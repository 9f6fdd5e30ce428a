"""Pix2Pix's generator, a U-Net, 2D and 3D.

Reference: Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks".
"""

from __future__ import annotations

import os

import keras

from kmed.layers.adversarial_convolution import (
    SLOPE,
    normal_kernel,
    normal_scale,
    strided_convolution,
)
from kmed.layers.dropout_at_test import DropoutAtTest
from kmed.layers.image_statistics import ImageStatisticsBatchNormalization
from kmed.layers.normalization import normalize
from kmed.weights.cyclegan_pix2pix import load_cyclegan_pix2pix

_LARGEST = 8  # filters grow to this multiple of the first ones
_PLAIN = 5  # levels of the authors' network that never have dropout
_PAPER_LEVELS = 8


def pix2pix_generator(
    input_shape: tuple[int | None, ...] = (256, 256, 3),
    outputs: int | None = None,
    *,
    filters: int = 64,
    levels: int | None = None,
    dropout: float = 0.5,
    dropout_at_test: bool = False,
    normalization: str | None = "batch",
    batch_statistics_at_test: bool = False,
    weights: str | os.PathLike[str] | None = None,
    name: str = "pix2pix_generator",
) -> keras.Model:
    """Build Pix2Pix's generator: halved to one pixel, doubled again, with skips at every size.

    It is the authors' network of PyTorch, layer by layer. The paper runs it with dropout on at
    test and with the statistics of the test batch, one image. Here both are options and off, so
    that an image has one answer that does not depend on chance.

    Reference: Isola et al. 2017, sections 3.2.1, 3.3 and supplement 6.1.1.

    Args:
        input_shape: (height, width, channels) or (depth, height, width, channels), multiples of
            2**levels; a size may be None if `levels` is given.
        outputs: channels of the output; by default those of the input.
        filters: channels of the first convolution; they double with every level up to eight times
            as many.
        levels: halvings, 3 or more; by default as many as `input_shape` allows up to the paper's
            8, which bring 256x256 pixels to one.
        dropout: rate, in [0, 1), of the doublings next to the innermost one: `levels - 5` of them,
            as the authors have, but at least one.
        dropout_at_test: dropout is on whenever the network runs, as in the paper. The network's
            answers are then random, also in a SavedModel; there is no TFLite file of it.
        normalization: "batch" (momentum 0.9, epsilon 1e-5), "instance" (without scale and shift)
            or None.
        batch_statistics_at_test: with "batch" each image is normalised by its own statistics at
            test, as the paper's batch of one, and not by moving averages.
        weights: None, a checkpoint of the authors' program (`latest_net_G.pth`), or the path of a
            `.weights.h5` or `.keras` file of the same network.
        name: name of the model.

    Returns:
        A functional model of float32 images `(B, [D,] H, W, outputs)` in [-1, 1].

    Raises:
        ValueError: if an argument is outside of what is said above.

    Example:
        >>> pix2pix_generator((32, 32, 1), 2, filters=4).output_shape
        (None, 32, 32, 2)
    """
    levels = _checked_levels(input_shape, levels)
    _check(outputs, filters, dropout, normalization, batch_statistics_at_test)
    inner, bias = levels - 1, normalization != "batch"
    dropped = range(inner - max(levels - _PLAIN, 1), inner)  # levels with dropout

    def normalized(x, name):
        options = {"gamma_initializer": normal_scale(), "name": name}
        if batch_statistics_at_test:
            layer = ImageStatisticsBatchNormalization(momentum=0.9, epsilon=1e-5, **options)
            return layer(x)
        return normalize(x, normalization, affine=False, **options)

    x = image = keras.Input(input_shape, name="image")
    skips = []
    for level in range(levels):
        if level:
            x = keras.layers.LeakyReLU(negative_slope=SLOPE, name=f"down{level}_relu")(x)
        x = strided_convolution(
            x, _width(filters, level), stride=2, use_bias=bias, name=f"down{level}_conv"
        )
        if 0 < level < inner:
            x = normalized(x, f"down{level}_norm")
        skips.append(x)  # (B, H / 2**(level + 1), W / 2**(level + 1), F)
    for level in reversed(range(1, levels)):
        if level < inner:
            x = keras.layers.Concatenate(name=f"up{level}_concat")([skips[level], x])
        x = keras.layers.Activation("relu", name=f"up{level}_relu")(x)
        x = _doubled(x, _width(filters, level - 1), use_bias=bias, name=f"up{level}_conv")
        x = normalized(x, f"up{level}_norm")  # (B, H / 2**level, W / 2**level, F)
        if dropout and level in dropped:
            layer = DropoutAtTest if dropout_at_test else keras.layers.Dropout
            x = layer(dropout, name=f"up{level}_dropout")(x)
    x = keras.layers.Concatenate(name="up0_concat")([skips[0], x])
    x = keras.layers.Activation("relu", name="up0_relu")(x)
    # float32 under mixed precision too: a half-precision image has steps of 1/2048.
    x = _doubled(x, outputs or input_shape[-1], dtype="float32", name="image_conv")
    x = keras.layers.Activation("tanh", dtype="float32", name="image_tanh")(x)
    network = keras.Model(image, x, name=name)
    load_cyclegan_pix2pix(network, weights, authors_names(levels))
    return network


def _width(filters, level):
    return filters * min(2**level, _LARGEST)


def _doubled(x, filters, **options):
    """Double the size as torch's transposed convolution of size 4 and padding 1."""
    layer = keras.layers.Conv3DTranspose if len(x.shape) == 5 else keras.layers.Conv2DTranspose
    options |= {"padding": "same", "kernel_initializer": normal_kernel()}
    return layer(filters, 4, strides=2, **options)(x)


def authors_names(levels: int) -> dict[str, str]:
    """Name our layers as the authors' `UnetGenerator`, whose blocks lie within each other.

    Args:
        levels: halvings.

    Returns:
        {our layer: prefix in a checkpoint}.
    """
    names, block = {"down0_conv": "model.model.0", "image_conv": "model.model.3"}, "model.model.1"
    for level in range(1, levels):
        places = {"down_conv": 1, "down_norm": 2, "up_conv": 5, "up_norm": 6}
        if level == levels - 1:
            places = {"down_conv": 1, "up_conv": 3, "up_norm": 4}
        for ours, theirs in places.items():
            names[ours.replace("_", f"{level}_")] = f"{block}.model.{theirs}"
        block += ".model.3"
    return names


def _checked_levels(input_shape, levels):
    if len(input_shape) not in (3, 4) or input_shape[-1] is None or input_shape[-1] < 1:
        raise ValueError(
            "`input_shape` must be (height, width, channels) or (depth, height, width, channels) "
            f"with a known number of channels; received {tuple(input_shape)}"
        )
    sizes = input_shape[:-1]
    if levels is None:
        if None in sizes:
            raise ValueError(f"an open size needs `levels`; received {tuple(input_shape)} without")
        levels = 0
        while levels < _PAPER_LEVELS and all(size % 2 ** (levels + 1) == 0 for size in sizes):
            levels += 1
    if levels < 3 or any(size is not None and (size % 2**levels or not size) for size in sizes):
        raise ValueError(
            "`input_shape` must be divisible by 2**levels, of 3 levels or more; received "
            f"{tuple(input_shape)} with {levels} levels"
        )
    return levels


def _check(outputs, filters, dropout, normalization, batch_statistics_at_test):
    if min(filters, 1 if outputs is None else outputs) < 1:
        raise ValueError(
            f"`filters` and `outputs` must be at least 1; received {filters} and {outputs}"
        )
    if not 0 <= dropout < 1:
        raise ValueError(f"`dropout` must be in [0, 1); received {dropout}")
    if batch_statistics_at_test and normalization != "batch":
        raise ValueError(
            '`batch_statistics_at_test` is for normalization="batch"; received '
            f"normalization={normalization!r}"
        )
