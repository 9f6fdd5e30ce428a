"""U-Net, 2D and 3D.

References:
    Ronneberger, Fischer and Brox 2015, "U-Net: Convolutional Networks for Biomedical Image
    Segmentation" (the 2D network; `padding="valid", normalization=None` is that network).
    Çiçek et al. 2016, "3D U-Net".
    Lee et al. 2015, "Deeply-Supervised Nets" (`deep_supervision`).
    He et al. 2016, "Deep Residual Learning" (`residual`).
"""

from __future__ import annotations

from collections.abc import Sequence

import keras

from kmed.layers.convolution import convolution, crop, pool, transposed_convolution
from kmed.layers.normalization import normalize

PAPER_FILTERS = (64, 128, 256, 512, 1024)


def unet(
    *,
    include_top: bool = True,
    weights: str | None = None,
    input_shape: tuple[int | None, ...] = (256, 256, 1),
    classes: int = 2,
    filters: Sequence[int] = PAPER_FILTERS,
    padding: str = "same",
    normalization: str | None = "batch",
    residual: bool = False,
    deep_supervision: bool = False,
    dropout: float = 0.0,
    name: str = "unet",
) -> keras.Model:
    """Build a U-Net.

    Reference: Ronneberger, Fischer and Brox 2015, figure 1.

    Args:
        include_top: False leaves out the 1x1 convolution to classes and gives the decoder's
            pyramid, a dictionary of P0 (full resolution), P1 (half) ... up to the bottom.
        weights: None or the path of a `.weights.h5` or `.keras` file of the same network.
        input_shape: (height, width, channels), or (depth, height, width, channels) for the 3D
            network. A size may be None; it must then be a multiple of 2**(levels-1) at run time.
        classes: number of classes, background counted (1: one sigmoid logit).
        filters: channels of each level from the top to the bottom; its length is the number of
            levels. The paper's are 64, 128, 256, 512, 1024.
        padding: "same", or the paper's "valid", whose output is smaller than its input
            (572 gives 388).
        normalization: "batch", "instance" or None (the paper's) after each 3x3 convolution.
        residual: add a shortcut around each pair of convolutions.
        deep_supervision: also give logits of the lower decoder levels, brought to full size:
            a dictionary of "logits", "logits_down1", "logits_down2" ... (not the bottom).
        dropout: rate of spatial dropout at the bottom of the network, in [0, 1).
        name: name of the model.

    Returns:
        A functional model of float32 logits `(B, [D,] H, W, classes)`.

    Raises:
        ValueError: if an argument is outside of what is said above.

    Example:
        >>> unet(input_shape=(64, 64, 1), classes=3, filters=(4, 8)).output_shape
        (None, 64, 64, 3)
    """
    _check(input_shape, classes, filters, padding, residual, deep_supervision, dropout)
    filters, bottom = list(filters), len(filters) - 1
    block = {"padding": padding, "normalization": normalization, "residual": residual}

    image = keras.Input(input_shape, name="image")
    x, skips = image, []
    for level, width in enumerate(filters):
        if level:
            x = pool(x, name=f"down{level}_pool")  # (B, H/2, W/2, C)
        x = _double_convolution(x, width, name=f"down{level}", **block)
        skips.append(x)
    if dropout:
        # Whole channels: neighbouring values of a feature map are too alike to drop singly.
        rank = len(input_shape) - 1
        layer = keras.layers.SpatialDropout3D if rank == 3 else keras.layers.SpatialDropout2D
        x = layer(dropout, name="bottom_dropout")(x)
    pyramid = {f"P{bottom}": x}
    for level in reversed(range(bottom)):
        x = transposed_convolution(x, filters[level], name=f"up{level}_upconv")  # (B, 2H, 2W, F)
        skip = skips[level]
        if padding == "valid":
            margin = 4 * (3 * 2 ** (bottom - level - 1) - 2)  # 4, 16, 40, 88 pixels
            skip = crop(skip, margin, name=f"up{level}_crop")
        x = keras.layers.Concatenate(name=f"up{level}_concat")([skip, x])
        x = _double_convolution(x, filters[level], name=f"up{level}", **block)
        pyramid[f"P{level}"] = x

    if not include_top:
        outputs = pyramid
    else:
        outputs = _logits(pyramid["P0"], classes, name="logits")
        if deep_supervision:
            outputs = {"logits": outputs}
            for level in range(1, bottom):
                outputs[f"logits_down{level}"] = _enlarged_logits(
                    pyramid[f"P{level}"], classes, 2**level, name=f"logits_down{level}"
                )
    model = keras.Model(image, outputs, name=name)
    if weights is not None:
        model.load_weights(weights)
    return model


