"""Faster R-CNN: on a feature pyramid as torchvision's, or on one level of a VGG as in the paper.

References:
    Ren, He, Girshick and Sun 2015, "Faster R-CNN: Towards Real-Time Object Detection with Region
    Proposal Networks".
    Lin et al. 2017, "Feature Pyramid Networks for Object Detection".
    torchvision.models.detection.fasterrcnn_resnet50_fpn.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from kmed.applications import resnet, vgg
from kmed.applications.classifier_head import check_arguments, drop
from kmed.applications.fcn import BACKBONES
from kmed.applications.variants import variant
from kmed.layers.feature_pyramid import feature_pyramid
from kmed.layers.proposals import Proposals
from kmed.layers.region_proposal_heads import region_proposal_heads
from kmed.layers.roi_align import RoIAlign
from kmed.weights import load, load_torchvision
from kmed.weights.torchvision import read_checkpoint

TORCHVISION = (  # name of a layer here, prefix in torchvision's checkpoint
    *((ours, f"backbone.body.{theirs}") for ours, theirs in resnet.TORCHVISION[:-1]),
    *(
        (f"fpn_p{i + 2}_{ours}", f"backbone.fpn.{theirs}_blocks.{i}.0")
        for i in range(4)
        for ours, theirs in (("inner", "inner"), ("output", "layer"))
    ),
    (r"rpn_conv", r"rpn.head.conv.0.0"),
    (r"rpn_objectness", r"rpn.head.cls_logits"),
    (r"rpn_offsets", r"rpn.head.bbox_pred"),
    (r"fc([67])", r"roi_heads.box_head.fc\1"),
    (r"class_logits", r"roi_heads.box_predictor.cls_score"),
    (r"box_offsets", r"roi_heads.box_predictor.bbox_pred"),
)
# The checkpoints to be downloaded have the names of torchvision before 0.13.
_RENAMED = (
    (r"(backbone\.fpn\.(?:inner|layer)_blocks\.\d)\.(weight|bias)", r"\1.0.\2"),
    (r"rpn\.head\.conv\.(weight|bias)", r"rpn.head.conv.0.0.\1"),
)
_TORCH = (".pth", ".pt", ".safetensors")


def faster_rcnn(
    *,
    weights: str | Path | None = None,
    input_shape: tuple[int, int, int] = (800, 800, 3),
    classes: int = 90,
    backbone: str = "resnet50",
    backbone_options: Mapping[str, Any] | None = None,
    levels: Sequence[str] = ("P2", "P3", "P4", "P5"),
    pyramid_channels: int | None = 256,
    head_units: int | None = None,
    dropout: float | None = None,
    anchor_sizes: Sequence[float | Sequence[float]] | None = None,
    anchor_ratios: Sequence[float] = (0.5, 1.0, 2.0),
    proposals_before: int = 1000,
    proposals: int = 1000,
    canonical_size: float = 224.0,
    frozen_norm: bool | None = None,
    frozen_levels: int | None = None,
    name: str = "faster_rcnn",
) -> keras.Model:
    """Build a Faster R-CNN.

    It is trained by `kmed.trainers.faster_rcnn.FasterRCNN`. The image is padded with zeros at its
    right and lower edge to a multiple of the coarsest stride, as torchvision does.

    Reference: Ren et al. 2015, section 3; Lin et al. 2017, section 4.

    Args:
        weights: None; "imagenet" (the backbone's); the path of a `.weights.h5` or `.keras` file of
            the same network; or of torchvision's `.pth` or `.safetensors`: of
            fasterrcnn_resnet50_fpn, or without pyramid of the VGG classifier, whose dense layers
            become fc6 and fc7.
        input_shape: (height, width, channels), all known.
        classes: number of classes of objects; background is not counted.
        backbone: a classifier of ours, a key of `kmed.applications.fcn.BACKBONES`; not AlexNet,
            whose levels have no strides that double.
        backbone_options: further arguments of its builder, such as `width` or `filters`.
        levels: of the backbone, consecutive, from fine to coarse; without pyramid one, and "P4" of
            a VGG is then the paper's conv5_3.
        pyramid_channels: channels of the pyramid's levels, to which one of twice the stride is
            added for proposals; None for no pyramid: features are the backbone's own.
        head_units: of the dense layers fc6 and fc7; by default 1024, and 4096 without pyramid.
        dropout: rate of dropout behind both, in [0, 1); by default 0, and 0.5 without pyramid.
        anchor_sizes: square roots of the anchors' areas, in pixels: one number or equally many for
            each level; by default 32, 64, ... for strides 4, 8, ..., and the paper's (128, 256,
            512) without pyramid. Take them from the objects' own sizes.
        anchor_ratios: height divided by width.
        proposals_before: anchors of each level that enter non-maximum suppression.
        proposals: boxes of an image, R, that go to the head.
        canonical_size: side of the square box that is pooled from stride 16, in pixels.
        frozen_norm: keep batch normalisation as it is, in training too; by default where weights
            come from another data set, as in torchvision.
        frozen_levels: n keeps the backbone's weights up to Pn as they are; by default 2 where
            weights come from another data set, else 0.
        name: name of the model.

    Returns:
        A functional model of float32 outputs: "proposals" `(B, R, 4)` xyxy in pixels and their
        "count" `(B,)` int32, zeros beyond; "class_logits" `(B, R, classes + 1)`, background first;
        "box_offsets" `(B, R, 4 * (classes + 1))` of each class; "rpn_objectness" `(B, A)` logits
        and "rpn_offsets" `(B, A, 4)` of all anchors. `FasterRCNNCodec.of` decodes them.

    Raises:
        ValueError: if an argument is outside of what is said above.

    Example:
        >>> options = {"backbone": "resnet18", "backbone_options": {"width": 4}, "head_units": 8}
        >>> network = faster_rcnn(input_shape=(60, 64, 1), pyramid_channels=8, classes=2, **options)
        >>> network.output["box_offsets"].shape
        (None, 1000, 12)
    """
    check_arguments(input_shape, classes, dropout or 0.0, smallest=32, ranks=(2,))
    strides = _check(input_shape, backbone, levels, pyramid_channels, head_units)
    single = pyramid_channels is None
    anchor_sizes = _anchor_sizes(anchor_sizes, strides, len(strides) + (not single))
    own = None if weights == "imagenet" else weights
    options = {"weights": "imagenet"} if weights == "imagenet" else {}
    options |= backbone_options or {}

    image = keras.Input(input_shape, name="image")
    x, padded_size = _pad(image, strides[-1])
    trunk = BACKBONES[backbone](
        include_top=False, input_shape=(*padded_size, input_shape[-1]), **options
    )
    # The backbone's layers themselves become part of this network, under their own names.
    features = _features(trunk, backbone, levels, pyramid_channels).call(x)
    maps, extra = list(features.values()), []
    if not single:
        maps = list(feature_pyramid(features, pyramid_channels).values())
        # Every other pixel of the coarsest level, for large proposals.
        extra = [keras.layers.MaxPooling2D(1, strides=2, padding="same", name="fpn_pool")(maps[-1])]

    anchors = len(anchor_sizes[0]) * len(anchor_ratios)
    objectness, offsets = region_proposal_heads(maps + extra, anchors)  # (B, A), (B, A, 4)
    propose = Proposals(
        input_shape[:2],
        padded_size,
        [x.shape[1:3] for x in maps + extra],
        anchor_sizes,
        anchor_ratios,
        before=proposals_before,
        after=proposals,
        dtype="float32",
        name="proposals",
    )
    found = propose(objectness, offsets)
    align = RoIAlign(strides, canonical_size=canonical_size, name="roi_align")
    x = align([*maps, found["boxes"]])  # (B, R, 7, 7, C)
    units = head_units or (4096 if single else 1024)
    x = _box_head(x, units, 0.5 * single if dropout is None else dropout)
    outputs = {
        "proposals": found["boxes"],
        "count": found["count"],
        "class_logits": _dense(x, classes + 1, 0.01, "class_logits"),
        "box_offsets": _dense(x, 4 * (classes + 1), 0.001, "box_offsets"),
        "rpn_objectness": objectness,
        "rpn_offsets": offsets,
    }
    network = keras.Model(image, outputs, name=name)
    _load(network, own, backbone, options, single)
    _freeze(network, trunk, _foreign(own) or "weights" in options, frozen_norm, frozen_levels)
    return network


faster_rcnn_vgg16 = variant(
    faster_rcnn,
    "faster_rcnn_vgg16",
    "Build the paper's Faster R-CNN on one level of VGG16.",
    backbone="vgg16",
    levels=("P4",),
    pyramid_channels=None,
)


def _check(input_shape, backbone, levels, channels, units):
    """Refuse what fits to no Faster R-CNN; give the levels' strides."""
    if None in input_shape:
        raise ValueError(
            f"`input_shape` must be known, since anchors follow from it; received {input_shape}"
        )
    known = [name for name in BACKBONES if name != "alexnet"]
    if backbone not in known:
        raise ValueError(f"`backbone` must be one of {', '.join(known)}; received {backbone!r}")
    if not levels or not all(re.fullmatch(r"P\d", level) for level in levels):
        raise ValueError(f'`levels` must be names such as "P2"; received {tuple(levels)}')
    numbers = [int(level[1:]) for level in levels]
    if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        raise ValueError(f"`levels` must be consecutive, fine ones first; received {tuple(levels)}")
    if channels is None and len(levels) != 1:
        raise ValueError(
            f"without `pyramid_channels` there must be one of `levels`; received {tuple(levels)}"
        )
    for argument, value in (("pyramid_channels", channels), ("head_units", units)):
        if value is not None and value < 1:
            raise ValueError(f"`{argument}` must be at least 1; received {value}")
    return [2**n for n in numbers]


