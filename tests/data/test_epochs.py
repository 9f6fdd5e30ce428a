import numpy as np
import pytest
import tensorflow as tf

from kmed.data.cache import Case
from kmed.data.epochs import common_shape, entries_of, finished, fold, shuffled_entries


def case(*shape):
    return Case(folder="", shape=shape, digest="")


def read(**options):
    dataset, steps = shuffled_entries(5, batch_size=2, **options)
    pairs = list(dataset.as_numpy_iterator())
    return [int(entry) for entry, _ in pairs], [tuple(seed) for _, seed in pairs], steps


def test_entries_and_shapes():
    assert entries_of([case(4, 4), case(4, 4)], 2).tolist() == [[0, -1], [1, -1]]
    assert entries_of([case(2, 4, 4), case(1, 4, 4)], 2).tolist() == [[0, 0], [0, 1], [1, 0]]
    assert entries_of([case(2, 4, 4)], 3).tolist() == [[0, -1]]
    assert common_shape([case(2, 4, 5), case(3, 4, 5)], 2) == (4, 5)
    with pytest.raises(ValueError, match=r"one common size.*\(4, 4\), \(4, 5\)"):
        common_shape([case(4, 4), case(4, 5)], 2)
    with pytest.raises(ValueError, match="must not be empty"):
        entries_of([], 2)
    with pytest.raises(ValueError, match=r"`rank` 3 takes images of 3 axes.*\(4, 4\)"):
        entries_of([case(4, 4)], 3)


def test_epochs_are_a_function_of_seed_and_number():
    entries, seeds, steps = read(epochs=3, seed=1)
    assert steps == 3 and len(entries) == 18
    for first in range(0, 18, 6):
        assert sorted(entries[first : first + 5]) == [0, 1, 2, 3, 4]
    assert entries[:6] != entries[6:12] and len(set(seeds)) == 18
    assert read(epochs=3, first_epoch=2, seed=1)[:2] == (entries[12:], seeds[12:])
    assert read(epochs=3, seed=2)[1] != seeds


def test_more_steps_than_entries():
    entries, _, steps = read(epochs=1, steps_per_epoch=5)
    assert steps == 5 and np.bincount(entries).tolist() == [2] * 5


def test_an_order_of_ones_own():
    def order(epoch, length):
        return tf.fill([length], epoch)

    assert read(epochs=2, order=order)[0] == [0] * 6 + [1] * 6


def test_seeds_and_options():
    seed = tf.constant([1, 2], tf.int32)
    assert fold(seed, 1).numpy().tolist() != fold(seed, 2).numpy().tolist()
    options = finished(tf.data.Dataset.range(2)).options()
    assert options.deterministic
    policy = options.experimental_distribute.auto_shard_policy
    assert policy == tf.data.experimental.AutoShardPolicy.DATA
