"""The first convolution: other channels than RGB, and another normalisation than it was trained on.

Foreign weights expect colours in their own scale, and `kmed.preprocessors.rgb` gives [-1, 1]. The
difference is one scale and one offset for each channel, and a convolution is linear: both go into
its kernel and bias. That is exact wherever the kernel sees the image. Where it sees the padding,
zeros, it is not: a padded zero stood for the mean colour, and stands now for the middle of the
range, 127.5, which is 4 (red), 11 (green) and 24 (blue) of 255 steps away from it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

RGB = 3
MIDDLE = 127.5  # `kmed.preprocessors.rgb` gives value / 127.5 - 1


class Normalization(NamedTuple):
    """What a network was trained on: `(value - mean) / deviation` of 8 bit colour, 0 to 255.

    Args:
        mean: of red, green and blue, 0 to 255.
        deviation: of red, green and blue, 0 to 255.
        bgr: whether its channels are blue, green, red.
    """

    mean: tuple[float, float, float]
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)
    bgr: bool = False


# torchvision: mean 0.485, 0.456, 0.406 and deviation 0.229, 0.224, 0.225 of values from 0 to 1.
TORCHVISION = Normalization((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
# keras.applications' mode "caffe" (VGG, ResNet version 1): no scaling.
CAFFE = Normalization((123.68, 116.779, 103.939), bgr=True)


def fold_normalization(
    kernel: np.ndarray, normalization: Normalization
) -> tuple[np.ndarray, np.ndarray]:
    """Make a kernel that takes what `kmed.preprocessors.rgb` gives from one trained otherwise.

    Args:
        kernel: `(..., 3, filters)`, trained on inputs of the normalisation.
        normalization: what the kernel expects.

    Returns:
        The kernel for RGB in [-1, 1], and what its bias grows by, `(filters,)`.

    Example:
        >>> kernel = np.ones((1, 1, 3, 1), "float32")
        >>> folded, shift = fold_normalization(kernel, CAFFE)
        >>> folded.ravel().tolist()
        [127.5, 127.5, 127.5]
        >>> round(float(shift[0]), 3)  # 3 * 127.5 - 123.68 - 116.779 - 103.939
        38.102
    """
    mean, deviation = np.asarray(normalization.mean), np.asarray(normalization.deviation)
    exact = kernel.astype("float64")
    if normalization.bgr:
        exact = exact[..., ::-1, :]
    # (127.5 * (u + 1) - mean) / deviation  for an input u in [-1, 1]
    shift = (
        (exact * ((MIDDLE - mean) / deviation)[:, None]).reshape(-1, exact.shape[-1]).sum(axis=0)
    )
    folded = exact * (MIDDLE / deviation)[:, None]
    return folded.astype("float32"), shift.astype("float32")


def adapt_channels(kernel: np.ndarray, channels: int) -> np.ndarray:
    """Make a kernel for any number of channels from one for RGB.

    Every channel gets the sum over red, green and blue, divided by the number of channels: an
    image that repeats one grey channel gives what it gave as grey RGB, whatever the number.

    Args:
        kernel: `(..., 3, filters)`.
        channels: channels of the image that the new kernel takes.

    Returns:
        A kernel `(..., channels, filters)`.

    Example:
        >>> adapt_channels(np.ones((1, 1, 3, 1), "float32"), 2).ravel().tolist()
        [1.5, 1.5]
    """
    grey = kernel.astype("float64").sum(axis=-2, keepdims=True) / channels
    return np.repeat(grey, channels, axis=-2).astype("float32")
