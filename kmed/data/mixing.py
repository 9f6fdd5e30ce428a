"""MixUp and CutMix of a batch, the same for the same seed."""

from __future__ import annotations

import functools

import keras
import tensorflow as tf


class Mixing:
    """Mixes each image of a batch with another, and their targets in the same proportion.

    With both strengths above 0, a fair coin decides for each batch. Keras' own layers do the
    mixing; what they draw comes from a seed instead, because their generator goes on from call to
    call, so that a resumed training would see other batches. The share of a cut box is counted in
    pixels.

    Reference: Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization", equation 2;
    Yun et al. 2019, "CutMix", equations 1 and 2.

    Args:
        mixup: alpha of MixUp's Beta(alpha, alpha), 0 for none.
        cutmix: alpha of CutMix's Beta(alpha, alpha), 0 for none.
        kind: kind of the labels.

    Raises:
        ValueError: if a strength is negative, or grades would be mixed: half of grade 0 and half
            of grade 4 is not grade 2.
    """

    def __init__(self, *, mixup: float = 0.0, cutmix: float = 0.0, kind: str = "multiclass"):
        for name, alpha in (("mixup", mixup), ("cutmix", cutmix)):
            if not 0 <= alpha < float("inf"):
                raise ValueError(f"`{name}` must be 0 or greater; received {alpha}")
            if alpha and kind == "ordinal":
                raise ValueError(f"`{name}` must be 0 for kind='ordinal': grades can't be mixed")
        self.mixup, self.cutmix = mixup, cutmix
        # With a seed, or they would draw one from Python's global generator.
        self._mixup = keras.layers.MixUp(seed=0, dtype="float32")
        self._cutmix = keras.layers.CutMix(seed=0, dtype="float32")

    def __bool__(self) -> bool:
        """Whether anything is mixed."""
        return bool(self.mixup or self.cutmix)

    def __call__(self, images, targets, seed):
        """Mix a batch.

        Args:
            images: float32 tensor `(B, [D,] H, W, C)`.
            targets: float32 tensor `(B, K)`, one-hot or 0 and 1 per label.
            seed: int32 tensor `(2,)`; equal seeds give equal results.

        Returns:
            Images and targets of unchanged shapes.
        """
        coin, drawing = tf.unstack(tf.random.split(seed, 2))
        whole = functools.partial(self._mixed_up, images, targets, drawing)
        box = functools.partial(self._cut, images, targets, drawing)
        if self.mixup and self.cutmix:
            return tf.cond(tf.random.stateless_uniform([], coin) < 0.5, whole, box)
        if not self:
            return images, targets
        return whole() if self.mixup else box()

    def _mixed_up(self, images, targets, seed):
        weight, order = _draw(tf.shape(images)[0], seed, self.mixup)
        drawn = {"mix_weight": weight, "permutation_order": order}
        # The layer knows batches of pictures; the slices of a volume are laid below each other.
        flat = tf.reshape(images, [tf.shape(images)[0], -1, images.shape[-2], images.shape[-1]])
        mixed = tf.reshape(self._mixup.transform_images(flat, drawn), tf.shape(images))
        mixed = tf.ensure_shape(mixed, images.shape)
        return mixed, self._mixup.transform_labels(targets, drawn)

    def _cut(self, images, targets, seed):
        drawing, placing = tf.unstack(tf.random.split(seed, 2))
        weight, order = _draw(tf.shape(images)[0], drawing, self.cutmix)
        inside = _boxes(images, weight, placing)
        share = tf.reduce_mean(tf.cast(inside, tf.float32), axis=range(1, inside.shape.rank))
        drawn = {"batch_masks": inside, "mix_weight": 1 - share, "permutation_order": order}
        images = self._cutmix.transform_images(images, drawn)
        return images, self._cutmix.transform_labels(targets, drawn)


def _boxes(images, weight, seed):
    """Where the other image shows: a box of the image's proportions and share 1 - weight of it.

    The box lies inside of the image, as Keras' layer places it; the paper's may be cut off.
    """
    count, rank = tf.shape(images)[0], images.shape.rank - 2
    size = tf.cast(tf.shape(images)[1:-1], tf.float32)
    length = size * (1 - weight[:, None]) ** (1 / rank)  # (B, rank)
    start = tf.random.stateless_uniform([count, rank], seed) * (size - length)
    inside = tf.ones([1] * (rank + 2), tf.bool)
    for axis in range(rank):
        ticks = tf.range(size[axis])[None]  # (1, N)
        within = (ticks >= start[:, axis, None]) & (ticks < (start + length)[:, axis, None])
        shape = [count] + [1] * (rank + 1)
        shape[1 + axis] = -1
        inside &= tf.reshape(within, shape)
    return inside  # (B, [D,] H, W, 1)


def _draw(count, seed, alpha):
    """A weight of Beta(alpha, alpha) and a partner for each image."""
    first, second, third = tf.unstack(tf.random.split(seed, 3))
    # A beta variate is the share of one of two gamma variates in their sum; in 64 bits, because
    # small alphas give numbers too small for 32.
    a = tf.random.stateless_gamma([count], first, alpha, dtype=tf.float64)
    b = tf.random.stateless_gamma([count], second, alpha, dtype=tf.float64)
    weight = tf.cast(tf.math.divide_no_nan(a, a + b), tf.float32)
    return weight, tf.random.experimental.stateless_shuffle(tf.range(count), third)
