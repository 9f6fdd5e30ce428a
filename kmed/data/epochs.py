"""Which image comes when: epochs that are a function of the seed and of their number alone."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from kmed.data.cache import Case


def entries_of(cases: Sequence[Case], rank: int) -> np.ndarray:
    """Lists what can be in a batch: each case, or each slice of cases of a higher rank.

    Args:
        cases: what `Cache.cases` prepared.
        rank: spatial axes of the network, 2 or 3.

    Returns:
        (N, 2) int32: number of the case and index of the slice, -1 for the whole case.

    Raises:
        ValueError: if there are no cases, or one has fewer axes than the network.
    """
    if not cases:
        raise ValueError("`cases` must not be empty: there is nothing to make batches of")
    for case in cases:
        if not rank <= len(case.shape) <= rank + 1:
            raise ValueError(
                f"`rank` {rank} takes images of {rank} axes or slices of {rank + 1}; a case has "
                f"the spatial shape {tuple(case.shape)}"
            )
    return np.array(
        [
            (number, index)
            for number, case in enumerate(cases)
            for index in (range(case.shape[0]) if len(case.shape) > rank else (-1,))
        ],
        np.int32,
    )


def common_shape(cases: Sequence[Case], rank: int) -> tuple[int, ...]:
    """Gives the one spatial shape of all whole images, or of their slices.

    Args:
        cases: what `Cache.cases` prepared.
        rank: spatial axes of the network.

    Returns:
        The shape.

    Raises:
        ValueError: if there are several.
    """
    shapes = {tuple(case.shape[-rank:]) for case in cases}
    if len(shapes) > 1:
        raise ValueError(
            "whole images must have one common size to share a batch; received sizes "
            f"{sorted(shapes)[:5]}; resize them or train on patches"
        )
    return shapes.pop()


def shuffled_entries(
    count: int,
    *,
    batch_size: int,
    epochs: int,
    first_epoch: int = 0,
    steps_per_epoch: int | None = None,
    seed: int = 0,
    order: Callable | None = None,
) -> tuple[tf.data.Dataset, int]:
    """Gives the entries of all epochs in order, each with a seed of its own.

    Args:
        count: number of entries.
        batch_size: entries in a batch.
        epochs: number of the last epoch.
        first_epoch: number of epochs already done.
        steps_per_epoch: batches in an epoch; by default each entry comes once, with the last batch
            filled up from the front of the shuffled order.
        seed: seed of all randomness.
        order: from an epoch's number (int32 tensor) and a length to that many entries (int32
            tensor); by default shuffles of all entries, one after the other.

    Returns:
        The dataset of (entry int32, seed `(2,)` int32), and the number of batches in an epoch.
    """
    steps = steps_per_epoch or -(-count // batch_size)
    rounds = -(-steps * batch_size // count)

    def one_epoch(epoch):
        epoch_seed = fold(tf.constant([seed, 0], tf.int32), tf.cast(epoch, tf.int32))
        if order is None:
            orders = [
                tf.random.experimental.stateless_shuffle(tf.range(count), fold(epoch_seed, -1 - r))
                for r in range(rounds)
            ]
            entries = tf.concat(orders, axis=0)[: steps * batch_size]
        else:
            entries = order(tf.cast(epoch, tf.int32), steps * batch_size)
        positions = tf.range(steps * batch_size)
        of_position = functools.partial(fold, epoch_seed)
        seeds = tf.map_fn(of_position, positions, fn_output_signature=tf.int32)
        return tf.data.Dataset.from_tensor_slices((entries, seeds))

    return tf.data.Dataset.range(first_epoch, epochs).flat_map(one_epoch), steps


def fold(seed, data):
    """Make a new seed `(2,)` of a seed and a number."""
    return tf.random.fold_in(seed, tf.cast(data, tf.int32))


def finished(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Make a dataset of batches deterministic, ready for several replicas, and prefetch it."""
    options = tf.data.Options()
    # Files hold whole cases, not shards of examples: the replicas share the elements instead.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    options.deterministic = True
    return dataset.with_options(options).prefetch(2)
