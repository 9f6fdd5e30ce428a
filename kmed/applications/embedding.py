"""An image tower: any network of ours, pooled and projected to a vector of length 1.

References:
    Schroff, Kalenichenko and Philbin 2015, "FaceNet: A Unified Embedding for Face Recognition and
    Clustering" (the normalised embedding).
    Chen, Kornblith, Norouzi and Hinton 2020, "A Simple Framework for Contrastive Learning of
    Visual Representations" (`projection`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from kmed.applications import fcn
from kmed.applications.classifier_head import check_arguments, drop
from kmed.applications.segnet import segnet, segnet_basic
from kmed.applications.unet import unet
from kmed.layers.unit_length import UnitLength
from kmed.weights import load

# Builders whose `include_top=False` gives a pyramid; its coarsest level is pooled.
PYRAMIDS = {**fcn.BACKBONES, "unet": unet, "segnet": segnet, "segnet_basic": segnet_basic}
# Builders that are cut in front of their coarsest scores.
SCORED = dict(fcn.VARIANTS)
POOLINGS = ("average", "maximum", "both", "flatten")
_OWN = (".weights.h5", ".keras")
_SET_HERE = {"include_top", "input_shape", "classes", "name"}


def embedding(
    *,
    backbone: str | keras.Model = "resnet18",
    dimension: int = 128,
    input_shape: tuple[int | None, ...] = (224, 224, 1),
    weights: str | Path | None = None,
    backbone_options: Mapping[str, Any] | None = None,
    pooling: str = "average",
    projection: int | None = None,
    dropout: float = 0.0,
    name: str = "embedding",
) -> keras.Model:
    """Build a network from an image to a vector of length 1.

    The inner product of two such vectors is their cosine, and their squared distance is 2 less
    twice that.

    Reference: Schroff et al. 2015, section 3; Chen et al. 2020, section 2.1 (`projection`).

    Args:
        backbone: name of a classifier or of a segmentation network of ours, a key of `PYRAMIDS`
            (its coarsest features, which a U-Net or a SegNet has at the end of its encoder) or of
            `SCORED` (an FCN's features in front of its coarsest scores); or a keras.Model from an
            image to one feature map, whose layers become this network's under their own names.
        dimension: components of the vector.
        input_shape: (height, width, channels), or (depth, height, width, channels) for a backbone
            that has 3D. A size may be None where the backbone allows it.
        weights: None; the path of a `.weights.h5` or `.keras` file of the same network; or what the
            classifier that is the backbone takes itself: "imagenet", or the path of torchvision's
            `.pth` or `.safetensors`.
        backbone_options: further arguments of the backbone's builder, such as `width`, `filters`
            or `normalization`.
        pooling: what becomes of the feature map's positions: their "average", their "maximum",
            "both" side by side, or "flatten" (all of them, for sizes that are known).
        projection: units of a dense layer with ReLU ("projection") in front of the last one; by
            default none.
        dropout: rate of dropout behind the pooling, in [0, 1).
        name: name of the model.

    Returns:
        A functional model of float32 `(B, dimension)`, each row of length 1. Its last layers are
        "embedding" (dense) and "unit_length".

    Raises:
        ValueError: if an argument is outside of what is said above.

    Example:
        >>> options = {"width": 4}
        >>> embedding(input_shape=(64, 64, 1), dimension=8, backbone_options=options).output_shape
        (None, 8)
    """
    check_arguments(input_shape, 1, dropout)
    if dimension < 1 or (projection is not None and projection < 1):
        raise ValueError(
            "`dimension` and `projection` must be at least 1; received "
            f"{dimension} and {projection}"
        )
    if pooling not in POOLINGS:
        raise ValueError(f"`pooling` must be one of {', '.join(POOLINGS)}; received {pooling!r}")
    options = dict(backbone_options or {})
    own = None
    if weights is not None:
        own = str(weights) if str(weights).endswith(_OWN) else None
        options = options if own else {"weights": weights} | options
    if isinstance(backbone, keras.Model):
        image, x = _given(backbone, tuple(input_shape), options)
    else:
        image, x = _named(backbone, tuple(input_shape), options)  # (B, [D/s,] H/s, W/s, C)
    x = drop(_pooled(x, pooling), dropout, name="dropout")
    if projection is not None:
        kernel = {"kernel_initializer": "he_normal"}
        x = keras.layers.Dense(projection, name="projection", **kernel)(x)
        x = keras.layers.Activation("relu", name="projection_relu")(x)
    # float32 under mixed precision too: neighbours are told apart by small differences.
    x = keras.layers.Dense(dimension, dtype="float32", name="embedding")(x)
    network = keras.Model(image, UnitLength(name="unit_length")(x), name=name)
    load(network, own)
    return network


def _named(backbone, shape, options):
    """Give the image and the features of one of our networks."""
    if backbone not in PYRAMIDS and backbone not in SCORED:
        raise ValueError(
            f"`backbone` must be one of {', '.join([*PYRAMIDS, *SCORED])}, or a keras.Model; "
            f"received {backbone!r}"
        )
    refused = _SET_HERE & set(options)
    if refused:
        raise ValueError(
            f"`backbone_options` cannot set {sorted(refused)}, which this network sets"
        )
    if backbone == "unet" and "weights" in options:
        _refuse_weights(options["weights"], "a U-Net")
    if backbone in SCORED:
        trunk = SCORED[backbone](input_shape=shape, **options)
        scores = max(layer.name for layer in trunk.layers if layer.name.startswith("score"))
        return trunk.input, trunk.get_layer(scores).input
    trunk = PYRAMIDS[backbone](include_top=False, input_shape=shape, **options)
    return trunk.input, trunk.output[max(trunk.output, key=lambda level: int(level[1:]))]


def _given(backbone, shape, options):
    """Give a new image and the features that a caller's network makes of it."""
    if "weights" in options:
        _refuse_weights(options.pop("weights"), "a keras.Model that is given")
    if options:
        raise ValueError(
            "`backbone_options` are of a backbone that is built by its name; received "
            f"{sorted(options)} beside a keras.Model"
        )
    if len(backbone.inputs) != 1 or len(backbone.outputs) != 1:
        raise ValueError(
            f'`backbone` must have one input and one output; "{backbone.name}" has '
            f"{len(backbone.inputs)} and {len(backbone.outputs)}"
        )
    expected = backbone.inputs[0].shape[1:]
    fits = len(expected) == len(shape) and all(
        theirs in (None, ours) for theirs, ours in zip(expected, shape, strict=True)
    )
    if not fits:
        raise ValueError(
            f'`input_shape` must fit "{backbone.name}", which takes {expected}; received {shape}'
        )
    image = keras.Input(shape, name="image")
    (x,) = keras.tree.flatten(backbone.call(image))
    if len(x.shape) != len(shape) + 1 or x.shape[-1] is None:
        raise ValueError(
            f"`backbone` must give a feature map of {len(shape) - 1} spatial axes and known "
            f'channels; "{backbone.name}" gives shape {x.shape}'
        )
    return image, x


def _refuse_weights(weights, kind):
    raise ValueError(
        f"`weights` from elsewhere are for classifiers, not for {kind}; received {str(weights)!r}"
    )


def _pooled(x, pooling):
    rank = len(x.shape) - 2
    if pooling == "flatten":
        if None in x.shape[1:]:
            raise ValueError(
                'pooling="flatten" needs a known `input_shape`; the feature map has shape '
                f"{x.shape}"
            )
        return keras.layers.Flatten(name="flatten")(x)
    layers = keras.layers
    average, maximum = {
        2: (layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D),
        3: (layers.GlobalAveragePooling3D, layers.GlobalMaxPooling3D),
    }[rank]
    if pooling == "average":
        return average(name="average_pool")(x)
    if pooling == "maximum":
        return maximum(name="maximum_pool")(x)
    pools = [average(name="average_pool")(x), maximum(name="maximum_pool")(x)]
    return layers.Concatenate(name="pools")(pools)  # (B, 2 C)
