"""Convolution and pooling that pad both ends of an axis alike, whatever the stride and the size.

Keras' `padding="same"` pads a strided window by what is left over, so that it depends on the size
of the image (even 224: nothing before and one pixel after). Torch, Caffe and Darknet pad both ends
by a fixed number; networks whose weights come from there shift by half a pixel if they are padded
otherwise.
"""

from __future__ import annotations

import keras

from kmed.layers.convolution import convolution


def padded_convolution(
    x, filters: int, size: int, *, stride: int = 1, padding: int | None = None, name: str, **options
):
    """Convolve an image with zeros at each end of every spatial axis.

    Args:
        x: tensor `(B, H, W, C)` or `(B, D, H, W, C)`.
        filters: number of output channels.
        size: odd kernel size along every spatial axis.
        stride: step along every spatial axis.
        padding: zeros at each end; by default `dilation * (size - 1) / 2`, which gives
            `ceil(H / stride)`.
        name: the layer's name; a padding that is a layer of its own is called `{name}_pad`.
        **options: further arguments of `keras.layers.Conv2D` or `Conv3D`.

    Returns:
        A tensor `(B, (H + 2 padding - size) // stride + 1, ..., filters)` (without dilation).
    """
    full = options.get("dilation_rate", 1) * (size - 1) // 2
    if stride == 1 and padding in (None, full):  # "same" is symmetric then
        return convolution(x, filters, size, name=name, **options)
    x = _pad(x, full if padding is None else padding, name=f"{name}_pad")
    return convolution(x, filters, size, strides=stride, padding="valid", name=name, **options)


def padded_pool(x, size: int, *, stride: int, padding: int = 0, name: str):
    """Maximum over windows of an image with `padding` zeros at each end, the rest cut off.

    Where `x` is not negative, as after a ReLU, this is Torch's `MaxPool2d`.

    Args:
        x: tensor `(B, H, W, C)` or `(B, D, H, W, C)`.
        size: window along every spatial axis.
        stride: step along every spatial axis.
        padding: zeros at each end of every spatial axis.
        name: the layer's name; the padding, where there is one, is called `{name}_pad`.

    Returns:
        A tensor `(B, (H + 2 padding - size) // stride + 1, ..., C)`.
    """
    x = _pad(x, padding, name=f"{name}_pad")
    layer = keras.layers.MaxPooling3D if len(x.shape) == 5 else keras.layers.MaxPooling2D
    return layer(size, strides=stride, name=name)(x)


def _pad(x, margin, *, name):
    if not margin:
        return x
    layer = keras.layers.ZeroPadding3D if len(x.shape) == 5 else keras.layers.ZeroPadding2D
    return layer(margin, name=name)(x)
