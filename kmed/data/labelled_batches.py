"""From prepared cases and their labels to batches for a classifier."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from kmed.data.augmentation import Augmentation, augment
from kmed.data.cache import Case
from kmed.data.class_weights import checked_targets
from kmed.data.epochs import common_shape, entries_of, finished, fold, shuffled_entries
from kmed.data.mixing import Mixing

SAMPLINGS = ("natural", "balanced")
# Data sets below this size are read once and kept; larger ones are mapped from the disk.
_KEPT_BYTES = 256 * 2**20
_STREAM_OF_MIXING = 7  # any number that no other draw of an example folds in


def labelled_training_batches(
    cases: Sequence[Case],
    targets: Sequence,
    *,
    classes: int,
    kind: str,
    batch_size: int,
    epochs: int,
    first_epoch: int = 0,
    steps_per_epoch: int | None = None,
    rank: int = 2,
    augmentation: Augmentation | None = None,
    sampling: str = "natural",
    mixup: float = 0.0,
    cutmix: float = 0.0,
    seed: int = 0,
) -> tuple[tf.data.Dataset, int]:
    """Shuffled, augmented batches with labels for all epochs of a training.

    Epoch `e` is a function of the seed and of `e` alone, as in `training_batches`.

    Args:
        cases: what `Cache.cases` prepared, of one common size.
        targets: of each case the class index, or a 0 or 1 per class for "multilabel".
        classes: number of classes K.
        kind: "binary", "multiclass", "multilabel" or "ordinal".
        batch_size: images in a batch, over all replicas.
        epochs: number of the last epoch.
        first_epoch: number of epochs already done.
        steps_per_epoch: batches in an epoch; by default as many as hold each image once.
        rank: 2 takes pictures and single slices of volumes, which have the volume's label; 3 takes
            volumes.
        augmentation: random changes, or None.
        sampling: "natural": each image comes once an epoch. "balanced": each class comes equally
            often, to within one, rare images again and again; an image with several labels counts
            as one of its rarest, and those without any as a class of their own.
        mixup: alpha of MixUp, 0 for none, see `Mixing`.
        cutmix: alpha of CutMix, 0 for none.
        seed: seed of all randomness.

    Returns:
        The dataset of (image `(B, [D,] H, W, C)` float32, target), and the number of batches in an
        epoch. Targets are int32 `(B,)`; float32 `(B, K)` for "multilabel" and, one-hot or between,
        with MixUp or CutMix.

    Raises:
        ValueError: if there are no cases, images have different sizes, targets do not fit, or
            grades would be mixed.
    """
    if sampling not in SAMPLINGS:
        raise ValueError(f"`sampling` must be one of {SAMPLINGS}; received {sampling!r}")
    mixing = Mixing(mixup=mixup, cutmix=cutmix, kind=kind)
    targets = checked_targets(targets, classes, kind)
    loader = _Loader(cases, targets, rank)
    order = None
    if sampling == "balanced":
        order = _balanced_order(loader.groups(), seed)
    entries, steps = shuffled_entries(
        len(loader.entries),
        batch_size=batch_size,
        epochs=epochs,
        first_epoch=first_epoch,
        steps_per_epoch=steps_per_epoch,
        seed=seed,
        order=order,
    )
    depth = classes if mixing and kind != "multilabel" else None

    def example(entry, example_seed):
        image, target = loader.load(entry, depth)
        if augmentation is not None:
            image, _, _ = augment(image, None, None, example_seed, augmentation)
        return image, target, example_seed

    def batch(images, labels, seeds):
        if mixing:
            # The first example's seed stands for the batch: it depends on seed, epoch and step.
            images, labels = mixing(images, labels, fold(seeds[0], _STREAM_OF_MIXING))
        return images, labels

    dataset = entries.map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    dataset = dataset.batch(batch_size, drop_remainder=True)
    dataset = dataset.map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return finished(dataset), steps


def labelled_validation_batches(
    cases: Sequence[Case],
    targets: Sequence,
    *,
    batch_size: int,
    images: int | None = None,
    rank: int = 2,
    one_hot: int | None = None,
) -> tf.data.Dataset:
    """Batches of each image once, in order and unchanged.

    Args:
        cases: what `Cache.cases` prepared, of one common size.
        targets: `(N,)` class indices, or `(N, K)` of 0 and 1.
        batch_size: images in a batch; the last may be smaller.
        images: how many to take, from the first; by default all.
        rank: as in `labelled_training_batches`.
        one_hot: number of classes, to get class indices one-hot as batches with MixUp or CutMix
            have them, for the same loss.

    Returns:
        The dataset of (image, target): int32 `(B,)`, or float32 `(B, K)`.

    Raises:
        ValueError: as `labelled_training_batches`.
    """
    targets = np.asarray(targets)
    several = targets.ndim == 2
    classes = targets.shape[1] if several else one_hot or int(targets.max(initial=0)) + 1
    targets = checked_targets(targets, classes, "multilabel" if several else "multiclass")
    loader = _Loader(cases, targets, rank)
    count = len(loader.entries) if images is None else min(images, len(loader.entries))
    dataset = tf.data.Dataset.range(count).map(lambda entry: tf.cast(entry, tf.int32))
    dataset = dataset.map(
        lambda entry: loader.load(entry, None if several else one_hot),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    return finished(dataset.batch(batch_size))


class _Loader:
    """Reads entry `i`: a case or one slice of it, with its label."""

    def __init__(self, cases, targets, rank):
        self.entries, self.cases = entries_of(cases, rank), list(cases)
        if len(targets) != len(self.cases):
            raise ValueError(
                f"`targets` must give one label per case; received {len(targets)} for {len(cases)}"
            )
        self.targets = targets[self.entries[:, 0]]
        first = self.cases[0].image()
        self.shape = (*common_shape(cases, rank), first.shape[-1])
        values = sum(int(np.prod(case.shape)) for case in self.cases) * first.shape[-1]
        self.kept = None
        if values * first.itemsize <= _KEPT_BYTES:
            self.kept = [np.array(case.image()) for case in self.cases]

    def load(self, entry, depth):
        """Give image and target of an entry, one-hot of a depth if there is one."""
        image = tf.numpy_function(self._read, [entry], tf.float32)
        target = tf.gather(tf.constant(self.targets), entry)
        if depth is not None:
            target = tf.one_hot(target, depth)
        elif self.targets.ndim == 2:
            target = tf.cast(target, tf.float32)
        return tf.ensure_shape(image, self.shape), target

    def groups(self):
        """Give the entries of each class; of several labels the rarest counts."""
        of_entry = self.targets
        if of_entry.ndim == 2:
            frequency = of_entry.sum(axis=0)
            rarest = np.where(of_entry, frequency, len(of_entry) + 1).argmin(axis=1)
            of_entry = np.where(of_entry.any(axis=1), rarest, -1)
        return [np.flatnonzero(of_entry == label) for label in np.unique(of_entry)]

    def _read(self, entry):
        number, index = self.entries[entry]
        image = self.cases[number].image() if self.kept is None else self.kept[number]
        return np.array(image if index < 0 else image[index], np.float32)


def _balanced_order(groups: list[np.ndarray], seed: int) -> Callable:
    """From an epoch's number and a length to entries of which each group has the same number."""

    def drawn(epoch, length):
        random = np.random.default_rng([seed % 2**32, int(epoch)])
        # Which groups get one more, where the length is no multiple of their number, is drawn too.
        shares = np.full(len(groups), length // len(groups))
        shares[random.permutation(len(groups))[: length % len(groups)]] += 1
        parts = []
        for group, share in zip(groups, shares, strict=True):
            rounds = -(-share // len(group))
            shuffled = [random.permutation(group) for _ in range(rounds)]
            parts.append(np.concatenate([group[:0], *shuffled])[:share])
        return random.permutation(np.concatenate(parts)).astype(np.int32)

    def order(epoch, length):
        entries = tf.numpy_function(lambda e: drawn(e, length), [epoch], tf.int32)
        return tf.ensure_shape(entries, [length])

    return order
