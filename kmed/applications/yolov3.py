"""YOLOv3 on Darknet-53, with spatial pyramid pooling, on any backbone, and the tiny network.

References:
    Redmon and Farhadi 2018, "YOLOv3: An Incremental Improvement".
    Darknet, `cfg/yolov3.cfg`, `cfg/yolov3-spp.cfg`, `cfg/yolov3-tiny.cfg`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kmed.applications.classifier_head import check_arguments
from kmed.applications.fcn import BACKBONES
from kmed.applications.variants import variant
from kmed.layers.normalization import normalize
from kmed.layers.symmetric_padding import padded_convolution
from kmed.weights import load
from kmed.weights.darknet import is_darknet, load_darknet

BLOCKS = (1, 2, 8, 8, 4)  # residual blocks of Darknet-53's five stages
POOLS = (13, 9, 5)  # windows of spatial pyramid pooling, in cells
HEADS = r"conv\d+_head"
_STRIDE = 32
_PROBE = 256  # pixels; what a backbone makes of them tells its strides


def yolov3(
    *,
    weights: str | Path | None = None,
    input_shape: tuple[int | None, ...] = (416, 416, 3),
    classes: int = 80,
    width: int = 32,
    backbone: str | None = None,
    backbone_options: Mapping[str, Any] | None = None,
    anchors_per_cell: int = 3,
    spatial_pooling: bool = False,
    normalization: str | None = "batch",
    objectness_prior: float = 0.5,
    name: str = "yolov3",
) -> keras.Model:
    """Build YOLOv3: 10,647 boxes at 416x416 pixels, 22,743 at 608x608.

    The convolutions are called "conv0", "conv1" ... in the order of Darknet's configuration, which
    is that of its weight files, their normalisations "conv0_norm" ..., and those that give boxes
    "conv58_head", "conv66_head" and "conv74_head". It takes RGB from 0 to 1.

    Reference: Redmon and Farhadi 2018, sections 2.3 and 2.4, table 1.

    Args:
        weights: None; the path of a `.weights.h5` or `.keras` file of the same network; one of
            Darknet's own (`yolov3.weights`, or its beginning, `darknet53.conv.74`); or, with a
            `backbone`, "imagenet" (the backbone's).
        input_shape: (height, width, channels), multiples of 32; a size may be None.
        classes: number of classes of objects.
        width: channels of the first convolution; all others are multiples of it.
        backbone: a classifier of ours in place of Darknet-53, a key of
            `kmed.applications.fcn.BACKBONES` whose levels P3, P4 and P5 have strides 8, 16, 32.
        backbone_options: further arguments of its builder, such as `width` or `filters`.
        anchors_per_cell: boxes of each cell of each of the three levels.
        spatial_pooling: pool the coarsest features over 5, 9 and 13 cells side by side, as
            `yolov3_spp`.
        normalization: "batch", "instance" or None behind every convolution but the heads'.
        objectness_prior: objectness of all boxes before training, in (0, 1); a small one, such as
            0.01, spares the first steps, which otherwise only teach that most boxes are empty.
        name: name of the model.

    Returns:
        A functional model of float32 `(B, N, 5 + classes)`: x, y, width, height, objectness and
        classes of every box before any activation, ordered by level (stride 32, 16, 8), row,
        column and anchor. `kmed.codecs.YOLOv3Codec` turns it into boxes.

    Raises:
        ValueError: if an argument is outside of what is said above.

    Example:
        >>> yolov3(input_shape=(64, 96, 1), classes=2, width=2).output_shape
        (None, 378, 7)
    """
    _check(input_shape, classes, width, anchors_per_cell, objectness_prior)
    numbers = itertools.count()
    image = keras.Input(input_shape, name="image")
    if backbone is None:
        if backbone_options:
            raise ValueError("`backbone_options` are of a `backbone`; received none")
        levels = _darknet53(image, width, numbers, normalization)
    else:
        options = dict(backbone_options or {})
        if weights == "imagenet":
            options, weights = {"weights": weights} | options, None
        levels = _trunk(image, backbone, options)
    outputs, x = [], None
    for i, features in enumerate(levels):
        filters = width * 2 ** (4 - i)
        if x is not None:
            x = _enlarged(x, filters, features, i, next(numbers), normalization)
        else:
            x = features
        x = _convolved(x, filters, 1, next(numbers), normalization)
        x = _convolved(x, 2 * filters, 3, next(numbers), normalization)
        x = _convolved(x, filters, 1, next(numbers), normalization)
        if spatial_pooling and i == 0:
            x = _pooled(x)  # (B, H/32, W/32, 4 F)
            x = _convolved(x, filters, 1, next(numbers), normalization)
        x = _convolved(x, 2 * filters, 3, next(numbers), normalization)
        x = _convolved(x, filters, 1, next(numbers), normalization)
        y = _convolved(x, 2 * filters, 3, next(numbers), normalization)
        outputs.append(_boxes(y, classes, anchors_per_cell, i, next(numbers)))
    return _finished(image, outputs, weights, classes, objectness_prior, name)


yolov3_spp = variant(
    yolov3, "yolov3_spp", "Build YOLOv3 with spatial pyramid pooling.", spatial_pooling=True
)


def yolov3_tiny(
    *,
    weights: str | Path | None = None,
    input_shape: tuple[int | None, ...] = (416, 416, 3),
    classes: int = 80,
    width: int = 16,
    anchors_per_cell: int = 3,
    normalization: str | None = "batch",
    objectness_prior: float = 0.5,
    name: str = "yolov3_tiny",
) -> keras.Model:
    """Build the tiny YOLOv3: 13 convolutions, two levels, 2,535 boxes at 416x416 pixels.

    Its layers are named as those of `yolov3`, its heads "conv9_head" and "conv12_head".

    Reference: Darknet, `cfg/yolov3-tiny.cfg`.

    Args:
        weights: None, or a path, as `yolov3` takes it.
        input_shape: (height, width, channels), multiples of 32; a size may be None.
        classes: number of classes of objects.
        width: channels of the first convolution; all others are multiples of it.
        anchors_per_cell: boxes of each cell of both levels.
        normalization: "batch", "instance" or None behind every convolution but the heads'.
        objectness_prior: see `yolov3`.
        name: name of the model.

    Returns:
        A functional model, see `yolov3`, of strides 32 and 16.

    Raises:
        ValueError: if an argument is outside of what is said above.

    Example:
        >>> yolov3_tiny(input_shape=(64, 64, 1), classes=2, width=2).output_shape
        (None, 60, 7)
    """
    _check(input_shape, classes, width, anchors_per_cell, objectness_prior)
    numbers = itertools.count()
    x = image = keras.Input(input_shape, name="image")
    for i in range(6):
        x = _convolved(x, width * 2**i, 3, next(numbers), normalization)
        if i == 4:
            fine = x  # (B, H/16, W/16, F)
        # The last one keeps the size: windows of two, the last of which has one row or column.
        pool = keras.layers.MaxPooling2D(2, 2 if i < 5 else 1, "same", name=f"pool{i}")
        x = pool(x)
    x = _convolved(x, 64 * width, 3, next(numbers), normalization)
    x = _convolved(x, 16 * width, 1, next(numbers), normalization)
    y = _convolved(x, 32 * width, 3, next(numbers), normalization)
    outputs = [_boxes(y, classes, anchors_per_cell, 0, next(numbers))]
    x = _enlarged(x, 8 * width, fine, 1, next(numbers), normalization)
    y = _convolved(x, 16 * width, 3, next(numbers), normalization)
    outputs.append(_boxes(y, classes, anchors_per_cell, 1, next(numbers)))
    return _finished(image, outputs, weights, classes, objectness_prior, name)


def _check(input_shape, classes, width, anchors_per_cell, objectness_prior):
    check_arguments(input_shape, classes, 0.0, ranks=(2,))
    if any(size is not None and size % _STRIDE for size in input_shape[:-1]):
        raise ValueError(
            f"`input_shape` must be multiples of {_STRIDE} pixels; received {tuple(input_shape)}"
        )
    if min(width, anchors_per_cell) < 1:
        raise ValueError(
            "`width` and `anchors_per_cell` must be at least 1; received "
            f"{width} and {anchors_per_cell}"
        )
    if not 0 < objectness_prior < 1:
        raise ValueError(f"`objectness_prior` must lie in (0, 1); received {objectness_prior}")


def _trunk(image, backbone, options):
    """A backbone's features of strides 32, 16 and 8."""
    if backbone not in BACKBONES:
        raise ValueError(f"`backbone` must be one of {', '.join(BACKBONES)}; received {backbone!r}")
    given = {"include_top", "input_shape", "classes", "name"} & set(options)
    if given:
        raise ValueError(f"`backbone_options` cannot set {sorted(given)}, which this network sets")
    # Of any size, so that the probe fits.
    shape = (None, None, image.shape[-1])
    trunk = BACKBONES[backbone](include_top=False, input_shape=shape, **options)
    shapes = trunk.compute_output_shape((1, _PROBE, _PROBE, shape[-1]))
    strides = {level: _PROBE // shape[1] for level, shape in shapes.items()}
    if [strides.get(level) for level in ("P5", "P4", "P3")] != [32, 16, 8]:
        raise ValueError(
            f"`backbone` must have levels P3, P4 and P5 of strides 8, 16 and 32; {backbone} has "
            f"{strides} with {options}"
        )
    # The backbone's layers themselves become part of this network, under their own names.
    pyramid = trunk.call(image)
    return [pyramid[level] for level in ("P5", "P4", "P3")]


def _darknet53(x, width, numbers, normalization):
    """Features of strides 32, 16 and 8."""
    x = _convolved(x, width, 3, next(numbers), normalization)
    levels = []
    for stage, blocks in enumerate(BLOCKS, start=1):
        filters = width * 2**stage
        x = _convolved(x, filters, 3, next(numbers), normalization, stride=2)
        for _ in range(blocks):
            y = _convolved(x, filters // 2, 1, next(numbers), normalization)
            number = next(numbers)
            y = _convolved(y, filters, 3, number, normalization)
            x = keras.layers.Add(name=f"conv{number}_add")([x, y])
        levels.append(x)  # (B, H / 2**stage, W / 2**stage, F)
    return levels[:1:-1]


def _convolved(x, filters, size, number, normalization, stride=1):
    bias = normalization is None
    name = f"conv{number}"
    x = padded_convolution(x, filters, size, stride=stride, use_bias=bias, name=name)
    x = normalize(x, normalization, name=f"{name}_norm")
    return keras.layers.LeakyReLU(negative_slope=0.1, name=f"{name}_relu")(x)


def _pooled(x):
    pools = [
        keras.layers.MaxPooling2D(size, 1, padding="same", name=f"spatial_pool{size}")(x)
        for size in POOLS
    ]
    return keras.layers.Concatenate(name="spatial_pools")([*pools, x])


def _enlarged(x, filters, fine, level, number, normalization):
    """The coarser level's features, doubled, beside the finer level's."""
    x = _convolved(x, filters, 1, number, normalization)
    x = keras.layers.UpSampling2D(2, name=f"enlarge{level}")(x)
    return keras.layers.Concatenate(name=f"join{level}")([x, fine])


def _boxes(x, classes, each, level, number):
    # float32 under mixed precision too. Nearly zero: the first boxes are the anchors themselves.
    x = keras.layers.Conv2D(
        each * (5 + classes),
        1,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        dtype="float32",
        name=f"conv{number}_head",
    )(x)
    return keras.layers.Reshape((-1, 5 + classes), dtype="float32", name=f"boxes{level}")(x)


def _finished(image, outputs: Sequence, weights, classes, prior, name):
    x = keras.layers.Concatenate(axis=1, dtype="float32", name="predictions")(outputs)
    network = keras.Model(image, x, name=name)
    if prior != 0.5:
        for layer in network.layers:
            if layer.name.endswith("_head"):
                bias = np.zeros(layer.bias.shape, "float32").reshape(-1, 5 + classes)
                bias[:, 4] = math.log(prior / (1 - prior))
                layer.bias.assign(bias.ravel())
    if weights is not None and is_darknet(weights):
        load_darknet(network, weights, heads=HEADS)
    else:
        load(network, weights, heads=HEADS)
    return network
