"""CycleGAN's generator, a residual network, 2D and 3D.

References:
    Zhu et al. 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial
    Networks".
    Johnson, Alahi and Fei-Fei 2016, "Perceptual Losses for Real-Time Style Transfer and
    Super-Resolution".
"""

from __future__ import annotations

import os

import keras

from kmed.layers.adversarial_convolution import normal_kernel, normal_scale
from kmed.layers.convolution import convolution
from kmed.layers.normalization import normalize
from kmed.layers.reflection_padding import ReflectionPadding
from kmed.layers.symmetric_padding import padded_convolution
from kmed.weights.cyclegan_pix2pix import load_cyclegan_pix2pix

PADDINGS = ("reflect", "zero")
_LEVELS = 2  # halvings
_LEAST = 8  # pixels: reflection needs 2 of a block's features, which are a quarter of the image


def cyclegan_generator(
    input_shape: tuple[int | None, ...] = (256, 256, 3),
    outputs: int | None = None,
    *,
    blocks: int = 9,
    filters: int = 64,
    padding: str = "reflect",
    normalization: str | None = "instance",
    weights: str | os.PathLike[str] | None = None,
    name: str = "cyclegan_generator",
) -> keras.Model:
    """Build CycleGAN's generator: two halvings, residual blocks, two doublings.

    With `padding="reflect"` it is the authors' network, layer by layer.

    Reference: Zhu et al. 2017, section 7.2: 6 blocks for 128x128 pixels, 9 for 256x256 and more.

    Args:
        input_shape: (height, width, channels) or (depth, height, width, channels), multiples of
            4 from 8 on; a size may be None and must be such a multiple at run time.
        outputs: channels of the output; by default those of the input.
        blocks: residual blocks.
        filters: channels of the first convolution; four times as many in the blocks.
        padding: "reflect" mirrors the image at its border, but for the strided convolutions,
            which have zeros in the authors' network, too; "zero" has zeros everywhere.
        normalization: "instance" (without scale and shift, epsilon 1e-5), "batch" or None.
        weights: None, a checkpoint of the authors' program (`latest_net_G.pth`), or the path of a
            `.weights.h5` or `.keras` file of the same network.
        name: name of the model.

    Returns:
        A functional model of float32 images `(B, [D,] H, W, outputs)` in [-1, 1].

    Raises:
        ValueError: if an argument is outside of what is said above.

    Example:
        >>> cyclegan_generator((32, 32, 1), blocks=1, filters=4).output_shape
        (None, 32, 32, 1)
    """
    _check(input_shape, outputs, blocks, filters, padding)
    reflect = padding == "reflect"
    options = {"use_bias": normalization != "batch"}

    def normalized(x, name):
        options = {"affine": False, "gamma_initializer": normal_scale()}
        return normalize(x, normalization, name=f"{name}_norm", **options)

    def activated(x, name):
        return keras.layers.Activation("relu", name=f"{name}_relu")(normalized(x, name))

    x = image = keras.Input(input_shape, name="image")
    x = _convolved(x, filters, 7, reflect, name="stem_conv", **options)
    x = activated(x, "stem")
    for i in range(_LEVELS):  # (B, H/4, W/4, 4 F)
        kernel = {"kernel_initializer": normal_kernel()}
        x = padded_convolution(
            x, filters * 2 ** (i + 1), 3, stride=2, name=f"down{i}_conv", **kernel, **options
        )
        x = activated(x, f"down{i}")
    for i in range(blocks):
        y = _convolved(x, x.shape[-1], 3, reflect, name=f"block{i}_conv1", **options)
        y = activated(y, f"block{i}_1")
        y = _convolved(y, x.shape[-1], 3, reflect, name=f"block{i}_conv2", **options)
        y = normalize(
            y,
            normalization,
            affine=False,
            gamma_initializer=normal_scale(),
            name=f"block{i}_2_norm",
        )
        x = keras.layers.Add(name=f"block{i}_add")([x, y])
    for i in range(_LEVELS):  # (B, H, W, F)
        x = _doubled(x, filters * 2 ** (_LEVELS - 1 - i), name=f"up{i}_conv", **options)
        x = activated(x, f"up{i}")
    # float32 under mixed precision too: a half-precision image has steps of 1/2048.
    options |= {"use_bias": True, "dtype": "float32"}
    x = _convolved(x, outputs or input_shape[-1], 7, reflect, name="image_conv", **options)
    x = keras.layers.Activation("tanh", dtype="float32", name="image_tanh")(x)
    network = keras.Model(image, x, name=name)
    load_cyclegan_pix2pix(network, weights, authors_names(blocks) if reflect else None)
    return network


def _convolved(x, filters, size, reflect, *, name, dtype=None, **options):
    options["kernel_initializer"] = normal_kernel()
    if not reflect:
        return convolution(x, filters, size, name=name, dtype=dtype, **options)
    x = ReflectionPadding(size // 2, dtype=dtype, name=f"{name}_pad")(x)
    return convolution(x, filters, size, padding="valid", name=name, dtype=dtype, **options)


def _doubled(x, filters, *, name, **options):
    """Double the size as torch's transposed convolution of padding and output padding 1."""
    volume = len(x.shape) == 5
    options["kernel_initializer"] = normal_kernel()
    layer = keras.layers.Conv3DTranspose if volume else keras.layers.Conv2DTranspose
    x = layer(filters, 3, strides=2, padding="valid", name=name, **options)(x)  # 2H + 1
    crop = keras.layers.Cropping3D if volume else keras.layers.Cropping2D
    return crop(((1, 0),) * (len(x.shape) - 2), name=f"{name}_crop")(x)


def authors_names(blocks: int) -> dict[str, str]:
    """Name our layers as the authors' `ResnetGenerator` with reflection padding.

    Args:
        blocks: residual blocks.

    Returns:
        {our layer: prefix in a checkpoint}.
    """
    names = {}
    first = 10 + blocks
    for ours, theirs in {"stem": 1, "down0": 4, "down1": 7, "up0": first, "up1": first + 3}.items():
        names |= {f"{ours}_conv": f"model.{theirs}", f"{ours}_norm": f"model.{theirs + 1}"}
    for i in range(blocks):
        for ours, theirs in {1: 1, 2: 5}.items():
            prefix = f"model.{10 + i}.conv_block"
            names[f"block{i}_conv{ours}"] = f"{prefix}.{theirs}"
            names[f"block{i}_{ours}_norm"] = f"{prefix}.{theirs + 1}"
    return names | {"image_conv": f"model.{first + 7}"}


def _check(input_shape, outputs, blocks, filters, padding):
    if len(input_shape) not in (3, 4) or input_shape[-1] is None or input_shape[-1] < 1:
        raise ValueError(
            "`input_shape` must be (height, width, channels) or (depth, height, width, channels) "
            f"with a known number of channels; received {tuple(input_shape)}"
        )
    multiple = 2**_LEVELS
    if any(n is not None and (n % multiple or n < _LEAST) for n in input_shape[:-1]):
        raise ValueError(
            f"`input_shape` must be multiples of {multiple} from {_LEAST} on; "
            f"received {tuple(input_shape)}"
        )
    if min(blocks, filters, 1 if outputs is None else outputs) < 1:
        raise ValueError(
            "`blocks`, `filters` and `outputs` must be at least 1; received "
            f"{blocks}, {filters} and {outputs}"
        )
    if padding not in PADDINGS:
        raise ValueError(f"`padding` must be one of {PADDINGS}; received {padding!r}")
