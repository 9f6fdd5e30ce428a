"""From items of two modalities to batches that a translation learns from, in pairs or apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import tensorflow as tf

from kmed.data.augmentation import Augmentation, augment, change_intensity
from kmed.data.epochs import finished, fold, shuffled_entries
from kmed.data.samplers import PairedSampler
from kmed.data.views import View

# Numbers that part the draws of an example: of its geometry (of an unpaired target the next one),
# of the source's intensities, and of where it is cut out (of an unpaired target the next one).
_GEOMETRY, _INTENSITY, _CROP = 0, 2, 3


def translation_training_batches(
    source: View,
    target: View,
    *,
    paired: bool,
    batch_size: int,
    epochs: int,
    first_epoch: int = 0,
    steps_per_epoch: int | None = None,
    augmentation: Augmentation | None = None,
    crop: Sequence[int] | None = None,
    seed: int = 0,
) -> tuple[tf.data.Dataset, int]:
    """Shuffled batches of both modalities for all epochs of a training.

    Epoch `e` is a function of the seed and of `e` alone, as in `training_batches`.

    In pairs both images are deformed and cut alike, and only the source's contrast, brightness and
    noise are changed: the target is what is to be learnt. Apart, images are drawn, deformed and
    cut independently and keep their intensities, because each modality's are also what the other
    way's results are compared with. What is changed stays within [-1, 1].

    Reference: Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial
    Networks", 6.2: random jitter is a random part of an image that was made larger (286 to 256),
    and mirroring.

    Args:
        source: of the modality that is translated, from `kmed.data.views.views`.
        target: of the other one; with `source` from one call of `views`, which numbers the keys.
        paired: whether the images of an example have the same key. False takes any two.
        batch_size: examples in a batch, over all replicas.
        epochs: number of the last epoch.
        first_epoch: number of epochs already done.
        steps_per_epoch: batches in an epoch; by default as many as hold each pair once, or each
            image of the modality that has more of them.
        augmentation: random changes, or None.
        crop: size of the random part that is taken of each image, or None for all.
        seed: seed of all randomness.

    Returns:
        The dataset of (source, target), float32 `(B, [D,] H, W, C)`, and the number of batches in
        an epoch.

    Raises:
        ValueError: if an argument is outside of its range, paired images have two sizes, or there
            are too few pairs for a batch.
    """
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be 1 or more; received {batch_size}")
    sides = (source, target)
    shapes = [_shape(name, view) for name, view in zip(("source", "target"), sides, strict=True)]
    if paired and shapes[0][:-1] != shapes[1][:-1]:
        raise ValueError(
            "the images of pairs must be of one size, so that they are changed alike; received "
            f"{shapes[0][:-1]} and {shapes[1][:-1]}"
        )
    crop = None if crop is None else _checked_crop(crop, shapes)
    count, drawn = _draws(sides, paired, batch_size)

    def order(epoch, length):
        def entries(number):
            return drawn(length, np.random.default_rng([seed % 2**32, int(number)]))

        pairs = tf.numpy_function(entries, [epoch], tf.int32)
        return tf.ensure_shape(pairs, [length, 2])

    pairs, steps = shuffled_entries(
        count,
        batch_size=batch_size,
        epochs=epochs,
        first_epoch=first_epoch,
        steps_per_epoch=steps_per_epoch,
        seed=seed,
        order=order,
    )

    def read(pairs, seeds):
        return *_read(sides, pairs), seeds

    def changed(one, other, seed):
        return _changed((one, other), seed, augmentation, crop, paired)

    dataset = pairs.batch(batch_size, drop_remainder=True)
    dataset = dataset.map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    if augmentation is None and crop is None:
        return finished(dataset.map(lambda one, other, _: (one, other))), steps
    dataset = dataset.unbatch()
    dataset = dataset.map(changed, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return finished(dataset.batch(batch_size, drop_remainder=True)), steps


def translation_validation_batches(
    source: View, target: View, *, batch_size: int
) -> tf.data.Dataset:
    """Batches of each pair once, in order, unchanged and the same in every epoch.

    Of a key with several items in a modality, the first one is taken.

    Args:
        source: as in `translation_training_batches`.
        target: as in `translation_training_batches`.
        batch_size: pairs in a batch; the last may be smaller.

    Returns:
        The dataset of (source, target), float32 `(B, [D,] H, W, C)`.

    Raises:
        ValueError: if there are no pairs.
    """
    sides = (source, target)
    for name, view in zip(("source", "target"), sides, strict=True):
        _shape(name, view)
    pairs = PairedSampler([view.keys for view in sides], batch_size=1).pairs()
    dataset = tf.data.Dataset.from_tensor_slices(pairs).batch(batch_size)
    return finished(
        dataset.map(
            lambda pairs: _read(sides, pairs),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
    )


def _shape(name: str, view: View) -> tuple[int, ...]:
    if view.shape is None:
        raise ValueError(
            f"`{name}` must be a view of images with the `cases` that `Cache.cases` prepared; "
            f"received {'sentences' if view.text else 'one without cases'}"
        )
    return tuple(view.shape)


def _checked_crop(crop, shapes) -> tuple[int, ...]:
    crop = tuple(int(length) for length in crop)
    for shape in shapes:
        fits = len(crop) == len(shape) - 1
        if not fits or not all(0 < c <= n for c, n in zip(crop, shape[:-1], strict=True)):
            raise ValueError(
                "`crop` must have a positive length for each axis of the images, none of them "
                f"longer than theirs; received {crop} for images of {shape[:-1]}"
            )
    return crop


def _draws(sides, paired, batch_size):
    """Give the examples of an epoch, and the function that draws a number of them `(N, 2)`."""
    if paired:
        sampler = PairedSampler([view.keys for view in sides], batch_size=batch_size)
        return sampler.count, lambda n, random: sampler.epoch(n // batch_size, random)
    # Each image is its own key, so that every image comes once before any comes again.
    apart = [PairedSampler([{"key": np.arange(len(v))}], batch_size=1) for v in sides]

    def drawn(length, random):
        return np.concatenate([sampler.epoch(length, random) for sampler in apart], axis=1)

    return max(len(view) for view in sides), drawn


def _read(sides, pairs):
    """Read the images of both sides of pairs `(B, 2)`."""
    images = []
    for column, view in enumerate(sides):
        read = tf.numpy_function(view.read, [pairs[:, column]], tf.float32)
        images.append(tf.ensure_shape(read, [pairs.shape[0], *view.shape]))
    return tuple(images)


def _changed(images, seed, augmentation, crop, paired):
    """Change two images `([D,] H, W, C)`, alike if they are a pair."""
    channels = [image.shape[-1] for image in images]
    # A pair goes through as one image of the channels of both.
    blocks = [tf.concat(images, axis=-1)] if paired else list(images)
    for number, block in enumerate(blocks):
        if augmentation is not None:
            block = _deformed(block, fold(seed, _GEOMETRY + number), augmentation)
        if crop is not None:
            size = (*crop, block.shape[-1])
            block = tf.image.stateless_random_crop(block, size, fold(seed, _CROP + number))
        blocks[number] = block
    if not paired:
        return tuple(blocks)
    one, other = tf.split(blocks[0], channels, axis=-1)
    if augmentation is not None and _has_intensity(augmentation):
        one = change_intensity(one, fold(seed, _INTENSITY), augmentation)
        one = tf.clip_by_value(one, -1.0, 1.0)
    return one, other


def _deformed(image, seed, augmentation: Augmentation):
    """Change the geometry of an image alone."""
    given = augmentation
    if given.rotation_degrees or given.zoom or given.shift or given.elastic:
        shape = replace(augmentation, contrast=0.0, brightness=0.0, noise=0.0)
        return augment(image, None, None, seed, shape)[0]
    # Mirroring alone, as in the papers, needs no interpolation: it is exact, and faster.
    rank = image.shape.rank - 1
    mirrored = tf.random.stateless_uniform([rank], seed) < 0.5
    for axis in {"all": range(rank), "horizontal": [rank - 1], "none": []}[augmentation.flip]:
        image = tf.where(mirrored[axis], tf.reverse(image, [axis]), image)
    return image


def _has_intensity(augmentation: Augmentation) -> bool:
    return any((augmentation.contrast, augmentation.brightness, augmentation.noise))