def _double_convolution(x, width, *, padding, normalization, residual, name):
    shortcut = x
    for i in (1, 2):
        x = convolution(
            x, width, 3, padding=padding, use_bias=normalization is None, name=f"{name}_conv{i}"
        )
        x = normalize(x, normalization, name=f"{name}_norm{i}")
        if residual and i == 2:
            if shortcut.shape[-1] != width:
                shortcut = convolution(shortcut, width, 1, name=f"{name}_shortcut")
            x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
        x = keras.layers.Activation("relu", name=f"{name}_relu{i}")(x)
    return x


def _logits(x, classes, *, name):
    # float32 under mixed precision too: a softmax of half-precision logits loses small classes.
    return convolution(x, classes, 1, dtype="float32", name=name)


def _enlarged_logits(x, classes, factor, *, name):
    x = _logits(x, classes, name=f"{name}_small")
    rank = len(x.shape) - 2
    layer = keras.layers.UpSampling3D if rank == 3 else keras.layers.UpSampling2D
    return layer(factor, dtype="float32", name=name)(x)


def _check(input_shape, classes, filters, padding, residual, deep_supervision, dropout):
    if len(input_shape) not in (3, 4) or input_shape[-1] is None:
        raise ValueError(
            "`input_shape` must be (height, width, channels) or (depth, height, width, channels) "
            f"with a known number of channels; received {tuple(input_shape)}"
        )
    if classes < 1:
        raise ValueError(f"`classes` must be at least 1; received {classes}")
    if len(filters) < 2 or min(filters) < 1:
        raise ValueError(
            "`filters` must name at least two levels of one channel or more; "
            f"received {tuple(filters)}"
        )
    if not 0 <= dropout < 1:
        raise ValueError(f"`dropout` must be in [0, 1); received {dropout}")
    levels = len(filters)
    sizes = [size for size in input_shape[:-1] if size is not None]
    if padding == "same":
        multiple = 2 ** (levels - 1)
        if any(size < 1 or size % multiple for size in sizes):
            raise ValueError(
                f"`input_shape` must be divisible by 2**(levels-1) = {multiple}; "
                f"received {tuple(input_shape)} with {levels} levels in `filters`"
            )
    elif padding == "valid":
        if residual or deep_supervision:
            raise ValueError(
                '`residual` and `deep_supervision` need padding="same"; received padding="valid"'
            )
        smallest, step = valid_input_size(1, levels), 2 ** (levels - 1)
        for size in sizes:
            nearest = max(smallest, size + (smallest - size) % step)
            if size != nearest:
                raise ValueError(
                    f"`input_shape` {tuple(input_shape)} does not fit the valid convolutions of "
                    f"{levels} levels: {size} is cut unevenly by a pooling; the next size that "
                    f"fits is {nearest}"
                )
    else:
        raise ValueError(f'`padding` must be "same" or "valid"; received {padding!r}')


def valid_output_size(size: int, levels: int = 5) -> int:
    """Output size of the paper's network (valid convolutions) for an input size.

    Reference: Ronneberger, Fischer and Brox 2015, figure 1: 572 gives 388.

    Args:
        size: input size along one axis, in pixels.
        levels: number of levels, the bottom counted.

    Returns:
        The output size; it may be negative where the input is too small.

    Example:
        >>> valid_output_size(572)
        388
    """
    for _ in range(levels - 1):
        size = (size - 4) // 2
    size -= 4
    for _ in range(levels - 1):
        size = 2 * size - 4
    return size


def valid_input_size(output_size: int, levels: int = 5) -> int:
    """Smallest input size that fits the paper's network and covers an output size.

    Reference: Ronneberger, Fischer and Brox 2015, section 2: the input size must make every
    pooling act on an even size.

    Args:
        output_size: wanted output size along one axis, in pixels; the fitting output may be larger.
        levels: number of levels, the bottom counted.

    Returns:
        The input size along that axis.

    Example:
        >>> valid_input_size(388), valid_output_size(valid_input_size(389))
        (572, 404)
    """
    scale = 2 ** (levels - 1)
    lost = 4 * (scale - 1)  # by the two 3x3 convolutions of each decoder level, at full size
    bottom = max(1, -(-(output_size + lost) // scale))  # size after the bottom's convolutions
    size = bottom + 4
    for _ in range(levels - 1):
        size = 2 * size + 4
    return size
