import numpy as np
import pytest
import tensorflow as tf

from kmed.ops.mining import (
    all_triplets,
    hard_triplets,
    label_pairs,
    masked_logsumexp,
    masked_maximum,
    masked_mean,
    masked_minimum,
    semi_hard_triplets,
)


def drawn(seed=0, ties=False, a=9, g=13):
    """Distances and pairs, some of which are neither match nor counterexample."""
    random = np.random.default_rng(seed)
    distances = random.integers(0, 4, (a, g)) if ties else random.uniform(0, 2, (a, g))
    kind = random.integers(0, 3, (a, g))
    kind[0], kind[1], kind[2] = 0, 1, 2  # only matches, only counterexamples, nothing
    return distances.astype("float32"), kind == 0, kind == 1


def semi_hard_by_hand(distances, positive, negative):
    found = {}
    for i, j in zip(*np.nonzero(positive), strict=True):
        others = distances[i][negative[i]]
        if len(others):
            farther = others[others > distances[i, j]]
            found[i, j] = farther.min() if len(farther) else others.max()
    return found


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_semi_hard_counterexamples(seed, ties):
    distances, positive, negative = drawn(seed, ties)
    near, far, valid = map(np.array, semi_hard_triplets(distances, positive, negative))
    expected = semi_hard_by_hand(distances, positive, negative)
    assert set(zip(*np.nonzero(valid), strict=True)) == set(expected)
    for pair, wanted in expected.items():
        assert near[pair] == distances[pair] and far[pair] == wanted


@pytest.mark.parametrize("seed", range(3))
def test_hard_triplets(seed):
    distances, positive, negative = drawn(seed)
    near, far, valid = map(np.array, hard_triplets(distances, positive, negative))
    for i in range(len(distances)):
        assert valid[i] == (positive[i].any() and negative[i].any())
        if valid[i]:
            assert near[i] == distances[i][positive[i]].max()
            assert far[i] == distances[i][negative[i]].min()


def test_all_triplets():
    distances, positive, negative = drawn()
    near, far, valid = map(np.array, all_triplets(distances, positive, negative))
    found = [(n[0], f) for n, row, v in zip(near, far, valid, strict=True) for f in row[v]]
    expected = [
        (distances[i, j], distances[i, k])
        for i, j in zip(*np.nonzero(positive), strict=True)
        for k in np.flatnonzero(negative[i])
    ]
    assert found == expected


@pytest.mark.parametrize("miner", [all_triplets, hard_triplets, semi_hard_triplets])
def test_miners_pass_gradients_and_take_any_number(miner):
    pairs = tf.TensorSpec((None, None), "bool")

    @tf.function(input_signature=[tf.TensorSpec((None, None)), pairs, pairs])
    def gradient(distances, positive, negative):
        with tf.GradientTape() as tape:
            tape.watch(distances)
            near, far, valid = miner(distances, positive, negative)
            value = tf.reduce_sum(tf.where(valid, far - near, 0.0))
        return tf.convert_to_tensor(tape.gradient(value, distances))

    distances, positive, negative = drawn()
    found = gradient(distances, positive, negative)
    # Each triplet has one match, with -1, and one counterexample, with 1.
    np.testing.assert_allclose(np.sum(found, axis=1), np.zeros(9), atol=1e-5)
    assert (np.where(positive, found, 0) <= 0).all() and (np.where(negative, found, 0) >= 0).all()
    assert not np.where(positive | negative, 0, found).any() and np.any(found)
    assert not np.any(gradient(distances, np.zeros((9, 13), bool), negative))


def test_masked_reductions():
    values = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")
    mask = np.random.default_rng(1).random((6, 5)) < 0.5
    mask[0], mask[1] = False, True
    masked = [row[m] for row, m in zip(values, mask, strict=True)]
    for function, plain in ((masked_minimum, np.min), (masked_maximum, np.max)):
        expected = [plain(row) if len(row) else 0 for row in masked]
        np.testing.assert_array_equal(function(values, mask), np.float32(expected))
    sums = [np.log(np.exp(row).sum()) for row in masked[1:]]
    np.testing.assert_allclose(masked_logsumexp(values, mask)[1:], sums, rtol=1e-5, atol=1e-6)
    assert np.exp(masked_logsumexp(values, mask)[0]) == 0
    np.testing.assert_allclose(
        masked_logsumexp(values.T, mask.T, axis=0), masked_logsumexp(values, mask), rtol=1e-6
    )
    np.testing.assert_allclose(masked_mean(values, mask), values[mask].mean(), rtol=1e-5)
    assert masked_mean(values, np.zeros_like(mask)) == 0


@pytest.mark.parametrize("reduction", [masked_minimum, masked_maximum, masked_logsumexp])
def test_nothing_marked_has_no_gradient(reduction):
    values = tf.Variable([[1.0, 1.0], [2.0, 3.0]])
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(reduction(values, [[False, False], [False, True]]))
    np.testing.assert_array_equal(tape.gradient(value, values), [[0, 0], [0, 1]])


def test_pairs_of_labels():
    positive, negative = label_pairs(np.array([[3], [5], [3]]), itself=True)
    np.testing.assert_array_equal(positive, [[1, 0, 1], [0, 1, 0], [1, 0, 1]])
    np.testing.assert_array_equal(negative, ~np.array(positive))
    with pytest.raises(ValueError, match=r"not one-hot vectors; received \(3, 2\)"):
        label_pairs(np.zeros((3, 2)))
