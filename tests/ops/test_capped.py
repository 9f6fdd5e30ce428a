import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.ops.capped import capped


@pytest.mark.parametrize(
    ("x", "slope", "expected"),
    [
        (1.0, -2.0, -2.0),
        (1.0, 2.0, 2.0),
        (7.0, -2.0, 0.0),  # descent would lead further up
        (7.0, 2.0, 2.0),
    ],
)
def test_gradient_leads_back_only(x, slope, expected):
    x = tf.Variable(x)
    with tf.GradientTape() as tape:
        value = slope * capped(x, 5.0)
    assert value == slope * min(x.numpy(), 5.0)
    assert tape.gradient(value, x) == expected


def test_a_weight_comes_back_as_if_clipped_after_each_step():
    scale = keras.Variable(4.9)
    optimizer = keras.optimizers.SGD(0.3)
    optimizer.build([scale])

    @tf.function
    def step(direction):
        with tf.GradientTape() as tape:
            value = direction * capped(scale, 5.0)
        optimizer.apply([tape.gradient(value, scale.value)])

    for _ in range(50):
        step(tf.constant(-1.0))
    np.testing.assert_allclose(scale, 5.2, rtol=1e-6)  # one step too far at most
    for _ in range(3):
        step(tf.constant(1.0))
    np.testing.assert_allclose(scale, 4.3, rtol=1e-6)
