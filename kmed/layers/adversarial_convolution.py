"""What the first GANs' networks share: how weights start, and convolutions of size 4."""

from __future__ import annotations

import keras

from kmed.layers.spectral_normalization import spectrally_normalized

SLOPE = 0.2  # of LeakyReLU
_DEVIATION = 0.02
_SIZE, _PADDING = 4, 1


def normal_kernel() -> keras.initializers.Initializer:
    """Start kernels as N(0, 0.02).

    Every layer needs one of its own: Keras' initializers give equal numbers at every call.

    Reference: Radford, Metz and Chintala 2016, section 4; the authors of CycleGAN too.
    """
    return keras.initializers.RandomNormal(0.0, _DEVIATION)


def normal_scale() -> keras.initializers.Initializer:
    """Start scales of normalisations as N(1, 0.02).

    Reference: PyTorch's `examples/dcgan`; the authors of CycleGAN too.
    """
    return keras.initializers.RandomNormal(1.0, _DEVIATION)


def strided_convolution(
    x, filters: int, *, stride: int, spectral: bool = False, name: str, **options
):
    """Convolve with a kernel of size 4 and one zero at each end of every spatial axis, as torch.

    Args:
        x: tensor `(B, H, W, C)` or `(B, D, H, W, C)`.
        filters: number of output channels.
        stride: step along every spatial axis.
        spectral: bring the kernel to spectral norm 1.
        name: the layer's name; a padding that is a layer of its own is called `{name}_pad`.
        **options: further arguments of `keras.layers.Conv2D` or `Conv3D`.

    Returns:
        A tensor `(B, (H - 2) // stride + 1, ..., filters)`.
    """
    volume = len(x.shape) == 5
    padding = "same"
    # Keras' own padding of even sizes is one at each end, and costs no copy of the image.
    if stride != 2 or any(size is None or size % 2 for size in x.shape[1:-1]):
        pad = keras.layers.ZeroPadding3D if volume else keras.layers.ZeroPadding2D
        x, padding = pad(_PADDING, name=f"{name}_pad")(x), "valid"
    options = {"kernel_initializer": normal_kernel()} | options
    kind = keras.layers.Conv3D if volume else keras.layers.Conv2D
    layer = kind(filters, _SIZE, strides=stride, padding=padding, name=name, **options)
    return (spectrally_normalized(layer) if spectral else layer)(x)
