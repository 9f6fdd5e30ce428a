"""Random deformation and intensity change of an image, with its mask, inside tf.data."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import keras
import tensorflow as tf

FLIPS = ("all", "horizontal", "none")


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How far an image may be changed; every quantity is drawn anew for every image.

    Reference: Ronneberger, Fischer and Brox 2015, section 3.1 (elastic deformation by random
    displacements on a coarse grid); Isensee et al. 2021, supplementary note 4 (the rest).

    Attributes:
        flip: "all" mirrors each spatial axis with probability 1/2, "horizontal" only the last
            (left and right), "none" nothing: right where left and right are different classes.
        rotation_degrees: largest rotation in the plane of the last two axes, either way.
        zoom: largest relative change of size, either way.
        shift: largest move along each spatial axis, as a fraction of the image, either way.
        elastic: standard deviation of the displacement of a node, as a fraction of the image.
        elastic_nodes: nodes of the coarse grid along each axis.
        contrast: largest relative change of contrast, either way.
        brightness: largest shift, in units of the normalised image, either way.
        noise: largest standard deviation of white noise, in units of the normalised image.
    """

    flip: str = "all"
    rotation_degrees: float = 15.0
    zoom: float = 0.15
    elastic: float = 0.02
    elastic_nodes: int = 5
    contrast: float = 0.2
    brightness: float = 0.2
    noise: float = 0.1
    shift: float = 0.0

    def __post_init__(self):
        if self.flip not in FLIPS:
            raise ValueError(f"`flip` must be one of {FLIPS}; received {self.flip!r}")
        for field in fields(self)[1:]:
            value = getattr(self, field.name)
            if value < 0 or not math.isfinite(value):
                raise ValueError(f"`{field.name}` must be 0 or greater; received {value}")
        if self.zoom >= 1:
            raise ValueError(f"`zoom` must be less than 1; received {self.zoom}")
        if self.elastic_nodes < 2:
            raise ValueError(f"`elastic_nodes` must be at least 2; received {self.elastic_nodes}")

    def scaled(self, strength: float) -> Augmentation:
        """Give the same changes, each `strength` times as far (0 leaves only the flips)."""
        amounts = ("rotation_degrees", "zoom", "shift", "elastic")
        amounts += ("contrast", "brightness", "noise")
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return Augmentation(**values | {name: strength * values[name] for name in amounts})


def augment(image, mask, weight, seed, augmentation: Augmentation):
    """Deform an image, its mask and its weight map alike and change the image's intensities.

    Args:
        image: float32 tensor `(H, W, C)` or `(D, H, W, C)` with a known rank, normalised.
        mask: integer tensor `(H, W)` or `(D, H, W)`, sampled by nearest neighbour, or None.
        weight: float32 tensor of the mask's shape, sampled linearly, or None.
        seed: int32 tensor `(2,)`; equal seeds give equal results.
        augmentation: how far to go.

    Returns:
        Image, mask and weight of unchanged shapes and types; None where there was none.
    """
    geometry, intensity = tf.unstack(tf.random.split(seed, 2))
    shape = tf.shape(image)[:-1]
    where = _coordinates(shape, image.shape.rank - 1, geometry, augmentation)  # (rank, [D,] H, W)
    channels = tf.unstack(image, num=image.shape[-1], axis=-1)
    warped = [_sample(channel, where, order=1) for channel in channels]
    result = change_intensity(tf.stack(warped, axis=-1), intensity, augmentation)
    if mask is not None:
        labels = tf.cast(_sample(tf.cast(mask, tf.float32), where, order=0), mask.dtype)
        mask = tf.ensure_shape(labels, mask.shape)
    if weight is not None:
        weight = tf.ensure_shape(_sample(weight, where, order=1), weight.shape)
    return tf.ensure_shape(result, image.shape), mask, weight


def _sample(values, where, *, order):
    return keras.ops.image.map_coordinates(values, where, order=order, fill_mode="nearest")


def _coordinates(shape, rank, seed, augmentation):
    """Where each output pixel is read from: flip, then rotate, zoom and shift, then displace."""
    seeds = tf.unstack(tf.random.split(seed, 4))
    size = tf.cast(shape, tf.float32)
    axes = [tf.range(size[axis]) - (size[axis] - 1) / 2 for axis in range(rank)]  # from the centre
    flipped = {"all": range(rank), "horizontal": [rank - 1], "none": []}[augmentation.flip]
    signs = tf.cast(tf.random.stateless_uniform([rank], seeds[0]) < 0.5, tf.float32) * 2 - 1
    for i in flipped:
        axes[i] = axes[i] * signs[i]
    grid = tf.meshgrid(*axes, indexing="ij")
    angle = _between(seeds[1], math.radians(augmentation.rotation_degrees))
    # One factor for all axes: a changed aspect ratio is a changed anatomy.
    factor = tf.exp(_between(seeds[2], -math.log1p(-augmentation.zoom)))
    row, column = grid[-2], grid[-1]
    grid[-2] = tf.cos(angle) * row - tf.sin(angle) * column
    grid[-1] = tf.sin(angle) * row + tf.cos(angle) * column
    where = tf.stack([factor * axis for axis in grid])
    if augmentation.elastic:
        field = _smooth_field(seeds[3], augmentation.elastic_nodes, shape, rank)
        where += augmentation.elastic * field
    centre = (size - 1) / 2
    if augmentation.shift:
        limit = augmentation.shift
        moved = tf.random.stateless_uniform([rank], tf.random.fold_in(seed, 4), -limit, limit)
        centre += moved * size
    return where + tf.reshape(centre, [rank] + [1] * rank)


def _smooth_field(seed, nodes, shape, rank):
    """Displacements in pixels `(rank, [D,] H, W)`: unit normal on the nodes, bicubic between."""
    field = tf.random.stateless_normal([nodes] * rank + [rank], seed)
    size = tf.cast(shape, tf.float32)
    if rank == 2:
        field = tf.image.resize(field, shape, "bicubic")  # (H, W, 2)
    else:
        field = tf.image.resize(field, shape[1:], "bicubic")  # (nodes, H, W, 3)
        flat = tf.reshape(field, [nodes, shape[1] * shape[2], 3])
        flat = tf.image.resize(flat, [shape[0], shape[1] * shape[2]], "bicubic")
        field = tf.reshape(flat, [shape[0], shape[1], shape[2], 3])  # (D, H, W, 3)
    return tf.stack([field[..., axis] * size[axis] for axis in range(rank)])


def change_intensity(image, seed, augmentation):
    """Change the contrast and the brightness of an image and add noise.

    Args:
        image: float32 tensor of any shape, normalised.
        seed: int32 tensor `(2,)`; equal seeds give equal results.
        augmentation: how far to go, in its `contrast`, `brightness` and `noise`.

    Returns:
        float32 tensor of the same shape.
    """
    seeds = tf.unstack(tf.random.split(seed, 4))
    image = image * (1 + _between(seeds[0], augmentation.contrast))
    image = image + _between(seeds[1], augmentation.brightness)
    if augmentation.noise:
        deviation = augmentation.noise * tf.random.stateless_uniform([], seeds[2])
        image = image + deviation * tf.random.stateless_normal(tf.shape(image), seeds[3])
    return image


def _between(seed, limit):
    return tf.random.stateless_uniform([], seed, -1.0, 1.0) * limit
