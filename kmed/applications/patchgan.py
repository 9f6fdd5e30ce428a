"""The discriminator of patches of CycleGAN and Pix2Pix, 2D and 3D.

References:
    Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks".
    Zhu et al. 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial
    Networks", section 7.2.
    Miyato et al. 2018, "Spectral Normalization for Generative Adversarial Networks".
"""

from __future__ import annotations

import os

import keras

from kmed.layers.adversarial_convolution import SLOPE, normal_scale, strided_convolution
from kmed.layers.normalization import normalize
from kmed.weights.cyclegan_pix2pix import load_cyclegan_pix2pix

_LARGEST = 8  # filters grow to this multiple of the first ones


def patchgan(
    input_shape: tuple[int | None, ...] = (256, 256, 3),
    *,
    filters: int = 64,
    layers: int = 3,
    normalization: str | None = "instance",
    spectral: bool = False,
    weights: str | os.PathLike[str] | None = None,
    name: str = "patchgan",
) -> keras.Model:
    """Build the discriminator of patches: each logit judges a square of 70 pixels.

    For Pix2Pix it takes source and image together, one behind the other along the channels, so
    that `input_shape` has the channels of both, and `normalization="batch"`. Without spectral
    normalisation it is the authors' network, layer by layer.

    Reference: Isola et al. 2017, supplement 6.1.2; Zhu et al. 2017, section 7.2.

    Args:
        input_shape: (height, width, channels) or (depth, height, width, channels); a size may be
            None. With three layers a size must be at least 24.
        filters: channels of the first convolution; they double with every layer up to eight times
            as many.
        layers: convolutions that halve the image. Patches are of 16 pixels with 1, 34 with 2, 70
            with 3, 142 with 4.
        normalization: "instance" (without scale and shift, CycleGAN's), "batch" (Pix2Pix's) or
            None, behind all convolutions but the first and the last.
        spectral: bring every kernel to spectral norm 1.
        weights: None, a checkpoint of the authors' program (`latest_net_D.pth`), or the path of a
            `.weights.h5` or `.keras` file of the same network.
        name: name of the model.

    Returns:
        A functional model of float32 logits `(B, [d,] h, w, 1)`, one for each patch: 30x30 of
        256x256 pixels.

    Raises:
        ValueError: if an argument is outside of what is said above.

    Example:
        >>> patchgan((64, 64, 2), filters=4).output_shape
        (None, 6, 6, 1)
    """
    _check(input_shape, filters, layers)
    x = image = keras.Input(input_shape, name="image")
    for i in range(layers + 1):
        width = filters * min(2**i, _LARGEST)
        bias = i == 0 or normalization != "batch"
        stride = 2 if i < layers else 1
        x = strided_convolution(
            x, width, stride=stride, use_bias=bias, spectral=spectral, name=f"conv{i}"
        )
        if i:
            x = normalize(
                x,
                normalization,
                affine=False,
                gamma_initializer=normal_scale(),
                name=f"conv{i}_norm",
            )
        x = keras.layers.LeakyReLU(negative_slope=SLOPE, name=f"conv{i}_relu")(x)
    # float32 under mixed precision too: losses of half-precision logits are coarse.
    x = strided_convolution(
        x, 1, stride=1, use_bias=True, spectral=spectral, dtype="float32", name="logits"
    )
    network = keras.Model(image, x, name=name)
    names = None if spectral else authors_names(layers)
    load_cyclegan_pix2pix(network, weights, names, heads="")
    return network


def authors_names(layers: int) -> dict[str, str]:
    """Name our layers as the authors' `NLayerDiscriminator`.

    Args:
        layers: convolutions that halve the image.

    Returns:
        {our layer: prefix in a checkpoint}.
    """
    names = {"conv0": "model.0", "logits": f"model.{3 * layers + 2}"}
    for i in range(1, layers + 1):
        names |= {f"conv{i}": f"model.{3 * i - 1}", f"conv{i}_norm": f"model.{3 * i}"}
    return names


def _check(input_shape, filters, layers):
    if len(input_shape) not in (3, 4) or input_shape[-1] is None or input_shape[-1] < 1:
        raise ValueError(
            "`input_shape` must be (height, width, channels) or (depth, height, width, channels) "
            f"with a known number of channels; received {tuple(input_shape)}"
        )
    if min(filters, layers) < 1:
        raise ValueError(
            f"`filters` and `layers` must be at least 1; received {filters} and {layers}"
        )
    least = 3 * 2**layers
    if any(size is not None and size < least for size in input_shape[:-1]):
        raise ValueError(
            f"`input_shape` must be at least 3 * 2**layers = {least} along every spatial axis; "
            f"received {tuple(input_shape)}: take fewer `layers`, whose patches are smaller"
        )
