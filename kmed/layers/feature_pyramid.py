"""Feature pyramid network: levels of one width that all see the coarsest one."""

from __future__ import annotations

from collections.abc import Mapping

import keras

from kmed.layers.convolution import convolution

# Torch's kaiming_uniform_(a=1): variance 1 / fan in.
_INITIALIZER = "lecun_uniform"


def feature_pyramid(
    levels: Mapping[str, keras.KerasTensor],
    channels: int = 256,
    *,
    name: str = "fpn",
) -> dict[str, keras.KerasTensor]:
    """Bring levels to one number of channels, each joined with the enlarged next coarser one.

    1x1 convolutions, the coarser level enlarged by nearest neighbours and added, 3x3 convolutions;
    no normalisation and no activation. Levels need strides that double, sizes need not be even.

    Reference: Lin et al. 2017, "Feature Pyramid Networks for Object Detection", section 3.

    Args:
        levels: tensors `(B, H, W, C)` by name, from fine to coarse, with known sizes.
        channels: of every level of the result.
        name: prefix of the layers: `{name}_{level}_inner` and `{name}_{level}_output`.

    Returns:
        Tensors `(B, H, W, channels)` by the same names.

    Raises:
        ValueError: if a level is not half as large as the one before.

    Example:
        >>> image = keras.Input((7, 8, 3))
        >>> half = keras.layers.MaxPooling2D(padding="same")(image)
        >>> tuple(feature_pyramid({"P0": image, "P1": half}, 4)["P0"].shape)
        (None, 7, 8, 4)
    """
    result, above = {}, None
    for level in sorted(levels, key=list(levels).index, reverse=True):
        key = f"{name}_{level.lower()}"
        x = convolution(
            levels[level], channels, 1, kernel_initializer=_INITIALIZER, name=f"{key}_inner"
        )
        if above is not None:
            x = keras.layers.Add(name=f"{key}_add")([x, _enlarge(above, x, key)])
        above = x
        x = convolution(x, channels, 3, kernel_initializer=_INITIALIZER, name=f"{key}_output")
        result[level] = x
    return {level: result[level] for level in levels}


def _enlarge(above, fine, key):
    size, coarse = fine.shape[1:3], above.shape[1:3]
    if any((n + 1) // 2 != m for n, m in zip(size, coarse, strict=True)):
        raise ValueError(
            f"a pyramid needs levels of half the size of the one before; received {tuple(coarse)} "
            f"after {tuple(size)}"
        )
    x = keras.layers.UpSampling2D(2, name=f"{key}_enlarge")(above)
    margin = [(0, 2 * m - n) for n, m in zip(size, coarse, strict=True)]
    if any(after for _, after in margin):
        x = keras.layers.Cropping2D(margin, name=f"{key}_crop")(x)
    return x
