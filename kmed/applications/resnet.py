"""ResNet with 18, 34, 50, 101 and 152 layers, 2D and 3D.

References:
    He, Zhang, Ren and Sun 2016, "Deep Residual Learning for Image Recognition", table 1.
    He et al. 2016, "Identity Mappings in Deep Residual Networks" (`version="v2"`).
    Yu, Koltun and Funkhouser 2017, "Dilated Residual Networks" (`output_stride`).
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import keras

from kmed.applications.classifier_head import check_arguments, drop, logits
from kmed.applications.variants import variant
from kmed.layers.normalization import normalize
from kmed.layers.symmetric_padding import padded_convolution, padded_pool
from kmed.weights import load

BLOCKS = {  # in each of the four stages
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
BOTTLENECK = {50, 101, 152}  # blocks of 1x1, 3x3 and 1x1 convolutions instead of two 3x3

TORCHVISION = (  # name of a layer here, prefix in torchvision's checkpoint
    (r"stem_conv", r"conv1"),
    (r"stem_norm", r"bn1"),
    (r"stage(\d)_block(\d+)_conv(\d)", r"layer\1.\2.conv\3"),
    (r"stage(\d)_block(\d+)_norm(\d)", r"layer\1.\2.bn\3"),
    (r"stage(\d)_block(\d+)_shortcut_conv", r"layer\1.\2.downsample.0"),
    (r"stage(\d)_block(\d+)_shortcut_norm", r"layer\1.\2.downsample.1"),
    (r"logits", r"fc"),
)


def resnet(
    *,
    layers: int = 50,
    include_top: bool = True,
    weights: str | Path | None = None,
    input_shape: tuple[int | None, ...] = (224, 224, 3),
    classes: int = 1000,
    version: str = "torchvision",
    stem: str = "imagenet",
    width: int = 64,
    normalization: str | None = "batch",
    output_stride: int = 32,
    dropout: float = 0.0,
    name: str = "resnet",
) -> keras.Model:
    """Build a ResNet.

    Reference: He et al. 2016, table 1.

    Args:
        layers: 18, 34, 50, 101 or 152.
        include_top: False leaves out pooling and logits and gives the pyramid P1 (stem), P2 ...
            P5 (stages), where Pn has stride `2**n` and size `ceil(size / 2**n)`. With
            `stem="small"` it is P0 ... P3 (stages). With `output_stride` 16 or 8 the names stay.
            In "v2", whose stages end with their stride, a level is what enters that last block,
            normalised, and P5 the network's end.
        weights: None, "imagenet" (keras.applications' own, for `version` "keras" and "v2" of 50,
            101 and 152 layers), or the path of a `.weights.h5`, `.keras`, or of torchvision's
            `.pth` or `.safetensors` (for `version="torchvision"`).
        input_shape: (height, width, channels), or (depth, height, width, channels) for the 3D
            network. A size may be None.
        classes: number of classes.
        version: "torchvision" (a bottleneck's stride is at its 3x3 convolution, "v1.5"), "keras"
            (as keras.applications.ResNet50: at its first 1x1 convolution, as in the paper;
            convolutions have biases) or "v2" (pre-activation, as keras.applications.ResNet50V2).
        stem: "imagenet" (7x7 of stride 2, then pooling), or "small" (3x3 of stride 1, no pooling)
            for images of about 28 to 64 pixels.
        width: channels of the stem; the stages have 1, 2, 4 and 8 times as many, bottlenecks
            again 4 times.
        normalization: "batch", "instance" or None after convolutions.
        output_stride: 32, or for images 16 or 8: where a stride would make the total larger, the
            convolutions that follow are dilated instead, as torchvision's
            `replace_stride_with_dilation`.
        dropout: rate of dropout before the logits, in [0, 1).
        name: name of the model.

    Returns:
        A functional model of float32 logits `(B, classes)`, or of the pyramid.

    Raises:
        ValueError: if an argument is outside of what is said above.

    Example:
        >>> resnet(layers=18, input_shape=(28, 28, 1), classes=2, stem="small", width=4).name
        'resnet'
    """
    check_arguments(input_shape, classes, dropout)
    _check(layers, version, stem, width, output_stride, len(input_shape) - 1)
    style = _Style(version, normalization)
    image = keras.Input(input_shape, name="image")
    x, pyramid = _stem(image, width, stem, style)
    level, stride, dilation = (2, 4, 1) if stem == "imagenet" else (0, 1, 1)
    for stage, count in enumerate(BLOCKS[layers], start=1):
        for i in range(count):
            step, before = _stride(stage, i, count, version), dilation
            if stride * step > output_stride:
                step, dilation = 1, dilation * step
            block = _Block(
                name=f"stage{stage}_block{i}",
                convolutions=_convolutions(layers, width * 2 ** (stage - 1)),
                first=i == 0,
                stride=step,
                dilations=(before, dilation),
                style=style,
            )
            x, entered = _block_v2(x, block) if version == "v2" else _block_v1(x, block)
            stride *= step
        pyramid[f"P{level}"] = entered if version == "v2" else x
        level += 1
    if version == "v2":
        x = pyramid[f"P{level - 1}"] = _normalized_relu(x, style, "final")
    outputs = pyramid
    if include_top:
        volume = len(input_shape) == 4
        pool = (
            keras.layers.GlobalAveragePooling3D if volume else keras.layers.GlobalAveragePooling2D
        )
        outputs = logits(drop(pool(name="pool")(x), dropout, name="dropout"), classes)
    network = keras.Model(image, outputs, name=name)
    files = {"keras": f"resnet{layers}", "v2": f"resnet{layers}v2"}
    load(
        network,
        weights,
        torchvision=TORCHVISION if version == "torchvision" else None,
        imagenet=files.get(version) if layers in BOTTLENECK else None,
    )
    return network


VARIANTS = {
    layers: variant(
        resnet, f"resnet{layers}", f"Build a ResNet with {layers} layers.", layers=layers
    )
    for layers in BLOCKS
}
resnet18, resnet34, resnet50, resnet101, resnet152 = VARIANTS.values()


class _Style(NamedTuple):
    """What a version changes of a convolution and its normalisation."""

    version: str
    normalization: str | None

    @property
    def bias(self) -> bool:
        """Whether a convolution before a normalisation has a bias."""
        return self.version == "keras" or self.normalization is None


class _Block(NamedTuple):
    """What distinguishes one residual block from the others."""

    name: str
    convolutions: tuple[tuple[int, int], ...]  # kernel size and channels of each
    first: bool  # of its stage
    stride: int
    dilations: tuple[int, int]  # up to the convolution with the stride, and behind it
    style: _Style

    @property
    def strided(self) -> int:
        """Which convolution has the block's stride, counted from 1."""
        return 2 if len(self.convolutions) == 3 and self.style.version != "keras" else 1


def _convolutions(layers, width):
    if layers in BOTTLENECK:
        return (1, width), (3, width), (1, 4 * width)
    return (3, width), (3, width)


def _stride(stage, block, count, version):
    if version == "v2":
        return 2 if stage < 4 and block == count - 1 else 1
    return 2 if stage > 1 and block == 0 else 1


def _stem(image, width, stem, style):
    size, stride = (7, 2) if stem == "imagenet" else (3, 1)
    bias = style.bias or style.version == "v2"
    x = padded_convolution(image, width, size, stride=stride, use_bias=bias, name="stem_conv")
    if style.version != "v2":
        x = _normalized_relu(x, style, "stem")
    if stem == "small":
        return x, {}
    return padded_pool(x, 3, stride=2, padding=1, name="stem_pool"), {"P1": x}


def _block_v1(x, block):
    """Give figure 5 of the first paper, and what entered it."""
    entered, shortcut, style, name = x, x, block.style, block.name
    last = len(block.convolutions)
    for i in range(1, last):
        x = _convolution(x, block, i, style.bias)
        x = _normalized_relu(x, style, name, i)
    x = _normalized(_convolution(x, block, last, style.bias), style, f"{name}_norm{last}")
    if block.stride > 1 or shortcut.shape[-1] != x.shape[-1]:
        shortcut = _projection(shortcut, x.shape[-1], block, style.bias)
        shortcut = _normalized(shortcut, style, f"{name}_shortcut_norm")
    x = keras.layers.Add(name=f"{name}_add")([shortcut, x])
    return keras.layers.Activation("relu", name=f"{name}_relu{last}")(x), entered


def _block_v2(x, block):
    """Give figure 4(e) of the second paper, and what entered its convolutions."""
    shortcut, style, name = x, block.style, block.name
    last = len(block.convolutions)
    entered = x = _normalized_relu(x, style, f"{name}_pre")
    for i in range(1, last):
        x = _normalized_relu(_convolution(x, block, i, style.bias), style, name, i)
    x = _convolution(x, block, last, True)
    if block.first:
        shortcut = _projection(entered, x.shape[-1], block, True)
    elif block.stride > 1:
        shortcut = padded_pool(shortcut, 1, stride=block.stride, name=f"{name}_shortcut_pool")
    return keras.layers.Add(name=f"{name}_add")([shortcut, x]), entered


def _convolution(x, block, i, bias):
    size, filters = block.convolutions[i - 1]
    # Pixels lie further apart only behind the stride that the dilation replaces.
    dilation = block.dilations[i > block.strided]
    return padded_convolution(
        x,
        filters,
        size,
        stride=block.stride if i == block.strided else 1,
        dilation_rate=dilation if size > 1 else 1,
        use_bias=bias,
        name=f"{block.name}_conv{i}",
    )


def _projection(x, filters, block, bias):
    name = f"{block.name}_shortcut_conv"
    return padded_convolution(x, filters, 1, stride=block.stride, use_bias=bias, name=name)


def _normalized(x, style, name):
    epsilon = 1e-5 if style.version == "torchvision" else 1.001e-5
    return normalize(x, style.normalization, epsilon=epsilon, name=name)


def _normalized_relu(x, style, name, number=""):
    x = _normalized(x, style, f"{name}_norm{number}")
    return keras.layers.Activation("relu", name=f"{name}_relu{number}")(x)


def _check(layers, version, stem, width, output_stride, rank):
    for argument, value, known in (
        ("layers", layers, tuple(BLOCKS)),
        ("version", version, ("torchvision", "keras", "v2")),
        ("stem", stem, ("imagenet", "small")),
        ("output_stride", output_stride, (32, 16, 8)),
    ):
        if value not in known:
            raise ValueError(f"`{argument}` must be one of {known}; received {value!r}")
    if rank == 3 and output_stride < 32:
        raise ValueError(
            "`output_stride` must be 32 for volumes, since TFLite has no dilated 3D convolution; "
            f"received {output_stride}"
        )
    if width < 1:
        raise ValueError(f"`width` must be at least 1; received {width}")
