import keras
import numpy as np
import tensorflow as tf

from kmed.ops.match_cross_entropy import match_cross_entropy


def drawn(a=6, g=8, seed=0):
    random = np.random.default_rng(seed)
    kind = random.integers(0, 3, (a, g))
    kind[0], kind[1] = 1, 2  # no match, nothing at all
    kind[2:, 0] = 0
    return random.normal(size=(a, g)).astype("float32"), kind == 0, kind == 1


def test_follows_plain_loops():
    logits, positive, negative = drawn()
    weights = positive * np.random.default_rng(1).integers(1, 4, positive.shape)
    for matches in (positive.astype(int), weights):
        values = []
        for row, match, other in zip(logits, matches, negative, strict=True):
            total = sum(np.exp(row[k]) for k in range(8) if match[k] or other[k])
            if match.sum():
                chosen = sum(match[k] * np.log(np.exp(row[k]) / total) for k in range(8))
                values.append(-chosen / match.sum())
        found = match_cross_entropy(logits, matches, negative)
        np.testing.assert_allclose(found, np.mean(values), rtol=1e-5)


def test_is_keras_cross_entropy_where_everything_is_compared():
    logits, positive, _ = drawn()
    logits, positive = logits[2:], positive[2:]
    target = positive / positive.sum(axis=1, keepdims=True)
    expected = keras.losses.categorical_crossentropy(target, logits, from_logits=True)
    found = match_cross_entropy(logits, positive, ~positive)
    np.testing.assert_allclose(found, np.mean(expected), rtol=1e-5)


def test_without_a_match_there_is_nothing_to_learn():
    logits, positive, negative = drawn()
    logits = tf.Variable(100 * logits)
    with tf.GradientTape() as tape:
        value = match_cross_entropy(logits, np.zeros_like(positive), negative)
    assert value == 0 and not np.any(tape.gradient(value, logits))
