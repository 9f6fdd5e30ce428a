import keras
import numpy as np
import pytest

from kmed.layers.dropout_at_test import DropoutAtTest


@pytest.mark.parametrize("training", [True, False])
def test_is_on_in_training_and_at_test(training):
    layer = DropoutAtTest(0.25, seed=1)
    y = np.array(layer(np.ones((4, 1000), "float32"), training=training))
    assert 0.22 < np.mean(y == 0) < 0.28
    np.testing.assert_allclose(y[y != 0], 1 / 0.75, rtol=1e-6)
    assert (y != np.array(layer(np.ones((4, 1000), "float32"), training=training))).any()


def test_is_on_within_a_network_and_after_saving(tmp_path):
    image = keras.Input((100,))
    network = keras.Model(image, DropoutAtTest(0.5, seed=1)(image))
    network.save(tmp_path / "a.keras")
    for model in (network, keras.models.load_model(tmp_path / "a.keras")):
        assert (np.array(model(np.ones((1, 100), "float32"), training=False)) == 0).any()
