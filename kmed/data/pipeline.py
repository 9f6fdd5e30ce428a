"""From cases on disk to batches: the same batches in the same order for the same seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from kmed.data.augmentation import Augmentation, augment
from kmed.data.cache import Case
from kmed.data.epochs import common_shape, entries_of, finished, fold, shuffled_entries
from kmed.data.patches import cut

_SEED_OF_VALIDATION = 1


def training_batches(
    cases: Sequence[Case],
    *,
    batch_size: int,
    epochs: int,
    first_epoch: int = 0,
    steps_per_epoch: int | None = None,
    rank: int = 2,
    patch_shape: tuple[int, ...] | None = None,
    margin: int = 0,
    foreground: float = 0.5,
    augmentation: Augmentation | None = None,
    seed: int = 0,
) -> tuple[tf.data.Dataset, int]:
    """Shuffled, augmented batches for all epochs of a training.

    Epoch `e` is a function of the seed and of `e` alone, whichever epoch is the first: a training
    that goes on from epoch 7 sees what it would have seen without the interruption.

    Args:
        cases: what `Cache.cases` prepared.
        batch_size: images in a batch, over all replicas.
        epochs: number of the last epoch.
        first_epoch: number of epochs already done.
        steps_per_epoch: batches in an epoch; by default each image (or slice) comes once, with
            the last batch filled up from the front of the shuffled order.
        rank: 2 takes single slices of volumes, 3 takes volumes.
        patch_shape: size of random patches, or None for whole images of one common size.
        margin: pixels by which the network's output is smaller than its input at each end (92 for
            the U-Net of valid convolutions): masks are cut by it, and patches may reach over the
            image's edge by as much, where the image is mirrored.
        foreground: share of patches, in [0, 1], placed around a voxel of a random class that is
            not background.
        augmentation: random changes, or None.
        seed: seed of all randomness.

    Returns:
        The dataset of (image `(B, [D,] H, W, C)` float32, mask `(B, [D,] H, W)` int32), followed
        by the weights `(B, [D,] H, W)` float32 where the cases have them; and the number of
        batches in an epoch.

    Raises:
        ValueError: if there are no cases, or whole images have different sizes.
    """
    loader = _Loader(cases, rank, patch_shape, margin, foreground)
    entries, steps = shuffled_entries(
        len(loader.entries),
        batch_size=batch_size,
        epochs=epochs,
        first_epoch=first_epoch,
        steps_per_epoch=steps_per_epoch,
        seed=seed,
    )

    def example(entry, example_seed):
        placing, changing = tf.unstack(tf.random.split(example_seed, 2))
        image, mask, weight = loader.load(entry, tf.random.stateless_uniform([3 + rank], placing))
        if augmentation is not None:
            image, mask, weight = augment(image, mask, weight, changing, augmentation)
        return loader.trim(image, mask, weight)

    dataset = entries.map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return finished(dataset.batch(batch_size, drop_remainder=True)), steps


def validation_batches(
    cases: Sequence[Case],
    *,
    batch_size: int,
    images: int | None = None,
    rank: int = 2,
    patch_shape: tuple[int, ...] | None = None,
    margin: int = 0,
    foreground: float = 0.5,
) -> tf.data.Dataset:
    """Batches of each image once, or of one patch per case that is the same in every epoch.

    Args:
        cases: what `Cache.cases` prepared.
        batch_size: images in a batch; the last may be smaller.
        images: how many to take, from the first; by default all.
        rank: as in `training_batches`.
        patch_shape: as in `training_batches`.
        margin: as in `training_batches`.
        foreground: as in `training_batches`.

    Returns:
        The dataset, shaped as in `training_batches`.

    Raises:
        ValueError: as `training_batches`.
    """
    loader = _Loader(cases, rank, patch_shape, margin, foreground)
    base = tf.constant([_SEED_OF_VALIDATION, 0], tf.int32)

    def example(entry):
        draws = tf.random.stateless_uniform([3 + rank], fold(base, entry))
        return loader.trim(*loader.load(entry, draws))

    count = len(loader.entries) if images is None else min(images, len(loader.entries))
    dataset = tf.data.Dataset.range(count).map(lambda entry: tf.cast(entry, tf.int32))
    dataset = dataset.map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return finished(dataset.batch(batch_size))


class _Loader:
    """Reads entry `i`: a case or one slice of it, whole or cut to a patch."""

    def __init__(self, cases, rank, patch_shape, margin, foreground):
        if not 0 <= foreground <= 1:
            raise ValueError(f"`foreground` must be in [0, 1]; received {foreground}")
        self.entries = entries_of(cases, rank)
        self.cases, self.rank = list(cases), rank
        self.margin, self.foreground = margin, foreground
        self.patches = patch_shape is not None
        self.shape = tuple(patch_shape) if self.patches else common_shape(cases, rank)
        if self.cases[0].mask() is None:
            raise ValueError("`cases` must have masks; these were prepared without any")
        self.channels = self.cases[0].image().shape[-1]
        self.weighted = self.cases[0].weight() is not None

    def load(self, entry, draws):
        """Give image, mask and weight of an entry; `draws` are uniform numbers in [0, 1)."""
        types = [tf.float32, tf.int32] + [tf.float32] * self.weighted
        image, mask, *weight = tf.numpy_function(self._read, [entry, draws], types)
        image = tf.ensure_shape(image, [*self.shape, self.channels])
        mask = tf.ensure_shape(mask, self.shape)
        return image, mask, tf.ensure_shape(weight[0], self.shape) if self.weighted else None

    def trim(self, image, mask, weight):
        """Cut mask and weight to what the network gives, and drop a weight that is not there."""
        inner = (slice(self.margin, -self.margin or None),) * self.rank
        return (image, mask[inner]) + ((weight[inner],) if self.weighted else ())

    def _read(self, entry, draws):
        number, index = self.entries[entry]
        case = self.cases[number]
        arrays = [case.image(), case.mask()] + [case.weight()] * self.weighted
        if index >= 0:
            arrays = [array[index] for array in arrays]
        if self.patches:
            start = self._patch_start(case, index, arrays[1].shape, draws)
            arrays = [cut(array, start, self.shape, mirror=self.margin > 0) for array in arrays]
        types = (np.float32, np.int32, np.float32)
        return [np.array(array, dtype) for array, dtype in zip(arrays, types, strict=False)]

    def _patch_start(self, case, index, shape, draws):
        low = -self.margin
        # The first index past the last start; where the image is smaller, it stays centred.
        room = np.array(shape) - self.shape + 2 * self.margin
        start = low + np.floor(draws[3:] * (np.maximum(room, 0) + 1)).astype(int)
        if draws[0] < self.foreground:
            table = case.foreground()
            if index >= 0:
                table = table[table[:, 1] == index]
            labels = np.unique(table[:, 0])
            if len(labels):
                table = table[table[:, 0] == labels[int(draws[1] * len(labels))]]
                voxel = table[int(draws[2] * len(table)), -self.rank :]
                # Anywhere in the output, so that the network can't expect it in the middle.
                inner = np.array(self.shape) - 2 * self.margin
                start = voxel + low - np.floor(draws[3:] * inner).astype(int)
        start = np.clip(start, low, low + np.maximum(room, 0))
        return np.where(room < 0, low + room // 2, start)
