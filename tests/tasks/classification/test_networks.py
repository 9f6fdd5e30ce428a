import keras
import numpy as np
import pytest

from kmed.applications import resnet18
from kmed.tasks.classification.networks import (
    build,
    compile_network,
    logit_count,
    train_head_only,
)
from kmed.tasks.classification.settings import Settings

SETTINGS = Settings(size=(16, 16), network={"width": 2, "stem": "small"})


def test_ordered_classes_have_one_logit_less():
    assert [logit_count(4, kind) for kind in ("multiclass", "ordinal")] == [4, 3]
    assert build(resnet18, SETTINGS, 1, 4, "ordinal").output_shape == (None, 3)


def test_only_the_last_layer_learns_and_normalisation_stands_still():
    network = build(resnet18, SETTINGS, 1, 2, "binary")
    train_head_only(network, True)
    compile_network(network, SETTINGS, 10, kind="binary")
    before = [keras.ops.convert_to_numpy(weight).copy() for weight in network.weights]
    image = np.random.default_rng(0).normal(2, 1, (4, 16, 16, 1)).astype("float32")
    for _ in range(3):
        network.train_on_batch(image, np.array([0, 1, 0, 1]))
    changed = {
        weight.path
        for weight, old in zip(network.weights, before, strict=True)
        if not np.array_equal(keras.ops.convert_to_numpy(weight), old)
    }
    assert changed == {"logits/kernel", "logits/bias"}
    train_head_only(network, False)
    assert all(layer.trainable for layer in network.layers)


def test_decay_spares_biases_and_normalisations():
    network = build(resnet18, SETTINGS, 1, 2, "binary")
    compile_network(network, SETTINGS.replaced(weight_decay=0.1), 10, kind="binary")
    network.optimizer.build(network.trainable_variables)
    decayed = [
        v.path for v in network.trainable_variables if network.optimizer._use_weight_decay(v)
    ]
    assert decayed and all(path.endswith("kernel") for path in decayed)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_cross_entropy(smoothing):
    network = build(resnet18, SETTINGS, 1, 3, "multiclass")
    compile_network(network, SETTINGS.replaced(label_smoothing=smoothing), 10, kind="multiclass")
    image = np.random.default_rng(0).normal(size=(3, 16, 16, 1)).astype("float32")
    found = network.evaluate(image, np.array([0, 1, 2]), verbose=0, return_dict=True)
    expected = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)(
        np.eye(3), network(image, training=False)
    )
    assert found["loss"] == pytest.approx(float(expected), rel=1e-5)
    assert 0 <= found["accuracy"] <= 1