def _pad(image, multiple):
    size = image.shape[1:3]
    padded = tuple(math.ceil(n / multiple) * multiple for n in size)
    if padded == tuple(size):
        return image, padded
    margin = [(0, m - n) for n, m in zip(size, padded, strict=True)]
    return keras.layers.ZeroPadding2D(margin, name="pad")(image), padded


def _features(trunk, backbone, levels, channels):
    """Give a model of the chosen levels."""
    found = dict(trunk.output)
    if channels is None and backbone.startswith("vgg"):
        found["P4"] = trunk.get_layer("block5_pool").input
    missing = [level for level in levels if level not in found]
    if missing:
        raise ValueError(f"{backbone} as it was built has levels {list(found)}, not {missing}")
    chosen = keras.Model(trunk.input, {level: found[level] for level in levels})
    for level, x in chosen.output.items():
        stride = trunk.input.shape[1] / x.shape[1]
        if stride != 2 ** int(level[1:]):
            raise ValueError(
                f"{level} of {backbone} must have stride {2 ** int(level[1:])}; it has {stride}, "
                "which `backbone_options` such as `output_stride` change"
            )
    return chosen


def _anchor_sizes(sizes, strides, count):
    if sizes is None and count == 1:
        sizes = [(128, 256, 512)]
    elif sizes is None:
        sizes = [8 * strides[0] * 2**i for i in range(count)]
    sizes = [tuple(row) if isinstance(row, Sequence) else (row,) for row in sizes]
    if len(sizes) != count or len({len(row) for row in sizes}) != 1:
        raise ValueError(
            f"`anchor_sizes` must be one number, or equally many, for each of {count} levels; "
            f"received {sizes}"
        )
    return sizes


