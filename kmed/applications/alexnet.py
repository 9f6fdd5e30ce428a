"""AlexNet: the paper's network of two columns, without the columns, and torchvision's.

References:
    Krizhevsky, Sutskever and Hinton 2012, "ImageNet Classification with Deep Convolutional Neural
    Networks".
    Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks", whose
    single column, without local response normalisation, is torchvision's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import keras

from kmed.applications.classifier_head import check_arguments, dense_layers, logits
from kmed.layers.grouped_convolution import GroupedConv2D
from kmed.layers.local_response import LocalResponseNormalization
from kmed.layers.symmetric_padding import padded_convolution, padded_pool
from kmed.weights import load


class _Variant(NamedTuple):
    filters: tuple[int, ...]
    groups: int = 1  # of conv2, conv4 and conv5, which see one of the paper's two GPUs each
    response_normalization: bool = False
    dropout_in_front: bool = False


_PAPER_FILTERS = (96, 256, 384, 384, 256)
VARIANTS = {
    "torchvision": _Variant((64, 192, 384, 256, 256), dropout_in_front=True),
    "paper": _Variant(_PAPER_FILTERS, groups=2, response_normalization=True),
    "paper_ungrouped": _Variant(_PAPER_FILTERS, response_normalization=True),
}

TORCHVISION = {
    "conv1": "features.0",
    "conv2": "features.3",
    "conv3": "features.6",
    "conv4": "features.8",
    "conv5": "features.10",
    "fc6": "classifier.1",
    "fc7": "classifier.4",
    "logits": "classifier.6",
}


def alexnet(
    *,
    include_top: bool = True,
    weights: str | Path | None = None,
    input_shape: tuple[int | None, ...] = (224, 224, 3),
    classes: int = 1000,
    variant: str = "torchvision",
    filters: Sequence[int] | None = None,
    dense_units: Sequence[int] = (4096, 4096),
    pooled_size: int = 6,
    dropout: float = 0.5,
    name: str = "alexnet",
) -> keras.Model:
    """Build an AlexNet.

    Reference: Krizhevsky, Sutskever and Hinton 2012, section 3.5; 224 pixels and 55 after the
    first convolution need its image padded by 2, as torchvision does.

    Args:
        include_top: False leaves out the dense layers and gives the pyramid P2 (first
            convolution, stride 4), P3 (second), P4 (fifth) and P5 (last pooling, stride 32).
        weights: None, or the path of a `.weights.h5`, `.keras`, or of torchvision's `.pth` or
            `.safetensors` (for `variant="torchvision"`).
        input_shape: (height, width, channels), 63 pixels or more along every axis; a size may be
            None.
        classes: number of classes.
        variant: "torchvision" (one column), "paper" (two columns as grouped convolutions, local
            response normalisation) or "paper_ungrouped" (the paper's channels in one column).
        filters: channels of the five convolutions; by default the variant's.
        dense_units: outputs of the two dense layers before the logits.
        pooled_size: size along every axis to which the last pooling's output is averaged before
            the dense layers; 224 pixels give 6, so that nothing is averaged.
        dropout: rate of dropout at both dense layers (behind them in the paper, in front of them
            in torchvision), in [0, 1).
        name: name of the model.

    Returns:
        A functional model of float32 logits `(B, classes)`, or of the pyramid.

    Raises:
        ValueError: if an argument is outside of what is said above.

    Example:
        >>> alexnet(filters=(4, 4, 4, 4, 4), dense_units=(8, 8), classes=2).output_shape
        (None, 2)
    """
    check_arguments(input_shape, classes, dropout, smallest=63, ranks=(2,))
    if variant not in VARIANTS:
        raise ValueError(f"`variant` must be one of {tuple(VARIANTS)}; received {variant!r}")
    chosen = VARIANTS[variant]
    filters = tuple(filters or chosen.filters)
    if len(filters) != 5 or min(filters) < 1 or any(n % chosen.groups for n in filters):
        raise ValueError(
            f"`filters` must be five positive numbers, divisible by the {chosen.groups} groups of "
            f"variant {variant!r}; received {filters}"
        )
    image = keras.Input(input_shape, name="image")
    x = padded_convolution(image, filters[0], 11, stride=4, padding=2, name="conv1")
    pyramid = {"P2": _activate(x, chosen, 1)}  # (B, H/4, W/4, F)
    x = padded_pool(pyramid["P2"], 3, stride=2, name="pool1")
    pyramid["P3"] = _activate(_convolution(x, filters[1], 5, chosen.groups, "conv2"), chosen, 2)
    x = padded_pool(pyramid["P3"], 3, stride=2, name="pool2")  # (B, H/16, W/16, F)
    for i, groups in ((3, 1), (4, chosen.groups), (5, chosen.groups)):
        x = _activate(_convolution(x, filters[i - 1], 3, groups, f"conv{i}"), chosen, i)
    pyramid["P4"] = x
    x = pyramid["P5"] = padded_pool(x, 3, stride=2, name="pool5")
    outputs = pyramid
    if include_top:
        x = dense_layers(
            x,
            dense_units,
            ("fc6", "fc7"),
            pooled_size=pooled_size,
            dropout=dropout,
            dropout_in_front=chosen.dropout_in_front,
        )
        outputs = logits(x, classes)
    network = keras.Model(image, outputs, name=name)
    load(network, weights, torchvision=TORCHVISION if variant == "torchvision" else None)
    return network


def _convolution(x, filters, size, groups, name):
    if groups == 1:
        return padded_convolution(x, filters, size, name=name)
    return GroupedConv2D(
        filters, size, padding="same", groups=groups, kernel_initializer="he_normal", name=name
    )(x)


def _activate(x, chosen, i):
    x = keras.layers.Activation("relu", name=f"relu{i}")(x)
    if chosen.response_normalization and i in (1, 2):
        x = LocalResponseNormalization(name=f"lrn{i}")(x)
    return x
