import numpy as np
import pytest

from kmed.applications import unet
from kmed.tasks.segmentation.networks import compile_network, inference_network
from kmed.tasks.segmentation.settings import Settings


def test_deep_supervision_halves_the_weight_of_each_level():
    network = unet(input_shape=(32, 32, 1), filters=(4, 4, 4, 4), deep_supervision=True)
    compile_network(network, Settings(size=(32, 32)), 10, classes=2)
    masks = np.zeros((1, 32, 32), "int32")
    masks[:, 8:20, 8:20] = 1
    labels = dict.fromkeys(network.output, masks)
    found = network.evaluate(
        np.zeros((1, 32, 32, 1), "float32"), labels, verbose=0, return_dict=True
    )
    parts = [found[f"{name}_loss"] for name in network.output]
    assert found["loss"] == pytest.approx((4 * parts[0] + 2 * parts[1] + parts[2]) / 7, rel=1e-4)
    settings = Settings(size=(32, 32), network={"filters": (4, 4, 4, 4), "deep_supervision": True})
    alone = inference_network(unet, network, settings, 1, 2)
    image = np.random.default_rng(0).normal(size=(1, 32, 32, 1)).astype("float32")
    np.testing.assert_allclose(alone(image), network(image)["logits"], atol=1e-5)


def test_learning_rate_warms_up_and_ends_at_zero():
    network = unet(input_shape=(16, 16, 1), filters=(2, 2))
    compile_network(network, Settings(size=(16, 16), learning_rate=0.1), 200, classes=2)
    rate = network.optimizer._learning_rate
    values = [float(rate(step)) for step in (0, 10, 20, 110, 200)]
    assert values[0] == 0
    np.testing.assert_allclose(values[1:], [0.05, 0.1, 0.05, 0.0], atol=1e-6)
