"""From items of two modalities to batches of pairs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from kmed.data.augmentation import Augmentation, augment
from kmed.data.epochs import finished, fold, shuffled_entries
from kmed.data.samplers import SAMPLERS, LabelSampler, PairedSampler
from kmed.data.views import View

_SEED_OF_VALIDATION = 1
_STREAM_OF_WORDS = 13  # any number that no other draw of an example folds in


def cross_modal_training_batches(
    views: Mapping[str, View],
    *,
    batch_size: int,
    epochs: int,
    first_epoch: int = 0,
    steps_per_epoch: int | None = None,
    sampler: str = "paired",
    per_label: int = 4,
    augmentation: Augmentation | Mapping[str, Augmentation | None] | None = None,
    word_dropout: float = 0.0,
    seed: int = 0,
) -> tuple[tf.data.Dataset, int]:
    """Shuffled, augmented batches of both modalities for all epochs of a training.

    Epoch `e` is a function of the seed and of `e` alone, as in `training_batches`.

    Args:
        views: of both modalities, from `kmed.data.views.views`.
        batch_size: items of each modality in a batch, over all replicas.
        epochs: number of the last epoch.
        first_epoch: number of epochs already done.
        steps_per_epoch: batches in an epoch; by default as many as hold each pair once.
        sampler: "paired": all pairs of a batch differ, see `PairedSampler`; "labels": P labels
            with K items each, see `LabelSampler`.
        per_label: for "labels", the items of a label in a batch.
        augmentation: random changes of images, or of each modality's by name, or None. The images
            of a pair are changed independently.
        word_dropout: probability in [0, 1) that a word is left out of a sentence; one word stays.
        seed: seed of all randomness.

    Returns:
        The dataset of (x, y), and the number of batches in an epoch. Both are dicts by modality: x
        float32 `(B, [D,] H, W, C)` or string `(B,)`; y of "key", "patient", "study" and "label"
        int32 and "position" float32, each `(B,)`, as `View.keys` has them.

    Raises:
        ValueError: if an argument is outside of its range, or there are too few pairs or labels
            for a batch.
    """
    if sampler not in SAMPLERS:
        raise ValueError(f"`sampler` must be one of {SAMPLERS}; received {sampler!r}")
    if not 0 <= word_dropout < 1:
        raise ValueError(f"`word_dropout` must be in [0, 1); received {word_dropout}")
    loader = _Loader(views)
    changes = _by_modality(augmentation, views)
    keys = [view.keys for view in views.values()]
    if sampler == "paired":
        chosen = PairedSampler(keys, batch_size=batch_size)
    else:
        chosen = LabelSampler(keys, batch_size=batch_size, per_label=per_label)

    def drawn(epoch, length):
        random = np.random.default_rng([seed % 2**32, int(epoch)])
        return chosen.epoch(length // batch_size, random)

    def order(epoch, length):
        pairs = tf.numpy_function(lambda e: drawn(e, length), [epoch], tf.int32)
        return tf.ensure_shape(pairs, [length, len(views)])

    pairs, steps = shuffled_entries(
        chosen.count,
        batch_size=batch_size,
        epochs=epochs,
        first_epoch=first_epoch,
        steps_per_epoch=steps_per_epoch,
        seed=seed,
        order=order,
    )

    def read(pairs, seeds):
        x, y = loader.load(pairs)
        for name, view in views.items():
            if view.text and word_dropout:
                # The first example's seed stands for the batch: it depends on seed, epoch, step.
                x[name] = _without_words(x[name], word_dropout, fold(seeds[0], _STREAM_OF_WORDS))
        return x, y, seeds

    def changed(x, y, seed):
        for number, (name, change) in enumerate(changes.items()):
            if change is not None:
                x[name], _, _ = augment(x[name], None, None, fold(seed, number), change)
        return x, y

    dataset = pairs.batch(batch_size, drop_remainder=True)
    dataset = dataset.map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    if any(change is not None for change in changes.values()):
        dataset = dataset.unbatch()
        dataset = dataset.map(changed, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        dataset = dataset.batch(batch_size, drop_remainder=True)
    else:
        dataset = dataset.map(lambda x, y, _: (x, y))
    return finished(dataset), steps


def cross_modal_validation_batches(
    views: Mapping[str, View], *, batch_size: int, images: int | None = None
) -> tf.data.Dataset:
    """Batches of each pair once, unchanged and the same in every epoch.

    Of a key with several items in a modality, the first one is taken. Pairs are shuffled once, so
    that a batch is not made of one study's neighbouring slices.

    Args:
        views: of both modalities, from `kmed.data.views.views`.
        batch_size: pairs in a batch; the last may be smaller.
        images: how many pairs to take; by default all.

    Returns:
        The dataset, shaped as in `cross_modal_training_batches`.

    Raises:
        ValueError: if there are no pairs.
    """
    loader = _Loader(views)
    pairs = PairedSampler([view.keys for view in views.values()], batch_size=1).pairs()
    pairs = np.random.default_rng(_SEED_OF_VALIDATION).permutation(pairs)[:images]
    dataset = tf.data.Dataset.from_tensor_slices(pairs).batch(batch_size)
    return finished(
        dataset.map(loader.load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    )


def cross_modal_batches(view: View, *, batch_size: int) -> tf.data.Dataset:
    """Batches of every item of one modality once, in order and unchanged.

    Args:
        view: of the modality.
        batch_size: items in a batch; the last may be smaller.

    Returns:
        The dataset of x alone: float32 `(B, [D,] H, W, C)` or string `(B,)`.

    Raises:
        ValueError: if the view was made without cases.
    """
    entries = tf.data.Dataset.range(len(view)).batch(batch_size)
    read = _reader(view)
    return finished(entries.map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True))


class _Loader:
    """Reads pairs `(B, 2)` with what tells which of them match."""

    def __init__(self, views):
        if len(views) != 2:
            raise ValueError(f"`views` must be of two modalities; received {list(views)}")
        self.readers = {name: _reader(view) for name, view in views.items()}
        self.keys = {name: dict(view.keys) for name, view in views.items()}

    def load(self, pairs):
        """Give x and y of a batch."""
        x, y = {}, {}
        for column, (name, read) in enumerate(self.readers.items()):
            entries = pairs[:, column]
            x[name] = read(entries)
            y[name] = {key: tf.gather(of, entries) for key, of in self.keys[name].items()}
        return x, y


def _reader(view):
    """Make the function from entries `(B,)` to images or sentences."""
    view.read(np.zeros(1, np.int64))  # what can't be read is said now, not inside TensorFlow
    if view.text:
        sentences = tf.constant(view.read(np.arange(len(view))))
        return lambda entries: tf.gather(sentences, entries)

    def read(entries):
        images = tf.numpy_function(view.read, [entries], tf.float32)
        return tf.ensure_shape(images, [entries.shape[0], *view.shape])

    return read


def _by_modality(augmentation, views):
    """Give each modality's augmentation; sentences have none."""
    if not isinstance(augmentation, Mapping):
        augmentation = dict.fromkeys(views, augmentation)
    unknown = sorted(set(augmentation) - set(views))
    if unknown:
        raise ValueError(f"`augmentation` names {unknown[0]!r}; the modalities are {list(views)}")
    return {name: None if view.text else augmentation.get(name) for name, view in views.items()}


def _without_words(sentences, probability, seed):
    """Leave words out of sentences `(B,)` at random, all but one at most."""
    words = tf.strings.split(sentences)
    draws = words.with_values(tf.random.stateless_uniform(tf.shape(words.values), seed))
    last = tf.expand_dims(tf.reduce_max(draws, axis=1), 1)
    stays = (draws >= probability) | (draws == last)
    kept = tf.ragged.boolean_mask(words, stays)
    return tf.strings.reduce_join(kept, axis=1, separator=" ")
