"""CORN against the paper's sums, written as loops, and against the probabilities it models."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.losses import OrdinalCrossEntropy
from kmed.ops.ordinal import ordinal_probabilities


def batch(grades=5, rows=12, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (rows, grades - 1)).astype("float32")
    return rng.integers(0, grades, rows), logits


def paper(labels, logits):
    """Equation 8: the sum over the tasks' subsets, and how many terms it has."""
    total, terms = 0.0, 0
    for task in range(logits.shape[1]):
        for label, row in zip(labels, logits.astype("float64"), strict=True):
            if label >= task:  # the subset on which "above `task`?" is conditional
                f = 1 / (1 + np.exp(-row[task]))
                total -= np.log(f) if label > task else np.log(1 - f)
                terms += 1
    return total, terms


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_the_sum_is_the_papers(shape):
    labels, logits = batch()
    values = OrdinalCrossEntropy(reduction=None)(labels.reshape(shape), logits).numpy()
    total, terms = paper(labels, logits)
    assert values.shape == (12,) and values.sum() == pytest.approx(total, rel=1e-5)
    # The paper divides by the number of questions, Keras by that of the examples.
    mean = float(OrdinalCrossEntropy()(labels, logits))
    assert mean * len(labels) / terms == pytest.approx(total / terms, rel=1e-5)


def test_it_is_the_negative_logarithm_of_the_probability():
    labels, logits = batch()
    p = ordinal_probabilities(logits).numpy()
    values = OrdinalCrossEntropy(reduction=None)(labels, logits)
    np.testing.assert_allclose(values, -np.log(p[np.arange(12), labels]), rtol=1e-4, atol=1e-6)


def test_two_grades_are_binary_cross_entropy():
    labels, logits = batch(2)
    expected = keras.losses.binary_crossentropy(labels[:, None], logits, from_logits=True)
    np.testing.assert_allclose(
        OrdinalCrossEntropy(reduction=None)(labels, logits), expected, rtol=1e-5
    )


def test_soft_targets_and_class_weights_mix_the_grades():
    _, logits = batch(rows=1)
    each = OrdinalCrossEntropy(reduction=None)(np.arange(5), np.repeat(logits, 5, 0)).numpy()
    soft = np.array([[0.1, 0.0, 0.6, 0.0, 0.3]])
    assert float(OrdinalCrossEntropy()(soft, logits)) == pytest.approx(soft[0] @ each, rel=1e-5)
    weights = [1.0, 2.0, 3.0, 4.0, 5.0]
    found = float(OrdinalCrossEntropy(class_weights=weights)(soft, logits))
    assert found == pytest.approx((soft[0] * weights) @ each, rel=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_finite_in_half_precision(dtype):
    x = tf.Variable(tf.cast([[6e4, -6e4], [-6e4, 6e4], [-30.0, -30.0]], dtype))
    with tf.GradientTape() as tape:
        losses = OrdinalCrossEntropy(reduction=None)([2, 1, 2], x)
        total = tf.reduce_sum(losses)
    gradient = tf.cast(tape.gradient(total, x), "float32")
    assert losses.dtype == tf.float32
    assert np.isfinite(losses).all() and np.isfinite(gradient).all()
    assert float(losses[2]) == pytest.approx(60, rel=1e-2)


def test_a_target_that_is_no_grade_is_not_a_number():
    _, logits = batch(rows=3)
    found = OrdinalCrossEntropy(reduction=None)([-1, 5, 4], logits)
    assert np.isnan(found).tolist() == [True, True, False]


def test_it_learns_an_order_and_is_rebuilt():
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 4, (256, 1)).astype("float32")
    labels = x[:, 0].astype(int)
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((1,)), keras.layers.Dense(16, "tanh"), keras.layers.Dense(3)]
    )
    model.compile(keras.optimizers.Adam(0.05), OrdinalCrossEntropy(), jit_compile=False)
    model.fit(x, labels, epochs=30, batch_size=64, verbose=0)
    p = ordinal_probabilities(model(x)).numpy()
    assert (np.cumsum(p[:, :0:-1], 1) >= 0.5).sum(1) == pytest.approx(labels, abs=1)
    again = OrdinalCrossEntropy.from_config(OrdinalCrossEntropy(class_weights=[1, 2]).get_config())
    assert again.class_weights == [1.0, 2.0]
    with pytest.raises(ValueError, match="one for each of 4"):
        again(labels, model(x))
