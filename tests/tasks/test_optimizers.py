import math

import keras
import numpy as np
import pytest

from kmed.tasks.optimizers import scheduled_adam


def rates(optimizer, *steps):
    return [float(optimizer._learning_rate(step)) for step in steps]


def test_the_rate_rises_and_falls_along_a_cosine():
    optimizer = scheduled_adam(2e-3, 400)
    assert isinstance(optimizer, keras.optimizers.Adam)
    assert rates(optimizer, 0, 20, 40, 400) == pytest.approx([0, 1e-3, 2e-3, 0], abs=1e-9)
    third = 2e-3 * (1 + math.cos(math.pi / 3)) / 2
    assert rates(optimizer, 40 + 120) == pytest.approx([third])
    assert rates(scheduled_adam(1.0, 10_000), 100) == pytest.approx([1.0])
    longer = scheduled_adam(1.0, 10_000, warm_up_share=0.05, longest_warm_up=500)
    assert rates(longer, 250, 500) == pytest.approx([0.5, 1.0])


def test_decay_is_for_kernels_alone():
    inputs = keras.Input((3,))
    x = keras.layers.BatchNormalization()(keras.layers.Dense(2)(inputs))
    network = keras.Model(inputs, x)
    optimizer = scheduled_adam(1e-3, 10, weight_decay=0.5)
    optimizer.build(network.trainable_variables)
    variables = network.trainable_variables

    def values():
        return {v.path: keras.ops.convert_to_numpy(v).copy() for v in variables}

    before = values()
    for _ in range(3):
        optimizer.apply_gradients([(np.zeros(v.shape, "float32"), v) for v in variables])
    moved = [v.name for v in variables if (values()[v.path] != before[v.path]).any()]
    assert moved == ["kernel"]


def test_one_step_is_enough():
    assert rates(scheduled_adam(1e-3, 1), 1) == pytest.approx([1e-3])
