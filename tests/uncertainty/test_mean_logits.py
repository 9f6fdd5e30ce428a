import keras
import numpy as np
import pytest

from kmed.uncertainty import MeanLogits, member_probabilities
from kmed.uncertainty.mean_logits import kind_of

from .conftest import classifier, sigmoid, softmax


@pytest.mark.parametrize("shape", [(3,), (4, 5, 3), (2, 4, 5, 3)])
def test_mean_of_softmax(shape):
    z = np.random.default_rng(0).normal(0, 4, (5, 2, *shape)).astype("float32")
    mean = MeanLogits(5, "softmax")(z.reshape(10, *shape))
    np.testing.assert_allclose(np.exp(mean), softmax(z).mean(axis=0), rtol=1e-5)


def test_mean_of_sigmoid():
    z = np.random.default_rng(0).normal(0, 4, (5, 2, 6)).astype("float32")
    mean = MeanLogits(5, "sigmoid")(z.reshape(10, 6))
    np.testing.assert_allclose(sigmoid(mean), sigmoid(z).mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_certain_members_stay_finite(kind):
    z = np.array([[500.0, -500.0], [300.0, -300.0]], "float32")
    mean = np.asarray(MeanLogits(2, kind)(z))
    assert np.isfinite(mean).all()
    # The mean probability of the second class is that of the less certain member, halved.
    false = -600 if kind == "softmax" else -300
    assert mean[0, 1] == pytest.approx(false - np.log(2), abs=1e-3)


def test_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_float16")
    layer = MeanLogits(2, "softmax")
    assert layer(keras.ops.ones((2, 3), "float16")).dtype == "float32"


@pytest.mark.parametrize(
    ("kind", "classes", "expected"),
    [(None, 1, "sigmoid"), (None, 2, "softmax"), ("sigmoid", 5, "sigmoid")],
)
def test_kinds(kind, classes, expected):
    assert kind_of(kind, classes) == expected


def test_refused():
    with pytest.raises(ValueError, match="always 1"):
        kind_of("softmax", 1)
    with pytest.raises(ValueError, match="'tanh'"):
        kind_of("tanh", 2)
    with pytest.raises(ValueError, match="received 0"):
        MeanLogits(0, "softmax")
    with pytest.raises(ValueError, match="'tanh'"):
        MeanLogits(2, "tanh")
    with pytest.raises(ValueError, match="ends in a"):
        member_probabilities(classifier(), np.zeros((1, 8, 10, 2)))
