import numpy as np
import pytest
import tensorflow as tf

from kmed.ops.smooth_l1 import smooth_l1


@pytest.mark.parametrize("beta", [1 / 9, 1.0, 3.0])
def test_is_a_parabola_and_then_a_line(beta):
    x = np.linspace(-4, 4, 161).astype("float32")
    expected = [0.5 * v**2 / beta if abs(v) < beta else abs(v) - beta / 2 for v in x]
    np.testing.assert_allclose(smooth_l1(x, beta), expected, rtol=1e-5, atol=1e-6)


def test_the_slope_is_one_at_most():
    x = tf.constant([-5.0, -0.05, 0.0, 0.05, 5.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = smooth_l1(x, 0.1)
    np.testing.assert_allclose(tape.gradient(y, x), [-1, -0.5, 0, 0.5, 1], rtol=1e-5)
