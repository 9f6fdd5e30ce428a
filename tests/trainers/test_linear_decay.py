import keras
import numpy as np
import pytest

from kmed.trainers.linear_decay import ConstantThenLinear


def test_is_constant_and_then_falls_in_equal_parts_to_zero():
    rate = ConstantThenLinear(2e-4, 100, 100)
    found = np.array([rate(step) for step in range(220)])
    np.testing.assert_allclose(found[:101], 2e-4)
    np.testing.assert_allclose(np.diff(found[100:201]), -2e-6, rtol=1e-3)
    np.testing.assert_array_equal(found[200:], 0)
    assert float(ConstantThenLinear(0.1, 5, 0)(1000)) == pytest.approx(0.1)
    assert float(ConstantThenLinear(0.1, 0, 4)(1)) == pytest.approx(0.075)


def test_optimizers_follow_it_and_save_it():
    optimizer = keras.optimizers.SGD(ConstantThenLinear(1.0, 1, 2))
    weight = keras.Variable([0.0], name="weight")
    seen = []
    for _ in range(5):
        optimizer.apply([keras.ops.ones(1)], [weight])
        seen.append(float(weight.numpy()[0]))
    assert seen == [-1, -2, -2.5, -2.5, -2.5]
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    rate = again._learning_rate
    assert isinstance(rate, ConstantThenLinear)
    assert rate.get_config() == {"initial": 1.0, "constant_steps": 1, "decay_steps": 2}


def test_refuses_negative_numbers():
    with pytest.raises(ValueError, match=r"at least 0; received 0.1, -1 and 2"):
        ConstantThenLinear(0.1, -1, 2)
