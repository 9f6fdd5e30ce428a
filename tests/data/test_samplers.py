import numpy as np
import pytest

from kmed.data.samplers import LabelSampler, PairedSampler


def side(keys, labels=None):
    labels = [-1] * len(keys) if labels is None else labels
    return {"key": np.array(keys, np.int32), "label": np.array(labels, np.int32)}


def epoch(sampler, steps, seed=0):
    pairs = sampler.epoch(steps, np.random.default_rng(seed))
    assert pairs.dtype == np.int32
    return pairs.reshape(steps, sampler.batch_size, 2)


def test_pairs_of_a_batch_differ_and_come_equally_often():
    first, second = side([3, 0, 2, 1, 4]), side([0, 1, 2, 3, 4])
    sampler = PairedSampler([first, second], batch_size=3)
    assert sampler.count == 5
    for seed in range(20):
        batches = epoch(sampler, 5, seed)
        keys = first["key"][batches[..., 0]]
        np.testing.assert_array_equal(keys, second["key"][batches[..., 1]])
        assert all(len(set(batch)) == 3 for batch in keys)
        # 15 places for 5 keys: each comes 3 times, and once in every 5.
        assert all(sorted(part) == [0, 1, 2, 3, 4] for part in keys.ravel().reshape(3, 5))


def test_one_of_several_items_is_drawn():
    # Key 0: two images and three captions; key 9 is in one modality alone.
    images, captions = side([0, 1, 0, 9]), side([1, 0, 0, 0])
    sampler = PairedSampler([images, captions], batch_size=2)
    batches = epoch(sampler, 3000)
    of_key = batches[images["key"][batches[..., 0]] == 0]
    seen = np.zeros((4, 4), int)
    np.add.at(seen, tuple(of_key.T), 1)
    assert seen.sum() == 3000 and not seen[[1, 3]].any() and not seen[:, 0].any()
    # Six combinations, each with probability 1/6: 500, give or take four standard deviations.
    assert (np.abs(seen[np.ix_([0, 2], [1, 2, 3])] - 500) < 4 * 20.5).all()


def test_first_items_of_all_pairs():
    sampler = PairedSampler([side([5, 3, 5, 8]), side([9, 5, 3, 3, 5])], batch_size=1)
    assert sampler.pairs().tolist() == [[1, 2], [0, 1]]


def test_labels_by_items():
    # Four labels with 5, 3, 2 and 1 keys; the second modality has them in another order.
    labels = np.array([0] * 5 + [1] * 3 + [2] * 2 + [3])
    order = np.random.default_rng(3).permutation(11)
    first, second = side(range(11), labels), side(order, labels[order])
    sampler = LabelSampler([first, second], batch_size=6, per_label=2)
    batches = epoch(sampler, 40)
    for pairs in batches:
        keys = first["key"][pairs[:, 0]]
        np.testing.assert_array_equal(keys, second["key"][pairs[:, 1]])
        of_key = labels[keys].reshape(3, 2)
        assert (of_key[:, 0] == of_key[:, 1]).all() and len(set(of_key[:, 0])) == 3
        # Two different keys of a label, but for the label that has only one.
        assert all(a != b or labels[a] == 3 for a, b in keys.reshape(3, 2))
    seen = np.bincount(first["key"][batches[..., 0]].ravel(), minlength=11)
    per_label = np.bincount(labels, weights=seen)
    assert per_label.tolist() == [60] * 4  # 240 places
    assert all(np.ptp(seen[labels == label]) <= 1 for label in range(4))


def test_keys_whose_items_have_no_common_label_take_no_part():
    first = side([0, 1, 2, 3, 4], [0, 0, 1, -1, 1])
    second = side([0, 1, 2, 3, 4, 4], [0, 1, 1, 1, -1, 1])
    sampler = LabelSampler([first, second], batch_size=4, per_label=2)
    assert sampler.count == 3  # keys 0, 2 and 4
    for pairs in epoch(sampler, 10):
        assert set(pairs[:, 0]) == {0, 2, 4} and set(pairs[:, 1]) == {0, 2, 5}


@pytest.mark.parametrize("kind", ["paired", "labels"])
def test_the_generator_decides(kind):
    items = side(range(12), np.arange(12) % 3)
    if kind == "paired":
        sampler = PairedSampler([items, items], batch_size=4)
    else:
        sampler = LabelSampler([items, items], batch_size=6, per_label=3)
    same, again, other = (epoch(sampler, 3, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(same, again)
    assert (same != other).any()


def test_refuses_what_does_not_fit():
    items = side([0, 1, 2, 3], [0, 0, 1, 1])
    with pytest.raises(ValueError, match="`batch_size` must not be above.* 5 with 4 pairs"):
        PairedSampler([items, items], batch_size=5)
    with pytest.raises(ValueError, match="no key in common"):
        PairedSampler([items, side([7, 8])], batch_size=1)
    with pytest.raises(ValueError, match="`batch_size` must be 1 or more; received 0"):
        PairedSampler([items, items], batch_size=0)
    with pytest.raises(ValueError, match="multiple of `per_label`; received 4 and 3"):
        LabelSampler([items, items], batch_size=4, per_label=3)
    with pytest.raises(ValueError, match="takes 4 labels; the pairs have 2: raise `per_label`"):
        LabelSampler([items, items], batch_size=4, per_label=1)
    with pytest.raises(ValueError, match="the pairs have 0"):
        LabelSampler([side([0, 1]), side([0, 1])], batch_size=2, per_label=1)
