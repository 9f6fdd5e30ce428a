"""DCGAN's generator and discriminator, 2D and 3D, with classes or without.

References:
    Radford, Metz and Chintala 2016, "Unsupervised Representation Learning with Deep Convolutional
    Generative Adversarial Networks".
    PyTorch's `examples/dcgan`, whose networks these are by default.
    Mirza and Osindero 2014, "Conditional Generative Adversarial Nets" (concatenation).
    Miyato and Koyama 2018, "cGANs with Projection Discriminator" (projection).
"""

from __future__ import annotations

import os

import keras
import numpy as np

from kmed.layers.adversarial_convolution import (
    SLOPE,
    normal_kernel,
    normal_scale,
)
from kmed.layers.normalization import normalize
from kmed.layers.one_hot import OneHot
from kmed.layers.spectral_normalization import spectrally_normalized
from kmed.weights import load

CONDITIONINGS = ("concatenation", "projection")
KERNEL_SIZES = (4, 5)
_SMALLEST, _LARGEST = 32, 256
_START = 4  # pixels of the generator's first features


def dcgan_generator(
    input_shape: tuple[int, ...] = (64, 64, 3),
    classes: int | None = None,
    *,
    latent: int = 100,
    filters: int = 64,
    kernel_size: int = 4,
    normalization: str | None = "batch",
    weights: str | os.PathLike[str] | None = None,
    name: str = "dcgan_generator",
) -> keras.Model:
    """Build DCGAN's generator.

    Its first layer, from the latent vector to features of 4x4 pixels, is dense: the same as the
    transposed convolution of one pixel in the example. With classes the class, one number in
    `classes` set to one, stands beside the latent vector, whichever way the discriminator takes
    it. Without normalisation every layer has a bias, else none.

    Reference: Radford et al. 2016, figure 1 and section 4 (kernels of 5, twice as many filters).

    Args:
        input_shape: shape of the images, (height, width, channels) or (depth, height, width,
            channels): powers of two from 32 to 256.
        classes: number of classes; None for images without.
        latent: length of the latent vector, of a standard normal distribution.
        filters: channels of the last features; twice as many at every size below.
        kernel_size: 4 (PyTorch's) or 5 (the paper's).
        normalization: "batch", "instance" or None behind every layer but the last.
        weights: None or the path of a `.weights.h5` or `.keras` file of the same network.
        name: name of the model.

    Returns:
        A functional model from "latent" `(B, latent)`, or with classes from a dictionary of
        "latent" and "labels" (int32 `(B,)`), to float32 images in [-1, 1].

    Raises:
        ValueError: if an argument is outside of what is said above.

    Example:
        >>> dcgan_generator((32, 64, 1), filters=4).output_shape
        (None, 32, 64, 1)
    """
    doublings = _doublings(input_shape)
    _check(classes, filters, kernel_size)
    if latent < 1:
        raise ValueError(f"`latent` must be at least 1; received {latent}")
    options = {"use_bias": normalization is None}

    def normalized(x, name):
        x = normalize(x, normalization, gamma_initializer=normal_scale(), name=f"{name}_norm")
        return keras.layers.Activation("relu", name=f"{name}_relu")(x)

    x = inputs = keras.Input((latent,), name="latent")
    if classes:
        labels = keras.Input((), dtype="int32", name="labels")
        inputs = {"latent": x, "labels": labels}
        x = keras.layers.Concatenate(name="join")([x, OneHot(classes, name="one_hot")(labels)])
    width = filters * 2 ** (doublings - 1)
    start = (*(size // 2**doublings for size in input_shape[:-1]), width)
    x = _dense(int(np.prod(start)), name="start", **options)(x)
    x = keras.layers.Reshape(start, name="start_reshape")(x)  # (B, 4, 4, F)
    x = normalized(x, "start")
    layer = keras.layers.Conv3DTranspose if len(start) == 4 else keras.layers.Conv2DTranspose
    options |= {"strides": 2, "padding": "same"}
    for i in range(1, doublings):
        kernel = {"kernel_initializer": normal_kernel()}
        x = layer(width // 2**i, kernel_size, name=f"up{i}_conv", **kernel, **options)(x)
        x = normalized(x, f"up{i}")
    # float32 under mixed precision too: a half-precision image has steps of 1/2048.
    options |= {"kernel_initializer": normal_kernel(), "dtype": "float32"}
    x = layer(input_shape[-1], kernel_size, name="image_conv", **options)(x)
    x = keras.layers.Activation("tanh", dtype="float32", name="image_tanh")(x)
    network = keras.Model(inputs, x, name=name)
    load(network, weights)
    return network


def dcgan_discriminator(
    input_shape: tuple[int, ...] = (64, 64, 3),
    classes: int | None = None,
    *,
    filters: int = 64,
    conditioning: str = "projection",
    kernel_size: int = 4,
    normalization: str | None = "batch",
    spectral: bool = False,
    weights: str | os.PathLike[str] | None = None,
    name: str = "dcgan_discriminator",
) -> keras.Model:
    """Build DCGAN's discriminator, or a critic with `normalization=None`.

    Without normalisation every layer has a bias, else none.

    Reference: Radford et al. 2016, section 3; PyTorch's `examples/dcgan`.

    Args:
        input_shape: (height, width, channels) or (depth, height, width, channels): powers of two
            from 32 to 256.
        classes: number of classes; None for images without.
        filters: channels of the first convolution; they double with every halving.
        conditioning: with classes, "projection" adds the inner product of the last features and
            a vector of the class to the logit; "concatenation" puts a channel for each class
            beside the image, all ones or all zeros.
        kernel_size: 4 (PyTorch's) or 5 (the paper's).
        normalization: "batch", "instance" or None behind every convolution but the first.
        spectral: bring every kernel to spectral norm 1.
        weights: None or the path of a `.weights.h5` or `.keras` file of the same network.
        name: name of the model.

    Returns:
        A functional model from "image", or with classes from a dictionary of "image" and
        "labels" (int32 `(B,)`), to float32 logits `(B, 1)`.

    Raises:
        ValueError: if an argument is outside of what is said above.

    Example:
        >>> dcgan_discriminator((32, 32, 1), classes=3, filters=4).output_shape
        (None, 1)
    """
    halvings = _doublings(input_shape)
    _check(classes, filters, kernel_size)
    if conditioning not in CONDITIONINGS:
        raise ValueError(
            f"`conditioning` must be one of {CONDITIONINGS}; received {conditioning!r}"
        )
    options = {"use_bias": normalization is None}
    wrap = spectrally_normalized if spectral else lambda layer: layer

    x = inputs = keras.Input(input_shape, name="image")
    if classes:
        labels = keras.Input((), dtype="int32", name="labels")
        inputs = {"image": x, "labels": labels}
        one_hot = OneHot(classes, name="one_hot")(labels)
        if conditioning == "concatenation":
            x = keras.layers.Concatenate(name="join")([x, _planes(one_hot, input_shape)])
    layer = keras.layers.Conv3D if len(input_shape) == 4 else keras.layers.Conv2D
    for i in range(halvings):
        kernel = {"kernel_initializer": normal_kernel(), "strides": 2, "padding": "same"}
        convolve = layer(filters * 2**i, kernel_size, name=f"down{i}_conv", **kernel, **options)
        x = wrap(convolve)(x)
        if i:
            x = normalize(x, normalization, gamma_initializer=normal_scale(), name=f"down{i}_norm")
        x = keras.layers.LeakyReLU(negative_slope=SLOPE, name=f"down{i}_relu")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    # float32 under mixed precision too: losses of half-precision logits are coarse.
    options["dtype"] = "float32"
    logits = wrap(_dense(1, name="logits", **options))(x)
    if classes and conditioning == "projection":
        options["use_bias"] = False
        scores = wrap(_dense(classes, name="projection", **options))(x)
        own = keras.layers.Dot(axes=1, dtype="float32", name="own_class")([scores, one_hot])
        logits = keras.layers.Add(dtype="float32", name="conditional_logits")([logits, own])
    network = keras.Model(inputs, logits, name=name)
    load(network, weights)
    return network


def _dense(units, **options):
    # An initializer of its own: one that layers share gives all of them the same numbers.
    return keras.layers.Dense(units, kernel_initializer=normal_kernel(), **options)


def _planes(one_hot, input_shape):
    """A channel of the image's size for each class."""
    *size, _ = input_shape
    x = keras.layers.Reshape((*(1 for _ in size), one_hot.shape[-1]), name="one_hot_pixel")(one_hot)
    layer = keras.layers.UpSampling3D if len(size) == 3 else keras.layers.UpSampling2D
    return layer(tuple(size), name="one_hot_planes")(x)


def _doublings(input_shape) -> int:
    """Doublings from 4 pixels along the shortest axis."""
    *sizes, channels = input_shape
    fit = (n is not None and _SMALLEST <= n <= _LARGEST and not n & (n - 1) for n in sizes)
    if len(sizes) not in (2, 3) or not all(fit) or channels is None or channels < 1:
        raise ValueError(
            "`input_shape` must be (height, width, channels) or (depth, height, width, channels) "
            f"with powers of two from {_SMALLEST} to {_LARGEST}; received {tuple(input_shape)}"
        )
    return (min(sizes) // _START).bit_length() - 1


def _check(classes, filters, kernel_size):
    if classes is not None and classes < 1:
        raise ValueError(f"`classes` must be None or at least 1; received {classes}")
    if filters < 1:
        raise ValueError(f"`filters` must be at least 1; received {filters}")
    if kernel_size not in KERNEL_SIZES:
        raise ValueError(f"`kernel_size` must be one of {KERNEL_SIZES}; received {kernel_size}")
