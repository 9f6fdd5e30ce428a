"""Convolution, transposed convolution, pooling and cropping whose rank follows the tensor's."""

from __future__ import annotations

import keras


def convolution(x, filters: int, size: int, *, name: str, **options):
    """Convolve with a square or cubic kernel, initialised as in He et al. 2015.

    Args:
        x: tensor `(B, H, W, C)` or `(B, D, H, W, C)`.
        filters: number of output channels.
        size: kernel size along every spatial axis.
        name: the layer's name, part of the checkpoint's contract.
        **options: further arguments of `keras.layers.Conv2D` or `Conv3D`, which refuse what
            they do not know.

    Returns:
        A tensor of `filters` channels.
    """
    layer = keras.layers.Conv3D if len(x.shape) == 5 else keras.layers.Conv2D
    options = {"padding": "same", "kernel_initializer": "he_normal"} | options
    return layer(filters, size, name=name, **options)(x)


def transposed_convolution(x, filters: int, *, name: str):
    """Double the size of every spatial axis by a 2x2 (2x2x2) transposed convolution.

    Reference: Ronneberger, Fischer and Brox 2015, "up-convolution".

    Args:
        x: tensor `(B, H, W, C)` or `(B, D, H, W, C)`.
        filters: number of output channels.
        name: the layer's name, part of the checkpoint's contract.

    Returns:
        A tensor `(B, 2H, 2W, filters)` or `(B, 2D, 2H, 2W, filters)`.
    """
    layer = keras.layers.Conv3DTranspose if len(x.shape) == 5 else keras.layers.Conv2DTranspose
    return layer(filters, 2, strides=2, kernel_initializer="he_normal", name=name)(x)


def pool(x, *, name: str):
    """Halve the size of every spatial axis by its maximum.

    Args:
        x: tensor `(B, H, W, C)` or `(B, D, H, W, C)`.
        name: the layer's name.

    Returns:
        A tensor `(B, H/2, W/2, C)` or `(B, D/2, H/2, W/2, C)`.
    """
    layer = keras.layers.MaxPooling3D if len(x.shape) == 5 else keras.layers.MaxPooling2D
    return layer(2, name=name)(x)


def crop(x, margin: int, *, name: str):
    """Cut the same margin from both ends of every spatial axis.

    Args:
        x: tensor `(B, H, W, C)` or `(B, D, H, W, C)`.
        margin: what is cut from each end, in pixels.
        name: the layer's name.

    Returns:
        A tensor smaller by `2 * margin` along every spatial axis.
    """
    layer = keras.layers.Cropping3D if len(x.shape) == 5 else keras.layers.Cropping2D
    return layer(margin, name=name)(x)
