"""Mosaic: one image of parts of four, so that objects come in other surroundings and sizes."""

from __future__ import annotations

import tensorflow as tf

_NEAREST = 0.25  # how near to the edge of the image the parts may meet


def draw_mosaic(count, size, shown, seed):
    """Draw where four images meet, and which part of each is seen.

    Each image fills its corner. Its objects are at most as large as in the image itself, and at
    least as small as they are when the whole image just covers the corner, with equal
    probability of every scale between.

    Reference: Bochkovskiy et al. 2020, "YOLOv4", section 3.3. There, images are cut at their full
    size; here they may be smaller, so that less of them is lost.

    Args:
        count: number of mosaics B.
        size: height and width of the images.
        shown: int32 `(2,)`: height and width of the mosaics.
        seed: int32 tensor `(2,)`; equal seeds give equal results.

    Returns:
        What is seen of each image, float32 `(B, 4, 4)` xyxy in its pixels, and the corner that it
        fills, `(B, 4, 4)` xyxy in whole pixels of the mosaic: top left, top right, bottom left,
        bottom right.
    """
    meeting, scaling, placing = tf.unstack(tf.random.split(seed, 3))
    shown = tf.cast(shown[::-1], tf.float32)  # (width, height), as x and y
    share = tf.random.stateless_uniform([count, 2], meeting, _NEAREST, 1 - _NEAREST)
    x, y = tf.unstack(tf.clip_by_value(tf.round(share * shown), 1, shown - 1), axis=-1)
    left = top = tf.zeros_like(x)
    right, bottom = left + shown[0], top + shown[1]
    columns, rows = ((left, x), (x, right)), ((top, y), (y, bottom))
    corners = tf.stack(
        [tf.stack([x1, y1, x2, y2], axis=-1) for y1, y2 in rows for x1, x2 in columns], axis=1
    )  # (B, 4, 4)
    part = (corners[..., 2:] - corners[..., :2]) / shown  # share of the mosaic, (B, 4, 2)
    least = tf.reduce_max(part, axis=-1, keepdims=True)
    draw = tf.random.stateless_uniform([count, 4, 1], scaling)
    seen = part / (least + (1 - least) * draw)  # share of the image
    start = tf.random.stateless_uniform([count, 4, 2], placing) * (1 - seen)
    image = tf.constant([float(size[1]), float(size[0])])
    return tf.concat([start * image, (start + seen) * image], axis=-1), corners


def draw_sources(entries, count, seed):
    """Draw three other images for each.

    Args:
        entries: int32 `(B,)`: number of the first image of each mosaic.
        count: number of all images, at least 4.
        seed: int32 tensor `(2,)`; equal seeds give equal results.

    Returns:
        int32 `(B, 4)`: the numbers of four different images, the first as given.
    """
    draws = tf.random.stateless_uniform([tf.shape(entries)[0], 3], seed)
    # How many images further on: each draw counts only those that are still free.
    free = tf.constant([count - 1, count - 2, count - 3])
    steps = tf.minimum(tf.cast(draws * tf.cast(free, tf.float32), tf.int32), free - 1)
    first, second, third = tf.unstack(steps, axis=-1)
    second += tf.cast(second >= first, tf.int32)
    for taken in (tf.minimum(first, second), tf.maximum(first, second)):
        third += tf.cast(third >= taken, tf.int32)
    further = tf.stack([tf.zeros_like(first), 1 + first, 1 + second, 1 + third], axis=-1)
    return (entries[:, None] + further) % count


def joined(parts):
    """Lay four images together.

    Args:
        parts: top left, top right, bottom left and bottom right, float32 `(h, w, C)`.

    Returns:
        float32 `(H, W, C)`.
    """
    rows = [tf.concat(parts[:2], axis=1), tf.concat(parts[2:], axis=1)]
    return tf.concat(rows, axis=0)
