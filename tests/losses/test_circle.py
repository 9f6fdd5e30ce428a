import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.losses.circle import CircleLoss


def unit(*shape, seed):
    x = np.random.default_rng(seed).normal(size=shape)
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype("float32")


@pytest.mark.parametrize(("gamma", "margin"), [(80.0, 0.4), (8.0, 0.25)])
def test_gives_what_keras_gives(gamma, margin):
    labels, found = np.tile(np.arange(5), 3), []
    for loss in (CircleLoss(gamma, margin), keras.losses.Circle(gamma, margin)):
        x = tf.Variable(unit(15, 6, seed=0))
        with tf.GradientTape() as tape:
            value = loss(labels, x)
        gradient = np.array(tf.convert_to_tensor(tape.gradient(value, x)))
        # Keras' takes lengths for 1; ours divides by them, so that they do not matter.
        gradient -= np.sum(gradient * x, axis=1, keepdims=True) * x.numpy()
        found.append((value, gradient))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-5)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-3, atol=1e-4)


def test_across_modalities_with_loops():
    """Equation 6 of the paper, in cosines."""
    a, g = unit(6, 4, seed=0), unit(10, 4, seed=1)
    kind = np.random.default_rng(2).integers(0, 3, (6, 10))
    kind[0], kind[1] = 0, 1
    m, values = 0.3, []
    for row, what in zip((a @ g.T).astype("float64"), kind, strict=True):
        matches = [-8 * max(1 + m - s, 0) * (s - (1 - m)) for s in row[what == 0]]
        others = [8 * max(s + m, 0) * (s - m) for s in row[what == 1]]
        if matches and others:
            values.append(np.log1p(np.sum(np.exp(matches)) * np.sum(np.exp(others))))
    found = CircleLoss(8.0, m).cross(a, g, kind == 0, kind == 1)
    np.testing.assert_allclose(found, np.mean(values), rtol=1e-5)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="`gamma` must be above 0; received 0"):
        CircleLoss(0)
    with pytest.raises(ValueError, match="`margin` must be 0 or more; received -1"):
        CircleLoss(margin=-1)
