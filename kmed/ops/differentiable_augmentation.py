"""Changes of images that a discriminator sees, through which the generator's gradients pass."""

from __future__ import annotations

import math
from collections.abc import Sequence

from keras import ops

from kmed.ops.distances import at_least_float32

DRAWS = 8
POLICIES = ("brightness", "saturation", "contrast", "translation", "cutout")

_SHIFT = 0.125
_CUT = 0.5


def differentiable_augmentation(images, draws, policy: Sequence[str] = POLICIES):
    """Change real and generated images alike, so that few real ones are not learnt by heart.

    In the order of the policy: "brightness" adds up to half a unit; "saturation" brings the
    channels nearer to their mean (and does nothing to one channel) or up to twice as far from
    it; "contrast" multiplies the distance from the image's mean by 0.5 to 1.5; "translation"
    moves by whole pixels, up to an eighth of each axis, and fills with 0; "cutout" sets a box of
    half of each axis to 0, the middle of the range, whose center may be anywhere.

    Nothing is drawn here: an example's change is a function of its own numbers, so that replicas
    which draw what one would draw change images as one would.

    Reference:
        Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training", section
        3.2 and the ranges of its program.

    Args:
        images: `(B, [D,] H, W, C)` float, in [-1, 1].
        draws: `(B, 8)` uniform numbers in [0, 1]: brightness, saturation, contrast, translation
            (3) and cutout (2). The third axis of a volume's cutout takes what translation leaves
            of its last number.
        policy: which of `POLICIES`, none twice.

    Returns:
        Like `images`; may leave [-1, 1].

    Raises:
        ValueError: for an unknown or repeated name, or shapes other than these.

    Example:
        >>> half = ops.full((1, 8), 0.5)
        >>> image = ops.reshape(ops.arange(4.0), (1, 2, 2, 1))
        >>> same = differentiable_augmentation(image, half, ("brightness", "translation"))
        >>> same[0, ..., 0].numpy().tolist()
        [[0.0, 1.0], [2.0, 3.0]]
    """
    check_policy(policy)
    images, draws = ops.convert_to_tensor(images), ops.convert_to_tensor(draws)
    rank = len(images.shape) - 2
    if rank not in (2, 3) or len(draws.shape) != 2 or draws.shape[1] != DRAWS:
        raise ValueError(
            f"augmentation needs images (B, [D,] H, W, C) and draws (B, {DRAWS}); received "
            f"{tuple(images.shape)} and {tuple(draws.shape)}"
        )
    x = at_least_float32(images)
    draws = ops.cast(draws, x.dtype)
    # One number per example, to be broadcast over its voxels.
    numbers = [ops.reshape(draws[:, i], (-1, *(1,) * (rank + 1))) for i in range(3)]
    everywhere, channels = tuple(range(1, rank + 2)), -1
    for name in policy:
        if name == "brightness":
            x = x + (numbers[0] - 0.5)
        elif name == "saturation":
            x = _away(x, channels, 2.0 * numbers[1])
        elif name == "contrast":
            x = _away(x, everywhere, numbers[2] + 0.5)
        elif name == "translation":
            x = _translated(x, draws[:, 3 : 3 + rank])
        else:
            left = _left(draws[:, 5], images) if rank == 3 else None
            places = draws[:, 6:]
            if left is not None:
                places = ops.concatenate([places, left[:, None]], axis=1)
            x = _cut(x, places)
    return ops.cast(x, images.dtype)


def check_policy(policy: Sequence[str]) -> None:
    """Refuse names that are unknown, or given twice.

    Args:
        policy: names.

    Raises:
        ValueError: for such a name, or for a string in place of several.
    """
    names = [policy] if isinstance(policy, str) else list(policy)
    if isinstance(policy, str) or set(names) - set(POLICIES) or len(set(names)) < len(names):
        raise ValueError(
            f"augmentation must be a sequence of some of {POLICIES}, none twice; "
            f"received {policy!r}"
        )


def _away(x, axis, factor):
    """Multiply the distance from the mean over axes."""
    mean = ops.mean(x, axis=axis, keepdims=True)
    return (x - mean) * factor + mean


def _reach(size):
    """How far an axis may be moved, and the number of moves."""
    reach = _rounded(size, _SHIFT)
    return reach, 2 * reach + 1


def _rounded(size, share):
    """A share of a size that may be unknown until run time, rounded half up."""
    if isinstance(size, int):
        return math.floor(size * share + 0.5)
    return ops.cast(ops.floor(ops.cast(size, "float32") * share + 0.5), "int32")


def _whole(number, count):
    """A whole number in [0, count) from one in [0, 1]."""
    scaled = ops.floor(number * ops.cast(count, number.dtype))
    return ops.minimum(ops.cast(scaled, "int32"), count - 1)


def _left(number, images):
    """What is left of the number that chose a translation along the last axis: uniform again."""
    _, count = _reach(ops.shape(images)[-2])
    scaled = number * ops.cast(count, number.dtype)
    return scaled - ops.cast(_whole(number, count), number.dtype)


def _translated(x, draws):
    """Move by whole pixels: one gather of the flattened batch."""
    shape = ops.shape(x)
    batch, sizes, channels = shape[0], shape[1:-1], shape[-1]
    flat, inside = ops.arange(batch, dtype="int32"), True
    flat = ops.reshape(flat, (-1, *(1,) * len(sizes)))
    for axis, size in enumerate(sizes):
        reach, count = _reach(size)
        shift = _whole(draws[:, axis], count) - reach
        place = ops.arange(size, dtype="int32") + shift[:, None]  # (B, size)
        form = [-1, *(1,) * len(sizes)]
        form[axis + 1] = size
        place = ops.reshape(place, form)
        inside = inside & (place >= 0) & (place < size)
        flat = flat * size + ops.clip(place, 0, size - 1)
    found = ops.take(ops.reshape(x, (-1, channels)), ops.reshape(flat, (-1,)), axis=0)
    return ops.where(inside[..., None], ops.reshape(found, shape), ops.zeros((), x.dtype))


def _cut(x, draws):
    """Set a box to 0."""
    sizes = ops.shape(x)[1:-1]
    inside = True
    for axis, size in enumerate(sizes):
        extent = _rounded(size, _CUT)
        center = _whole(draws[:, axis], size + (1 - extent % 2))
        first = (center - extent // 2)[:, None]
        place = ops.arange(size, dtype="int32")[None]
        form = [-1, *(1,) * (len(sizes) + 1)]
        form[axis + 1] = size
        inside = inside & ops.reshape((place >= first) & (place < first + extent), form)
    return ops.where(inside, ops.zeros((), x.dtype), x)
