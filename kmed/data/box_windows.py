"""One step from an image and its boxes to a mirrored, moved and resized part of them.

A window is the part `(x1, y1, x2, y2)` of an image that is seen, in the image's pixels; it may
reach beyond the image. Zooming out, jitter and crops each make a window of a window, so that
however many there are, pixels are resampled once. Keras' box-aware layers (RandomFlip, RandomZoom,
RandomCrop ...) resample once each, and draw from a generator that goes on from call to call, so
that a resumed training would see other images; none of them has a constraint on the overlap.
"""

from __future__ import annotations

import tensorflow as tf


def part_of_window(window, part):
    """Give the window that shows a part of what another window shows.

    Args:
        window: float32 `(..., 4)` xyxy in pixels of the image.
        part: float32 `(..., 4)` xyxy in fractions of the window: (0, 0, 1, 1) is all of it.

    Returns:
        float32 `(..., 4)` xyxy in pixels of the image.

    Example:
        >>> part_of_window(tf.constant([10.0, 0, 30, 20]), tf.constant([0.5, 0, 1, 2])).numpy()
        array([20.,  0., 30., 40.], dtype=float32)
    """
    start, size = window[..., :2], window[..., 2:] - window[..., :2]
    return tf.concat([start + size * part[..., :2], start + size * part[..., 2:]], axis=-1)


def boxes_through_window(boxes, labels, window, mirrored, target):
    """Give the boxes of what a window shows.

    An object stays if its centre is seen (Liu et al. 2016, SSD, section 2.2); its box is clipped.

    Args:
        boxes: float32 `(..., M, 4)` xyxy in pixels of the image.
        labels: int32 `(..., M)`, -1 for padding.
        window: float32 `(..., 4)` xyxy in pixels of the image.
        mirrored: bool `(..., 2)`: left and right, top and bottom exchanged.
        target: float32 `(..., 4)` xyxy: where the window is painted, in pixels of the result.

    Returns:
        Boxes in pixels of the result and labels, of unchanged shapes; what is not seen is zeros
        and label -1.
    """
    window, target = window[..., None, :], target[..., None, :]  # (..., 1, 4)
    size = window[..., 2:] - window[..., :2]
    lower = (boxes[..., :2] - window[..., :2]) / size  # in fractions of the window
    upper = (boxes[..., 2:] - window[..., :2]) / size
    mirrored = mirrored[..., None, :]  # (..., 1, 2)
    lower, upper = tf.where(mirrored, 1 - upper, lower), tf.where(mirrored, 1 - lower, upper)
    centre = (lower + upper) / 2
    kept = (labels >= 0) & tf.reduce_all((centre > 0) & (centre < 1), axis=-1)
    corners = tf.concat([tf.clip_by_value(lower, 0, 1), tf.clip_by_value(upper, 0, 1)], axis=-1)
    moved = part_of_window(target, corners)
    return tf.where(kept[..., None], moved, 0.0), tf.where(kept, labels, -1)


def image_through_window(image, window, mirrored, size):
    """Give what a window shows, resampled once, without aliasing.

    Args:
        image: float32 `(H, W, C)`.
        window: float32 `(4,)` xyxy in pixels of the image; outside of the image, the image's mean
            is seen.
        mirrored: bool `(2,)`: left and right, top and bottom exchanged.
        size: int32 `(2,)`: height and width of the result.

    Returns:
        float32 `(height, width, C)`.
    """
    height, width, channels = tf.unstack(tf.shape(image))
    rows = tf.reshape(image, [height, width * channels])  # a long last axis: many times as fast
    mean = tf.reduce_mean(tf.reshape(tf.reduce_mean(rows, axis=0), [width, channels]), axis=0)
    centred = tf.reshape(rows - tf.tile(mean, [width]), [1, height, width, channels])
    # Rows come first. Keras' ops.image.scale_and_translate multiplies with dense matrices, which
    # takes twice as long as this kernel.
    scale = tf.cast(size, tf.float32) / (window[2:] - window[:2])[::-1]
    moved = tf.raw_ops.ScaleAndTranslate(
        images=centred,
        size=size,
        scale=scale,
        translation=-window[:2][::-1] * scale,
        kernel_type="triangle",
        antialias=True,
    )[0]  # 0 outside of the image
    moved = mirror(moved, mirrored)
    moved = tf.reshape(moved, [size[0], size[1] * channels]) + tf.tile(mean, [size[1]])
    return tf.reshape(moved, [size[0], size[1], channels])


def mirror(image, mirrored):
    """Exchange left and right, top and bottom of an image `(H, W, C)`, or leave them.

    Args:
        image: tensor `(H, W, C)`.
        mirrored: bool `(2,)`: left and right, top and bottom.

    Returns:
        Tensor of the same shape.
    """
    return tf.reverse(image, tf.boolean_mask(tf.constant([1, 0]), mirrored))


def compacted(boxes, labels, count=None):
    """Move padding behind the objects, which keep their order.

    Args:
        boxes: float32 `(B, M, 4)`.
        labels: int32 `(B, M)`, -1 for padding.
        count: rows to keep, of which there must be enough; by default M.

    Returns:
        Boxes `(B, count, 4)` and labels `(B, count)`.
    """
    order = tf.argsort(tf.cast(labels < 0, tf.int32), axis=-1, stable=True)[:, :count]
    return tf.gather(boxes, order, batch_dims=1), tf.gather(labels, order, batch_dims=1)
