import keras
import numpy as np
import pytest

from kmed.applications.unet import unet
from kmed.uncertainty import ensemble, member_probabilities

from .conftest import classifier, images, segmenter, sigmoid, softmax


@pytest.mark.parametrize(("kind", "activate"), [(None, softmax), ("sigmoid", sigmoid)])
def test_classifiers_against_numpy(kind, activate, survives):
    networks = [classifier(seed=s) for s in range(3)]
    x = images(networks[0])
    model = ensemble(networks, kind=kind)
    members = np.stack([activate(n(x)) for n in networks])
    np.testing.assert_allclose(activate(model(x)), members.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(member_probabilities(model, x, batch_size=2), members, atol=1e-6)
    survives(model)


@pytest.mark.parametrize(("rank", "classes"), [(2, 3), (3, 1)])
def test_segmenters_against_numpy_and_exported(rank, classes, exports, survives):
    networks = [segmenter(rank, classes, seed=s) for s in range(2)]
    activate = sigmoid if classes == 1 else softmax
    x = images(networks[0], 2)
    model = ensemble(networks)
    expected = np.mean([activate(n(x)) for n in networks], axis=0)
    np.testing.assert_allclose(activate(model(x)), expected, atol=1e-5)
    survives(model)
    bundle = exports(model)
    folded = bundle.inference_model.get_layer("ensemble")
    kinds = {type(layer).__name__ for layer in folded.layers}
    assert bundle.inference_model is not bundle.model and "BatchNormalization" not in kinds


def test_any_image_size(takes_any_size):
    takes_any_size(ensemble([segmenter(seed=s) for s in range(2)]))


def test_architectures_may_differ_and_auxiliary_outputs_are_left_out():
    deep = unet(input_shape=(16, 16, 1), filters=(3, 4, 5), deep_supervision=True)
    model = ensemble([deep, unet(input_shape=(16, 16, 1), filters=(2, 3))])
    assert model.output_shape == (None, 16, 16, 2)


def test_mixed_precision_gives_float32():
    keras.config.set_dtype_policy("mixed_float16")
    networks = [segmenter(seed=s) for s in range(2)]
    assert ensemble(networks)(images(networks[0], 1)).dtype == "float32"


def test_training_goes_through():
    model = ensemble([classifier(seed=s, dropout=0) for s in range(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.05), loss)
    x, y = images(model, 8), np.arange(8) % 3
    losses = model.fit(x, y, epochs=8, batch_size=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 2


def test_refused():
    with pytest.raises(ValueError, match="received 1"):
        ensemble([classifier()])
    with pytest.raises(ValueError, match=r"\(8, 10, 2\) \(network 0\) and \(16, 24, 1\)"):
        ensemble([classifier(), segmenter()])
    with pytest.raises(ValueError, match=r"\(3,\) \(network 0\) and \(4,\) \(network 1\)"):
        ensemble([classifier(), classifier(4)])
