"""SegNet and SegNet-Basic.

References:
    Badrinarayanan, Kendall and Cipolla 2017, "SegNet: A Deep Convolutional Encoder-Decoder
    Architecture for Image Segmentation"; layers and biases as in the authors' Caffe models.
    Kendall, Badrinarayanan and Cipolla 2015, "Bayesian SegNet" (`dropout`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import keras

from kmed.applications.classifier_head import check_arguments, drop
from kmed.layers.convolution import convolution
from kmed.layers.normalization import normalize
from kmed.layers.unpooling import MaxPoolingWithArgmax2D, MaxUnpooling2D
from kmed.weights import load


class _Plan(NamedTuple):
    """What the two networks differ in; one number for each block, from full size downwards."""

    encoder: tuple[int, ...]  # convolutions before each pooling
    decoder: tuple[int, ...]  # convolutions after each unpooling, the logits' not counted
    size: int  # of these convolutions' kernels
    relu: bool  # in the decoder
    logits_size: int  # of the last convolution's kernel


_SEGNET = _Plan((2, 2, 3, 3, 3), (1, 2, 3, 3, 3), size=3, relu=True, logits_size=3)
_BASIC = _Plan((1, 1, 1, 1), (1, 1, 1, 1), size=7, relu=False, logits_size=1)
_FIRST_DROPOUT = 3  # Bayesian SegNet drops in this block and below


def segnet(
    *,
    include_top: bool = True,
    weights: str | Path | None = None,
    input_shape: tuple[int | None, ...] = (360, 480, 3),
    classes: int = 11,
    filters: Sequence[int] = (64, 128, 256, 512, 512),
    normalization: str | None = "batch",
    dropout: float = 0.0,
    name: str = "segnet",
) -> keras.Model:
    """Build a SegNet, whose encoder is VGG16 with batch normalisation and without dense layers.

    Its decoder has no skip connections: it puts each value back where the encoder's pooling found
    the maximum, and convolves. Biases stand before the batch normalisations, as in the reference.

    Reference: Badrinarayanan et al. 2017, section 3 and figure 2.

    Args:
        include_top: False leaves out the last convolution and gives the decoder's pyramid, a
            dictionary of P0 (full resolution), P1 (half) ... up to the innermost pooling.
        weights: None or the path of a `.weights.h5` or `.keras` file of the same network.
        input_shape: (height, width, channels) of any size; a size may be None.
        classes: number of classes, background counted (1: one sigmoid logit).
        filters: channels of the encoder's blocks from the top to the bottom, which the decoder
            mirrors.
        normalization: "batch" (the paper's), "instance" or None after each convolution.
        dropout: rate of dropout after the poolings 3 to 5 and after the decoder's blocks 5 to 3,
            in [0, 1); Bayesian SegNet has 0.5.
        name: name of the model.

    Returns:
        A functional model of float32 logits `(B, H, W, classes)`.

    Raises:
        ValueError: if an argument is outside of what is said above.

    Example:
        >>> segnet(input_shape=(45, 60, 1), filters=(4, 4, 8, 8, 8)).output_shape
        (None, 45, 60, 11)
    """
    network = _network(
        _SEGNET, include_top, input_shape, classes, filters, normalization, dropout, name
    )
    load(network, weights)
    return network


def segnet_basic(
    *,
    include_top: bool = True,
    weights: str | Path | None = None,
    input_shape: tuple[int | None, ...] = (360, 480, 3),
    classes: int = 11,
    filters: Sequence[int] = (64, 64, 64, 64),
    normalization: str | None = "batch",
    dropout: float = 0.0,
    name: str = "segnet_basic",
) -> keras.Model:
    """Build a SegNet-Basic: four poolings, one 7x7 convolution each, no ReLU in the decoder.

    The reference starts with local response normalisation of raw pixels, which has no parameters;
    here that is the preprocessor's work.

    Reference: Badrinarayanan et al. 2017, section 3.1.

    Args:
        include_top: as in `segnet`.
        weights: as in `segnet`.
        input_shape: (height, width, channels) of any size; a size may be None.
        classes: number of classes, background counted (1: one sigmoid logit).
        filters: channels of the encoder's blocks from the top to the bottom.
        normalization: "batch" (the paper's), "instance" or None after each convolution.
        dropout: rate of dropout after the poolings 3 and 4 and after the decoder's blocks 4 and
            3, in [0, 1).
        name: name of the model.

    Returns:
        A functional model of float32 logits `(B, H, W, classes)`.

    Raises:
        ValueError: if an argument is outside of what is said above.

    Example:
        >>> segnet_basic(input_shape=(None, None, 1), filters=(4, 4, 4, 4)).output_shape
        (None, None, None, 11)
    """
    network = _network(
        _BASIC, include_top, input_shape, classes, filters, normalization, dropout, name
    )
    load(network, weights)
    return network


def _network(plan, include_top, input_shape, classes, filters, normalization, dropout, name):
    check_arguments(input_shape, classes, dropout, ranks=(2,))
    blocks = len(plan.encoder)
    if len(filters) != blocks or min(filters) < 1:
        raise ValueError(f"`filters` must be {blocks} positive numbers; received {tuple(filters)}")
    x = image = keras.Input(input_shape, name="image")
    masks, unit = [], {"size": plan.size, "normalization": normalization}
    for block, count in enumerate(plan.encoder, start=1):
        for i in range(1, count + 1):
            x = _unit(x, filters[block - 1], name=f"block{block}", number=i, **unit)
        x, mask = MaxPoolingWithArgmax2D(name=f"block{block}_pool")(x)  # (B, H/2, W/2, F)
        masks.append(mask)
        if block >= _FIRST_DROPOUT:
            x = drop(x, dropout, name=f"block{block}_dropout")
    pyramid = {f"P{blocks}": x}
    for block in range(blocks, 0, -1):
        x = MaxUnpooling2D(name=f"decoder{block}_unpool")([x, masks[block - 1]])  # (B, 2H, 2W, F)
        # Numbered downwards: each convolution mirrors the encoder's of its number.
        first, last = plan.encoder[block - 1], plan.encoder[block - 1] - plan.decoder[block - 1] + 1
        for i in range(first, last - 1, -1):
            width = filters[max(block - 2, 0) if i == last else block - 1]
            x = _unit(x, width, name=f"decoder{block}", number=i, relu=plan.relu, **unit)
        if block >= _FIRST_DROPOUT:
            x = drop(x, dropout, name=f"decoder{block}_dropout")
        pyramid[f"P{block - 1}"] = x
    if not include_top:
        return keras.Model(image, pyramid, name=name)
    # float32 under mixed precision too: a softmax of half-precision logits loses small classes.
    logits = convolution(x, classes, plan.logits_size, dtype="float32", name="logits")
    return keras.Model(image, logits, name=name)


def _unit(x, width, *, size, normalization, name, number, relu=True):
    x = convolution(x, width, size, name=f"{name}_conv{number}")
    x = normalize(x, normalization, name=f"{name}_norm{number}")
    return keras.layers.Activation("relu", name=f"{name}_relu{number}")(x) if relu else x
