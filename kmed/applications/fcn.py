"""Fully convolutional networks: FCN-32s, 16s and 8s, and torchvision's on dilated ResNets.

References:
    Long, Shelhamer and Darrell 2015, "Fully Convolutional Networks for Semantic Segmentation".
    Shelhamer, Long and Darrell 2017, the same title, in PAMI (training at once, scaled skips).
    torchvision.models.segmentation.fcn_resnet50 and fcn_resnet101.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from kmed.applications import resnet, vgg
from kmed.applications.alexnet import alexnet
from kmed.applications.classifier_head import check_arguments, drop
from kmed.applications.variants import variant
from kmed.layers.bilinear import BilinearConv2DTranspose
from kmed.layers.convolution import convolution
from kmed.layers.framing import CropLike, PadToMultiple
from kmed.layers.normalization import normalize
from kmed.layers.resizing import ResizeLike
from kmed.weights import load

BACKBONES = {
    "alexnet": alexnet,
    **{f"vgg{layers}": getattr(vgg, f"vgg{layers}") for layers in (11, 13, 16, 19)},
    **{f"resnet{layers}": getattr(resnet, f"resnet{layers}") for layers in (18, 34, 50, 101, 152)},
}
# The reference's factors of the features that enter the first skip's scores and the second's.
SKIP_SCALES = (0.01, 0.0001)
_PROBE = 1024  # pixels; large enough that a level's size tells its stride in any backbone
_NORMALIZATIONS = (keras.layers.BatchNormalization, keras.layers.GroupNormalization)


def fcn(
    *,
    skips: int = 2,
    weights: str | Path | None = None,
    input_shape: tuple[int | None, ...] = (224, 224, 3),
    classes: int = 21,
    backbone: str = "vgg16",
    backbone_options: Mapping[str, Any] | None = None,
    head_units: Sequence[int] | None = None,
    scaled_skips: bool | None = None,
    train_upsampling: bool = False,
    dropout: float = 0.5,
    name: str = "fcn",
) -> keras.Model:
    """Build an FCN.

    A classifier whose dense layers became convolutions gives scores at a 32nd of the image's size;
    they are enlarged step by step by bilinear transposed convolutions, and the scores of finer
    levels are added on the way. All score layers start at zero, so the first logits are 0.

    The reference pads the image by 100 pixels and crops the output by offsets that follow from it.
    Here every convolution pads by itself and the image is padded to a multiple of the coarsest
    stride, half on each side, its border repeated, and the output cropped alike: the pixels of all
    levels then lie upon each other exactly, for an image of any size. (On AlexNet, whose
    levels fit into no such grid, each is resized to the next.)

    Reference: Long et al. 2015, figure 3 and section 4.2.

    Args:
        skips: 0, 1 or 2 finer levels whose scores are added (FCN-32s, 16s, 8s).
        weights: None; "imagenet" (the backbone's); or the path of a `.weights.h5` or `.keras` file
            of the same network, or, on a VGG, of torchvision's `.pth` or `.safetensors` of that
            classifier, whose dense layers become fc6 and fc7.
        input_shape: (height, width, channels) of any size; a size may be None.
        classes: number of classes, background counted (1: one sigmoid logit).
        backbone: name of a classifier of ours, a key of `BACKBONES`.
        backbone_options: further arguments of its builder, such as `filters` or `width`,
            `normalization`, or `weights` of its own.
        head_units: channels of the 7x7 convolution fc6 and of the 1x1 convolutions after it; by
            default (4096, 4096) on VGG and AlexNet, whose dense layers they were, and none on a
            ResNet.
        scaled_skips: multiply the features that enter the skips' scores by `SKIP_SCALES`, as
            the reference does to train at once: without normalisation features grow from level to
            level, and the finer ones would drown the coarse scores or diverge. By default on for a
            backbone without normalisation layers. With them features are of order one, and such
            factors would leave a skip without effect.
        train_upsampling: train the bilinear kernels too, as in the paper; the reference code keeps
            them fixed.
        dropout: rate of dropout after each of the `head_units`, in [0, 1).
        name: name of the model.

    Returns:
        A functional model of float32 logits `(B, H, W, classes)`.

    Raises:
        ValueError: if an argument is outside of what is said above.

    Example:
        >>> options = {"filters": (4, 4, 4, 8, 8)}
        >>> fcn(input_shape=(45, 60, 1), backbone_options=options, head_units=(8,)).output_shape
        (None, 45, 60, 21)
    """
    # AlexNet takes 63 pixels or more: 33 are padded to 64.
    smallest = 33 if backbone == "alexnet" else 1
    check_arguments(input_shape, classes, dropout, smallest=smallest, ranks=(2,))
    if skips not in (0, 1, 2):
        raise ValueError(f"`skips` must be 0, 1 or 2; received {skips}")
    if head_units is None:
        head_units = () if backbone.startswith("resnet") else (4096, 4096)
    if min(head_units, default=1) < 1:
        raise ValueError(f"`head_units` must be positive numbers; received {tuple(head_units)}")
    own = None if weights == "imagenet" else weights
    options = {"weights": "imagenet"} if weights == "imagenet" else {}
    options |= backbone_options or {}
    trunk = _backbone(backbone, (None, None, input_shape[-1]), options)
    strides = _strides(trunk)
    levels = sorted(strides, reverse=True)[: skips + 1]
    image = keras.Input(input_shape, name="image")
    padded = PadToMultiple(strides[levels[0]], name="pad")(image)
    # The backbone's layers themselves become part of this network, under their own names.
    pyramid = trunk.call(padded)

    x = pyramid[levels[0]]
    for i, units in enumerate(head_units):
        x = convolution(x, units, 1 if i else 7, name=f"fc{6 + i}")
        x = keras.layers.Activation("relu", name=f"fc{6 + i}_relu")(x)
        x = drop(x, dropout, name=f"fc{6 + i}_dropout")
    if scaled_skips is None:
        scaled_skips = not any(isinstance(layer, _NORMALIZATIONS) for layer in trunk.layers)
    x = _score(x, classes, name=f"score_{levels[0]}")
    for coarse, fine, scale in zip(levels, levels[1:], SKIP_SCALES, strict=False):
        x = _enlarge(x, strides[coarse] // strides[fine], train_upsampling, coarse)
        skip = pyramid[fine]
        if backbone == "alexnet":
            x = ResizeLike(name=f"fit_{fine}", dtype="float32")([x, skip])
        if scaled_skips:
            skip = keras.layers.Rescaling(scale, name=f"scale_{fine}", dtype="float32")(skip)
        skip = _score(skip, classes, name=f"score_{fine}")
        x = keras.layers.Add(name=f"fuse_{fine}", dtype="float32")([x, skip])
    x = _enlarge(x, strides[levels[-1]], train_upsampling, levels[-1])
    if backbone == "alexnet":
        x = ResizeLike(name="fit_image", dtype="float32")([x, padded])
    x = CropLike(name="logits", dtype="float32")([x, image])
    network = keras.Model(image, x, name=name)
    load(
        network,
        own,
        torchvision=_vgg_names(backbone, options),
        heads=r"score_.*|upscore_.*|fc[67]",
    )
    return network


def dilated_fcn(
    *,
    weights: str | Path | None = None,
    input_shape: tuple[int | None, ...] = (224, 224, 3),
    classes: int = 21,
    backbone: str = "resnet50",
    backbone_options: Mapping[str, Any] | None = None,
    head_units: int | None = None,
    dropout: float = 0.1,
    name: str = "dilated_fcn",
) -> keras.Model:
    """Build torchvision's FCN: a ResNet of stride 8 by dilation, one 3x3 convolution, scores.

    The scores are enlarged by a bilinear resize (half-pixel centres). Torchvision's auxiliary
    classifier, of use in training only, is left out, also of its checkpoints.

    Reference: torchvision.models.segmentation.fcn.

    Args:
        weights: None, or the path of a `.weights.h5` or `.keras` file of the same network, or of
            torchvision's `.pth` or `.safetensors`. For a ResNet's alone pass
            `backbone_options={"weights": ...}`.
        input_shape: (height, width, channels) of any size; a size may be None.
        classes: number of classes, background counted (1: one sigmoid logit).
        backbone: "resnet50" or another ResNet of ours.
        backbone_options: further arguments of its builder, such as `width`.
        head_units: channels of the 3x3 convolution; by default a quarter of the backbone's.
        dropout: rate of dropout after it, in [0, 1).
        name: name of the model.

    Returns:
        A functional model of float32 logits `(B, H, W, classes)`.

    Raises:
        ValueError: if an argument is outside of what is said above.

    Example:
        >>> options = {"width": 4}
        >>> dilated_fcn(input_shape=(None, None, 1), backbone_options=options).output_shape
        (None, None, None, 21)
    """
    check_arguments(input_shape, classes, dropout, ranks=(2,))
    if not backbone.startswith("resnet"):
        raise ValueError(
            f"`backbone` must be a ResNet, which can be dilated; received {backbone!r}"
        )
    if head_units is not None and head_units < 1:
        raise ValueError(f"`head_units` must be at least 1; received {head_units}")
    options = {"output_stride": 8} | dict(backbone_options or {})
    trunk = _backbone(backbone, input_shape, options)
    image, pyramid = trunk.input, trunk.output
    x = pyramid[max(pyramid)]
    x = convolution(x, head_units or x.shape[-1] // 4, 3, use_bias=False, name="head_conv")
    x = normalize(x, "batch", name="head_norm")
    x = keras.layers.Activation("relu", name="head_relu")(x)
    x = drop(x, dropout, name="head_dropout")
    x = convolution(x, classes, 1, dtype="float32", name="score")
    x = ResizeLike(name="logits", dtype="float32")([x, image])
    network = keras.Model(image, x, name=name)
    load(network, weights, torchvision=TORCHVISION, heads="score")
    return network


# Names of dilated_fcn's layers in torchvision's checkpoints.
TORCHVISION = (
    *((ours, f"backbone.{theirs}") for ours, theirs in resnet.TORCHVISION),
    (r"head_conv", r"classifier.0"),
    (r"head_norm", r"classifier.1"),
    (r"score", r"classifier.4"),
)
VARIANTS = {
    **{
        f"fcn{stride}s": variant(fcn, f"fcn{stride}s", f"Build an FCN-{stride}s.", skips=skips)
        for stride, skips in ((32, 0), (16, 1), (8, 2))
    },
    **{
        f"fcn_{of}": variant(
            dilated_fcn, f"fcn_{of}", f"Build torchvision's fcn_{of}.", backbone=of
        )
        for of in ("resnet50", "resnet101")
    },
}
fcn32s, fcn16s, fcn8s, fcn_resnet50, fcn_resnet101 = VARIANTS.values()


def _backbone(backbone: str, shape, options: Mapping[str, Any]) -> keras.Model:
    if backbone not in BACKBONES:
        raise ValueError(f"`backbone` must be one of {', '.join(BACKBONES)}; received {backbone!r}")
    given = {"include_top", "input_shape", "classes", "name"} & set(options)
    if given:
        raise ValueError(f"`backbone_options` cannot set {sorted(given)}, which this network sets")
    return BACKBONES[backbone](include_top=False, input_shape=tuple(shape), **options)


def _strides(trunk: keras.Model) -> dict[str, int]:
    """Stride of each level of the pyramid, which its name does not tell where it is dilated."""
    shapes = trunk.compute_output_shape((1, _PROBE, _PROBE, trunk.input.shape[-1]))
    return {level: 2 ** round(math.log2(_PROBE / shape[1])) for level, shape in shapes.items()}


def _score(x, classes, *, name):
    # float32 under mixed precision too: a softmax of half-precision logits loses small classes.
    return convolution(x, classes, 1, dtype="float32", kernel_initializer="zeros", name=name)


def _enlarge(x, factor, trained, level):
    if factor == 1:
        return x
    layer = BilinearConv2DTranspose(
        x.shape[-1], factor, trainable=trained, dtype="float32", name=f"upscore_{level}"
    )
    return layer(x)  # (B, factor * H, factor * W, K)


def _vgg_names(backbone, options):
    if not backbone.startswith("vgg"):
        return None
    names = vgg.torchvision_names(int(backbone[3:]), options.get("normalization"))
    return names | {"fc6": names["fc1"], "fc7": names["fc2"]}
