"""VGG with 11, 13, 16 and 19 layers, 2D and 3D.

Reference: Simonyan and Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale Image
Recognition", table 1 (A, B, D, E). Batch normalisation (Ioffe and Szegedy 2015) is not in the
paper; with it the network is torchvision's `vgg16_bn`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras

from kmed.applications.classifier_head import check_arguments, dense_layers, logits
from kmed.applications.variants import variant
from kmed.layers.convolution import convolution, pool
from kmed.layers.normalization import normalize
from kmed.weights import load

CONVOLUTIONS = {  # in each of the five blocks
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}


def vgg(
    *,
    layers: int = 16,
    include_top: bool = True,
    weights: str | Path | None = None,
    input_shape: tuple[int | None, ...] = (224, 224, 3),
    classes: int = 1000,
    filters: Sequence[int] = (64, 128, 256, 512, 512),
    dense_units: Sequence[int] = (4096, 4096),
    pooled_size: int | None = None,
    normalization: str | None = None,
    dropout: float = 0.5,
    name: str = "vgg",
) -> keras.Model:
    """Build a VGG.

    Reference: Simonyan and Zisserman 2015, table 1.

    Args:
        layers: 11 (the paper's A), 13 (B), 16 (D) or 19 (E).
        include_top: False leaves out the dense layers and gives the pyramid P1 ... P5, the pooled
            output of each block: stride `2**n` and size `floor(size / 2**n)`.
        weights: None, "imagenet" (keras.applications' own, for 16 and 19 layers without
            normalisation), or the path of a `.weights.h5`, `.keras`, or of torchvision's `.pth`
            or `.safetensors`.
        input_shape: (height, width, channels), or (depth, height, width, channels) for the 3D
            network; 32 pixels or more along every axis. A size may be None.
        classes: number of classes.
        filters: channels of the five blocks.
        dense_units: outputs of the two dense layers before the logits.
        pooled_size: size along every axis to which the last block's output is averaged before
            the dense layers; by default the paper's 7 for images (224 pixels give 7, so that
            nothing is averaged) and 2 for volumes, where 7 would make 700 million weights.
        normalization: None (the paper's), "batch" or "instance" after each convolution.
        dropout: rate of dropout behind both dense layers, in [0, 1); the paper's is 0.5.
        name: name of the model.

    Returns:
        A functional model of float32 logits `(B, classes)`, or of the pyramid.

    Raises:
        ValueError: if an argument is outside of what is said above.

    Example:
        >>> network = vgg(layers=11, include_top=False, input_shape=(70, 64, 1))
        >>> network.output["P5"].shape
        (None, 2, 2, 512)
    """
    check_arguments(input_shape, classes, dropout, smallest=32)
    if layers not in CONVOLUTIONS:
        raise ValueError(f"`layers` must be one of {tuple(CONVOLUTIONS)}; received {layers!r}")
    if len(filters) != 5 or min(filters) < 1:
        raise ValueError(f"`filters` must be five positive numbers; received {tuple(filters)}")
    x = image = keras.Input(input_shape, name="image")
    pyramid = {}
    for block, count in enumerate(CONVOLUTIONS[layers], start=1):
        for i in range(1, count + 1):
            x = convolution(x, filters[block - 1], 3, name=f"block{block}_conv{i}")
            x = normalize(x, normalization, name=f"block{block}_norm{i}")
            x = keras.layers.Activation("relu", name=f"block{block}_relu{i}")(x)
        x = pool(x, name=f"block{block}_pool")
        pyramid[f"P{block}"] = x  # (B, H / 2**block, W / 2**block, F)
    outputs = pyramid
    if include_top:
        if pooled_size is None:
            pooled_size = 7 if len(input_shape) == 3 else 2
        names = ("fc1", "fc2")
        x = dense_layers(x, dense_units, names, pooled_size=pooled_size, dropout=dropout)
        outputs = logits(x, classes)
    network = keras.Model(image, outputs, name=name)
    load(
        network,
        weights,
        torchvision=torchvision_names(layers, normalization),
        imagenet=f"vgg{layers}" if layers in (16, 19) and normalization is None else None,
    )
    return network


VARIANTS = {
    layers: variant(vgg, f"vgg{layers}", f"Build a VGG with {layers} layers.", layers=layers)
    for layers in CONVOLUTIONS
}
vgg11, vgg13, vgg16, vgg19 = VARIANTS.values()


def torchvision_names(layers: int, normalization: str | None = None) -> dict[str, str]:
    """Names of the layers in torchvision's checkpoints, which number them through.

    Args:
        layers: 11, 13, 16 or 19.
        normalization: None (`vgg16`) or "batch" (`vgg16_bn`).

    Returns:
        Torchvision's prefix of every layer that has weights.

    Example:
        >>> torchvision_names(16)["block2_conv1"], torchvision_names(16, "batch")["block2_conv1"]
        ('features.5', 'features.7')
    """
    names, index = {}, 0
    for block, count in enumerate(CONVOLUTIONS[layers], start=1):
        for i in range(1, count + 1):
            names[f"block{block}_conv{i}"] = f"features.{index}"
            index += 1
            if normalization is not None:
                names[f"block{block}_norm{i}"] = f"features.{index}"
                index += 1
            index += 1  # ReLU
        index += 1  # max pooling
    return names | {"fc1": "classifier.0", "fc2": "classifier.3", "logits": "classifier.6"}
