"""SSD: the authors' SSD300 and SSD512 on VGG16, and SSD on any backbone at any size.

References:
    Liu et al. 2016, "SSD: Single Shot MultiBox Detector".
    torchvision.models.detection.ssd300_vgg16.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras

from kmed.applications.classifier_head import check_arguments
from kmed.applications.fcn import BACKBONES
from kmed.applications.ssd_heads import activated_convolution, coarser_level, detection_heads
from kmed.applications.vgg import CONVOLUTIONS, torchvision_names, vgg16
from kmed.layers.feature_pyramid import feature_pyramid
from kmed.layers.scaled_l2_normalization import ScaledL2Normalization
from kmed.weights import load

# Options of each level behind fc7. (Torchvision's body for 512 pixels shrinks its last levels as
# the one for 300 does, which makes 24,732 default boxes; these are the authors'.)
_EXTRAS_300 = ({}, {}, {"stride": 1, "padding": 0}, {"stride": 1, "padding": 0})
_EXTRAS_512 = ({}, {}, {}, {}, {"size": 4, "stride": 1})
_SMALLEST = 268  # pixels that leave a cell to the last level
HEADS = r"head\d+_classes"


def ssd(
    *,
    weights: str | Path | None = None,
    input_shape: tuple[int, ...] = (300, 300, 3),
    classes: int = 20,
    backbone: str = "resnet18",
    backbone_options: Mapping[str, Any] | None = None,
    levels: Sequence[str] = ("P3", "P4", "P5"),
    extra_filters: Sequence[int] = (512, 256, 256),
    aspect_ratios: Sequence[Sequence[float]] | None = None,
    pyramid_channels: int | None = None,
    head_filters: int | None = None,
    normalization: str | None = "batch",
    name: str = "ssd",
) -> keras.Model:
    """Build an SSD on any backbone.

    Reference: Liu et al. 2016, section 2.1.

    Args:
        weights: None; "imagenet" (the backbone's); or the path of a `.weights.h5` or `.keras` file
            of the same network.
        input_shape: (height, width, channels).
        classes: number of classes of objects, background not counted.
        backbone: name of a classifier of ours, a key of `kmed.applications.fcn.BACKBONES`.
        backbone_options: further arguments of its builder, such as `width` or `filters`.
        levels: names of the backbone's levels that get heads, from fine to coarse.
        extra_filters: channels of further levels behind the last, each of half its size: a 1x1
            convolution of half the channels ("extra0_conv1"), and a 3x3 of stride 2
            ("extra0_conv2").
        aspect_ratios: of each level, extra ones too, as `kmed.codecs.SSDCodec` takes them; by
            default 2 and 3, and only 2 for the first level and the last two.
        pyramid_channels: channels to which a feature pyramid network ("fpn_p3_inner" ...) brings
            `levels`, so that the fine ones see the coarse ones, which the paper's do not; by
            default none.
        head_filters: channels of a 3x3 convolution ("head0_conv") in front of each level's two
            heads, which the paper does not have; by default none.
        normalization: "batch", "instance" or None, behind the convolutions of the extra levels
            and in front of the heads.
        name: name of the model.

    Returns:
        A functional model of float32 `(B, N, 4 + classes + 1)`: offsets and logits, background
        first, of every default box, ordered by level, row, column and shape. The heads' layers are
        "head0_boxes", "head0_classes", "head1_boxes" ...

    Raises:
        ValueError: if an argument is outside of what is said above.

    Example:
        >>> options = {"width": 4}
        >>> network = ssd(input_shape=(64, 64, 1), backbone_options=options, extra_filters=(8,))
        >>> network.output_shape  # 4 boxes in 8 x 8 cells, 6 in 4 x 4, 4 in 2 x 2 and in one
        (None, 372, 25)
    """
    _check(input_shape, classes, smallest=1)
    if backbone not in BACKBONES:
        raise ValueError(f"`backbone` must be one of {', '.join(BACKBONES)}; received {backbone!r}")
    options = dict(backbone_options or {})
    given = {"include_top", "input_shape", "classes", "name"} & set(options)
    if given:
        raise ValueError(f"`backbone_options` cannot set {sorted(given)}, which this network sets")
    own = None if weights == "imagenet" else weights
    options = ({"weights": "imagenet"} if weights == "imagenet" else {}) | options
    widths = {"pyramid_channels": pyramid_channels, "head_filters": head_filters}
    widths |= {f"extra_filters[{i}]": filters for i, filters in enumerate(extra_filters)}
    for argument, filters in widths.items():
        if filters is not None and filters < 1:
            raise ValueError(f"`{argument}` must be at least 1; received {filters}")
    trunk = BACKBONES[backbone](include_top=False, input_shape=tuple(input_shape), **options)
    if not levels or not set(levels) <= set(trunk.output):
        raise ValueError(
            f"`levels` must be of {', '.join(trunk.output)}, which {backbone} has; "
            f"received {tuple(levels)}"
        )
    pyramid = {level: trunk.output[level] for level in levels}
    x, extras = pyramid[levels[-1]], []
    for i, filters in enumerate(extra_filters):
        x = coarser_level(x, filters, i, normalization)  # (B, H/2, W/2, filters)
        extras.append(x)
    if pyramid_channels is not None:
        pyramid = feature_pyramid(pyramid, pyramid_channels)
    features = [*pyramid.values(), *extras]
    if head_filters is not None:
        features = [
            activated_convolution(x, head_filters, 3, f"head{i}_{{}}", normalization)
            for i, x in enumerate(features)
        ]
    outputs = detection_heads(features, classes, aspect_ratios)
    network = keras.Model(trunk.input, outputs, name=name)
    load(network, own, heads=HEADS)
    return network


def ssd300(
    *,
    weights: str | Path | None = None,
    input_shape: tuple[int, ...] = (300, 300, 3),
    classes: int = 20,
    filters: Sequence[int] = (64, 128, 256, 512, 512),
    dense_filters: int = 1024,
    extra_filters: Sequence[int] = (512, 256, 256, 256),
    normalization: str | None = None,
    name: str = "ssd300",
) -> keras.Model:
    """Build SSD300 on VGG16: 8,732 default boxes at 300x300 pixels.

    The third pooling rounds up (75 to 38 cells), the fifth is 3x3 with stride 1, the dense layers
    fc6 (dilated by 6) and fc7 are convolutions, and conv4_3 is normalised to length 20. It expects
    the channels' means subtracted from 0..255, as torchvision's checkpoints do.

    Reference: Liu et al. 2016, figure 2 and section 3.

    Args:
        weights: None; "imagenet" (of VGG16's convolutions, keras.applications' own); or the path
            of a `.weights.h5` or `.keras` file of the same network, or of torchvision's
            `ssd300_vgg16` as `.pth` or `.safetensors`.
        input_shape: (height, width, channels), 268 pixels or more along both axes.
        classes: number of classes of objects, background not counted.
        filters: channels of the five blocks.
        dense_filters: channels of fc6 and fc7.
        extra_filters: channels of each further level; half as many in front of it.
        normalization: None (the paper's), "batch" or "instance" behind every convolution but the
            heads'.
        name: name of the model.

    Returns:
        A functional model of float32 `(B, N, 4 + classes + 1)`: offsets and logits, background
        first, of every default box, ordered by level, row, column and shape. The heads' layers are
        "head0_boxes", "head0_classes", "head1_boxes" ...

    Raises:
        ValueError: if an argument is outside of what is said above.
    """
    channels = _Channels(tuple(filters), dense_filters, tuple(extra_filters))
    network = _on_vgg16(input_shape, classes, channels, _EXTRAS_300, normalization, name)
    torchvision = None if normalization else TORCHVISION
    _load_vgg16(network, weights, channels, normalization, torchvision)
    return network


def ssd512(
    *,
    weights: str | Path | None = None,
    input_shape: tuple[int, ...] = (512, 512, 3),
    classes: int = 20,
    filters: Sequence[int] = (64, 128, 256, 512, 512),
    dense_filters: int = 1024,
    extra_filters: Sequence[int] = (512, 256, 256, 256, 256),
    normalization: str | None = None,
    name: str = "ssd512",
) -> keras.Model:
    """Build SSD512 on VGG16: 24,564 default boxes at 512x512 pixels.

    Reference: Liu et al. 2016, section 3.3, footnote 5.

    Args:
        weights: as `ssd300` takes them; torchvision has no such network.
        input_shape: (height, width, channels), 268 pixels or more along both axes.
        classes: number of classes of objects, background not counted.
        filters: channels of the five blocks.
        dense_filters: channels of fc6 and fc7.
        extra_filters: channels of each further level; half as many in front of it.
        normalization: None (the paper's), "batch" or "instance".
        name: name of the model.

    Returns:
        A functional model, see `ssd300`.

    Raises:
        ValueError: if an argument is outside of what is said above.
    """
    channels = _Channels(tuple(filters), dense_filters, tuple(extra_filters))
    network = _on_vgg16(input_shape, classes, channels, _EXTRAS_512, normalization, name)
    _load_vgg16(network, weights, channels, normalization, None)
    return network


# Names of ssd300's layers in torchvision's checkpoint of ssd300_vgg16.
TORCHVISION = {
    **{
        ours: f"backbone.{theirs}"
        for ours, theirs in torchvision_names(16).items()
        if ours.startswith("block") and not ours.startswith("block5")
    },
    **{f"block5_conv{i}": f"backbone.extra.0.{2 * i - 1}" for i in (1, 2, 3)},
    "block4_scale": "backbone.scale_weight",
    "fc6_conv": "backbone.extra.0.7.1",
    "fc7_conv": "backbone.extra.0.7.3",
    **{
        f"extra{i}_conv{j}": f"backbone.extra.{i + 1}.{2 * j - 2}" for i in range(4) for j in (1, 2)
    },
    **{f"head{i}_boxes": f"head.regression_head.module_list.{i}" for i in range(6)},
    **{f"head{i}_classes": f"head.classification_head.module_list.{i}" for i in range(6)},
}


class _Channels(NamedTuple):
    """Channels of the convolutions of SSD on VGG16."""

    blocks: tuple[int, ...]
    dense: int
    extras: tuple[int, ...]


def _on_vgg16(shape, classes, channels, extras, normalization, name):
    _check(shape, classes, smallest=_SMALLEST)
    numbers = (*channels.blocks, channels.dense, *channels.extras)
    if len(numbers) != 6 + len(extras) or min(numbers) < 1:
        raise ValueError(
            f"`filters` must be five positive numbers, `dense_filters` one and `extra_filters` "
            f"{len(extras)}; received {', '.join(map(str, channels))}"
        )
    x = image = keras.Input(shape, name="image")
    features = []
    for block, count in enumerate(CONVOLUTIONS[16], start=1):
        for i in range(1, count + 1):
            names = f"block{block}_{{}}{i}"
            x = activated_convolution(x, channels.blocks[block - 1], 3, names, normalization)
        if block == 4:
            # (B, H/8, W/8, F); features of this level are larger than those of the others.
            features.append(ScaledL2Normalization(20.0, name="block4_scale")(x))
        # "same" rounds an odd size up; the last window then has one row or column.
        size, stride, padding = {3: (2, 2, "same"), 5: (3, 1, "same")}.get(block, (2, 2, "valid"))
        x = keras.layers.MaxPooling2D(size, stride, padding, name=f"block{block}_pool")(x)
    x = activated_convolution(x, channels.dense, 3, "fc6_{}", normalization, dilation_rate=6)
    x = activated_convolution(x, channels.dense, 1, "fc7_{}", normalization)
    features.append(x)  # (B, H/16, W/16, F)
    for i, (count, options) in enumerate(zip(channels.extras, extras, strict=True)):
        features.append(coarser_level(features[-1], count, i, normalization, **options))
    return keras.Model(image, detection_heads(features, classes), name=name)


def _load_vgg16(network, weights, channels, normalization, torchvision):
    if weights != "imagenet":
        load(network, weights, torchvision=torchvision, heads=HEADS)
        return
    shape = (32, 32, network.input_shape[-1])
    trunk = vgg16(
        include_top=False,
        weights=weights,
        input_shape=shape,
        filters=channels.blocks,
        normalization=normalization,
    )
    for layer in trunk.layers:
        if layer.weights:
            network.get_layer(layer.name).set_weights(layer.get_weights())


def _check(input_shape, classes, *, smallest):
    check_arguments(input_shape, classes, 0.0, smallest=smallest, ranks=(2,))
    if None in input_shape:
        raise ValueError(
            "`input_shape` must be known, since default boxes belong to a size; received "
            f"{tuple(input_shape)}"
        )
