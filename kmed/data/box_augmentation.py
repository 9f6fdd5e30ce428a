"""How far an image with boxes may be changed, and what part of it is seen then."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import tensorflow as tf

from kmed.data.augmentation import FLIPS
from kmed.data.box_crop import crop_window
from kmed.data.box_windows import part_of_window

CROPS = ("ssd", None)
_ZOOM_OUT_PROBABILITY = 0.5


@dataclass(frozen=True, kw_only=True)
class BoxAugmentation:
    """How far an image with boxes may be changed; every quantity is drawn anew for every image.

    The defaults are SSD's, on images that are normalised already. What lies outside of an image is
    filled with its mean, an object is kept if its centre is seen.

    Reference: Liu et al. 2016, "SSD", sections 2.2 and 3.6; Redmon and Farhadi 2018, "YOLOv3",
    and its reference implementation; Bochkovskiy et al. 2020, "YOLOv4", section 3.3 (mosaic).

    Attributes:
        flip: "horizontal" exchanges left and right with probability 1/2, "all" top and bottom as
            well, "none" nothing: right where left and right are different classes.
        contrast: largest relative change of contrast, either way.
        brightness: largest shift, in units of the normalised image, either way.
        noise: largest standard deviation of white noise, in units of the normalised image.
        zoom_out: with probability 1/2 the image is laid on a canvas up to so many times as wide and
            high; 1 for never.
        crop: "ssd" for a patch that overlaps an object by at least so much, see `crop_window`; or
            None.
        crop_probability: of a crop being tried.
        jitter: largest relative change of the width and of the height, each either way.
        scale: smallest and largest size of the image on the canvas, which shows a random part of
            it, or it at a random place.
        mosaic: probability that an image is put together of parts of four.
        sizes: (height, width) of which each batch has a random one; by default all have the
            images' own. For networks that take any size.
    """

    flip: str = "horizontal"
    contrast: float = 0.2
    brightness: float = 0.2
    noise: float = 0.0
    zoom_out: float = 4.0
    crop: str | None = "ssd"
    crop_probability: float = 1.0
    jitter: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    mosaic: float = 0.0
    sizes: Sequence[tuple[int, int]] = ()

    def __post_init__(self):
        if self.flip not in FLIPS:
            raise ValueError(f"`flip` must be one of {FLIPS}; received {self.flip!r}")
        if self.crop not in CROPS:
            raise ValueError(f"`crop` must be one of {CROPS}; received {self.crop!r}")
        for name in ("contrast", "brightness", "noise"):
            _check(self, name, 0, math.inf)
        for name in ("crop_probability", "mosaic"):
            _check(self, name, 0, 1)
        _check(self, "zoom_out", 1, math.inf)
        _check(self, "jitter", 0, 0.9)
        if not 0 < self.scale[0] <= self.scale[1] < math.inf:
            raise ValueError(
                "`scale` must be a smallest and a largest size above 0; received "
                f"{tuple(self.scale)}"
            )
        for size in self.sizes:
            if len(size) != 2 or min(size) < 1:
                raise ValueError(f"`sizes` must hold (height, width) pairs; received {size}")

    @classmethod
    def ssd(cls) -> BoxAugmentation:
        """Give what SSD is trained with: flips, zooming out and constrained crops."""
        return cls()

    @classmethod
    def yolo(cls, sizes: Sequence[tuple[int, int]] = ()) -> BoxAugmentation:
        """Give what YOLOv3 is trained with: flips, jitter, a quarter to twice the size."""
        return cls(zoom_out=1.0, crop=None, jitter=0.3, scale=(0.25, 2.0), sizes=sizes)

    @classmethod
    def faster_rcnn(cls) -> BoxAugmentation:
        """Give what Faster R-CNN is trained with: flips alone."""
        return cls(contrast=0.0, brightness=0.0, zoom_out=1.0, crop=None)

    @classmethod
    def off(cls) -> BoxAugmentation:
        """Give no change at all."""
        return cls(flip="none", contrast=0.0, brightness=0.0, zoom_out=1.0, crop=None)

    def scaled(self, strength: float) -> BoxAugmentation:
        """Give the same changes, each `strength` times as far or as often (0 leaves only flips).

        Args:
            strength: 0 or greater; probabilities end at 1.

        Returns:
            The other augmentation; `flip` and `sizes` are the same.
        """
        if not 0 <= strength < math.inf:
            raise ValueError(f"`strength` must be 0 or greater; received {strength}")
        return replace(
            self,
            contrast=strength * self.contrast,
            brightness=strength * self.brightness,
            noise=strength * self.noise,
            zoom_out=1 + strength * (self.zoom_out - 1),
            crop_probability=min(1.0, strength * self.crop_probability),
            jitter=min(0.9, strength * self.jitter),
            scale=(self.scale[0] ** strength, self.scale[1] ** strength),
            mosaic=min(1.0, strength * self.mosaic),
        )

    @property
    def resamples(self) -> bool:
        """Whether any image is resized or moved, not only mirrored."""
        crops = self.crop and self.crop_probability
        still = (self.zoom_out, self.jitter, *self.scale, self.mosaic) == (1, 0, 1, 1, 0)
        return bool(crops or not still or len(self.sizes))


def draw_windows(boxes, labels, size, seed, augmentation: BoxAugmentation):
    """Draw which part of each image is seen.

    Args:
        boxes: float32 `(B, M, 4)` xyxy in pixels of the images.
        labels: int32 `(B, M)`, -1 for padding.
        size: height and width of the images.
        seed: int32 tensor `(2,)`; equal seeds give equal results.
        augmentation: how far to go.

    Returns:
        float32 `(B, 4)` xyxy in pixels of the images.
    """
    seeds = tf.unstack(tf.random.split(seed, 4))
    count = tf.shape(labels)[0]
    window = tf.tile([[0.0, 0.0, float(size[1]), float(size[0])]], [count, 1])
    if augmentation.zoom_out > 1:
        window = part_of_window(window, _expanded(count, seeds[0], augmentation.zoom_out))
    if (augmentation.jitter, *augmentation.scale) != (0, 1, 1):
        part = _jittered(count, seeds[1], augmentation.jitter, augmentation.scale)
        window = part_of_window(window, part)
    if augmentation.crop and augmentation.crop_probability:
        cropped = crop_window(window, boxes, labels, seeds[2])
        tried = tf.random.stateless_uniform([count, 1], seeds[3]) < augmentation.crop_probability
        window = tf.where(tried, cropped, window)
    return window


def draw_mirrors(shape, seed, augmentation: BoxAugmentation):
    """Draw what is mirrored.

    Args:
        shape: shape of the result but for its last axis.
        seed: int32 tensor `(2,)`.
        augmentation: which flips there are.

    Returns:
        bool `(*shape, 2)`: left and right, top and bottom exchanged.
    """
    flipped = {"all": [True, True], "horizontal": [True, False], "none": [False, False]}
    coins = tf.random.stateless_uniform([*shape, 2], seed) < 0.5
    return coins & tf.constant(flipped[augmentation.flip])


def _expanded(count, seed, largest):
    """Canvas around the unit square, with the square at a random place."""
    draws = tf.random.stateless_uniform([4, count, 1], seed)
    wanted = draws[0] < _ZOOM_OUT_PROBABILITY
    ratio = tf.where(wanted, 1 + (largest - 1) * draws[1], 1.0)
    start = -tf.concat([draws[2], draws[3]], axis=-1) * (ratio - 1)
    return tf.concat([start, start + ratio], axis=-1)


def _jittered(count, seed, jitter, scale):
    """Part of the unit square, or canvas around it, for a random shape, size and place."""
    draws = tf.random.stateless_uniform([5, count], seed)
    ratio = (1 + jitter * (2 * draws[0] - 1)) / (1 + jitter * (2 * draws[1] - 1))
    longer = scale[0] + (scale[1] - scale[0]) * draws[2]
    # The longer side has the drawn size, the other is shorter.
    shape = tf.stack([tf.minimum(ratio, 1.0), tf.minimum(1 / ratio, 1.0)], axis=-1)
    size = longer[:, None] * shape  # of the image, in fractions of the canvas
    start = tf.stack([draws[3], draws[4]], axis=-1) * (1 - size)  # on the canvas
    return tf.concat([-start / size, (1 - start) / size], axis=-1)


def _check(augmentation, name, least, most):
    value = getattr(augmentation, name)
    if not least <= value <= most or not math.isfinite(value):
        limit = f"{least} or greater" if most == math.inf else f"from {least} to {most}"
        raise ValueError(f"`{name}` must be {limit}; received {value}")
