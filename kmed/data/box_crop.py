"""The random crop of SSD: a patch that overlaps an object by at least so much."""

from __future__ import annotations

import math

import tensorflow as tf

from kmed.data.box_windows import part_of_window
from kmed.ops.boxes import iou

# What the best overlap of an object with a patch may be at least; 0 takes any patch.
OVERLAPS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)
_TRIALS = 50  # per constraint, as the authors' code
_SMALLEST = 0.3  # square root of the smallest patch's share of the image: 0.1 in the paper
_ASPECTS = (0.5, 2.0)


def crop_window(window, boxes, labels, seed):
    """Draw a patch of each window with SSD's constraints on the overlap.

    Of 50 patches of random size, shape and place, the first that fits is taken for each of six
    constraints: the intersection over union with one object at least is 0, 0.1, 0.3, 0.5, 0.7 or
    0.9, and the centre of one object at least lies inside. One of those found, or else the whole
    window, is then chosen with equal probability, as in the authors' code. In an image without
    objects, every patch fits.

    Reference: Liu et al. 2016, "SSD: Single Shot MultiBox Detector", section 2.2, data
    augmentation.

    Args:
        window: float32 `(B, 4)` xyxy in pixels of the image.
        boxes: float32 `(B, M, 4)` xyxy in pixels of the image.
        labels: int32 `(B, M)`, -1 for padding.
        seed: int32 tensor `(2,)`.

    Returns:
        float32 `(B, 4)` xyxy in pixels of the image.
    """
    drawing, choosing = tf.unstack(tf.random.split(seed, 2))
    patches = _patches(tf.shape(window)[0], drawing)  # (B, T, 4) in fractions of the window
    patches = part_of_window(window[:, None], patches)
    fits = _fits(patches, boxes, labels)  # (B, 6, T)
    found = tf.reduce_any(fits, axis=-1)  # (B, 6)
    first = tf.argmax(tf.cast(fits, tf.int32), axis=-1)  # (B, 6)
    options = tf.concat([window[:, None], tf.gather(patches, first, batch_dims=1)], axis=1)
    possible = tf.concat([tf.ones_like(found[:, :1]), found], axis=1)  # (B, 7)
    lots = tf.random.stateless_uniform(tf.shape(possible), choosing)
    chosen = tf.argmax(tf.where(possible, lots, -1.0), axis=-1)
    return tf.gather(options, chosen, batch_dims=1)


def _patches(count, seed):
    """Draw patches inside of the unit square, log-uniform in shape: neither way is preferred."""
    draws = tf.random.stateless_uniform([4, count, _TRIALS], seed)
    side = _SMALLEST + (1 - _SMALLEST) * draws[0]
    # A larger patch can't be as narrow: its longer side ends at the image's.
    widest = tf.minimum(math.log(_ASPECTS[1]), -2 * tf.math.log(side))
    narrowest = tf.maximum(math.log(_ASPECTS[0]), 2 * tf.math.log(side))
    stretch = tf.exp((narrowest + (widest - narrowest) * draws[1]) / 2)
    size = tf.stack([side * stretch, side / stretch], axis=-1)  # (B, T, 2)
    start = tf.stack([draws[2], draws[3]], axis=-1) * (1 - size)
    return tf.concat([start, start + size], axis=-1)


def _fits(patches, boxes, labels):
    """Whether each patch satisfies each constraint, `(B, 6, T)`."""
    real = (labels >= 0)[:, None]  # (B, 1, M)
    overlap = tf.where(real, iou(patches, boxes), -1.0)  # (B, T, M)
    centre = ((boxes[..., :2] + boxes[..., 2:]) / 2)[:, None]  # (B, 1, M, 2)
    lower, upper = patches[:, :, None, :2], patches[:, :, None, 2:]
    inside = tf.reduce_all((centre > lower) & (centre < upper), axis=-1) & real
    limits = tf.constant(OVERLAPS)[None, :, None]
    fits = (tf.reduce_max(overlap, axis=-1)[:, None] >= limits) & (
        tf.reduce_any(inside, axis=-1)[:, None]
    )
    return fits | ~tf.reduce_any(real, axis=-1)[:, None]