def _box_head(x, units, dropout):
    x = keras.layers.Reshape((-1, math.prod(x.shape[2:])), name="roi_flatten")(x)
    for name in ("fc6", "fc7"):
        x = keras.layers.Dense(units, kernel_initializer="he_normal", name=name)(x)
        x = keras.layers.Activation("relu", name=f"{name}_relu")(x)
        x = drop(x, dropout, name=f"{name}_dropout")
    return x


def _dense(x, units, deviation, name):
    initializer = keras.initializers.RandomNormal(stddev=deviation)
    # float32 under mixed precision too: a softmax of half-precision logits loses small classes.
    return keras.layers.Dense(units, kernel_initializer=initializer, dtype="float32", name=name)(x)


def _foreign(weights):
    return weights is not None and Path(weights).suffix in _TORCH


def _load(network, weights, backbone, options, single):
    if _foreign(weights) and backbone.startswith("resnet") and not single:
        arrays = read_checkpoint(weights)
        for old, new in _RENAMED:
            arrays = {re.sub(f"^{old}$", new, name): array for name, array in arrays.items()}
        load_torchvision(network, arrays, TORCHVISION, heads=r"class_logits|box_offsets")
        return
    names = None
    if backbone.startswith("vgg") and single:
        names = vgg.torchvision_names(int(backbone[3:]), options.get("normalization"))
        names |= {"fc6": names["fc1"], "fc7": names["fc2"]}
    load(network, weights, torchvision=names, heads=r"rpn_.*|class_logits|box_offsets|fc[67]")


def _freeze(network, trunk, foreign, norm, levels):
    levels = (2 if foreign else 0) if levels is None else levels
    if levels:
        if f"P{levels}" not in trunk.output:
            raise ValueError(
                f"`frozen_levels` must be one of {[int(n[1:]) for n in trunk.output]} or 0; "
                f"received {levels}"
            )
        for layer in keras.Model(trunk.input, trunk.output[f"P{levels}"]).layers:
            layer.trainable = False
    if foreign if norm is None else norm:
        for layer in network.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
