import itertools

import keras
import numpy as np
import pytest

from kmed import uncertainty
from kmed.applications.unet import unet
from kmed.uncertainty import FixedDropout, member_probabilities, monte_carlo_dropout

from .conftest import classifier, filled, images, segmenter, sigmoid, softmax

layers = keras.layers


def linear(rate, values=5):
    image = keras.Input((values,), name="image")
    x = layers.Dense(2, name="logits")(layers.Dropout(rate)(image))
    return filled(keras.Model(image, x))


def test_the_mean_over_all_masks():
    """Five inputs have 32 masks: their mean, weighted by their probabilities, is the limit."""
    network, rate = linear(0.3), 0.3
    x = np.random.default_rng(3).normal(size=(4, 5)).astype("float32")
    kernel, bias = network.get_layer("logits").get_weights()
    expected = 0
    for mask in itertools.product([0, 1], repeat=5):
        probability = np.prod([1 - rate if kept else rate for kept in mask])
        expected = expected + probability * softmax(x * mask / (1 - rate) @ kernel + bias)
    many = monte_carlo_dropout(network, 20_000)
    np.testing.assert_allclose(softmax(many(x)), expected, atol=0.01)


def test_the_masks_keep_the_expectation_of_each_input():
    network = linear(0.5)
    rows = keras.Model(*_before_mean(monte_carlo_dropout(network, 20_000)))
    x = np.ones((1, 5), "float32")
    np.testing.assert_allclose(np.mean(rows(x), axis=0), network(x)[0], atol=0.05)


def _before_mean(model):
    return model.input, model.get_layer("logits").input


def test_deterministic_and_blind_to_the_batch(survives):
    network = classifier()
    model = monte_carlo_dropout(network, 6, seed=4)
    x = images(network, 5)
    whole = np.asarray(model(x))
    np.testing.assert_array_equal(whole, model(x))
    single = np.concatenate([model(x[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(whole, single, atol=1e-6)
    np.testing.assert_array_equal(whole, monte_carlo_dropout(network, 6, seed=4)(x))
    assert np.abs(whole - monte_carlo_dropout(network, 6, seed=5)(x)).max() > 1e-4
    survives(model)


def test_against_the_samples_one_by_one():
    network = classifier()
    model, x = monte_carlo_dropout(network, 4), images(classifier(), 3)
    features = keras.Model(network.input, network.get_layer("flatten").output)(x, training=False)
    masks = model.get_layer("dropout").get_weights()[0]
    kernel, bias = network.get_layer("logits").get_weights()
    samples = [softmax((features * m / 0.6 @ kernel + bias) * 3) for m in masks]
    np.testing.assert_allclose(softmax(model(x)), np.mean(samples, axis=0), atol=1e-5)
    np.testing.assert_allclose(member_probabilities(model, x, batch_size=2), samples, atol=1e-5)
    assert 0.2 < 1 - masks.mean() < 0.6 and not np.array_equal(masks[0], masks[1])


def test_what_is_before_the_dropout_is_computed_once():
    model = monte_carlo_dropout(segmenter(), 7)
    rows = {n: model.get_layer(n).output.shape for n in ("down1_relu2", "up0_relu1")}
    deep = keras.Model(model.input, [model.get_layer(n).output for n in rows])
    before, after = deep(images(model, 2))
    assert before.shape[0] == 2 and after.shape[0] == 14


@pytest.mark.parametrize(("rank", "classes"), [(2, 1), (3, 2)])
def test_segmenters_are_exported(rank, classes, exports, survives):
    network = segmenter(rank, classes)
    model = monte_carlo_dropout(network, 3)
    survives(model)
    exports(model)
    masks = model.get_layer("bottom_dropout").get_weights()[0]
    assert masks.shape == (3, *[1] * rank, 4)  # whole channels


def test_any_image_size(takes_any_size):
    takes_any_size(monte_carlo_dropout(segmenter(), 3))


def test_batch_normalisation_stays_in_inference():
    network = segmenter()
    model = monte_carlo_dropout(network, 3)
    before = [w.copy() for w in model.get_weights()]
    model(images(model))
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    # One sample whose mask keeps all is the network with its kept channels scaled.
    single = monte_carlo_dropout(network, 1)
    mask = single.get_layer("bottom_dropout")
    mask.set_weights([np.ones_like(mask.get_weights()[0])])
    mask.rate = 0.0
    x = images(network)
    np.testing.assert_allclose(softmax(single(x)), softmax(network(x)), atol=1e-5)


def test_every_wrapper_in_the_other():
    network = segmenter()
    x = images(network, 2)
    samples = monte_carlo_dropout(network, 3)
    mirrored = uncertainty.test_time_augmentation(samples)
    expected = softmax(samples(x)) + softmax(samples(x[:, :, ::-1]))[:, :, ::-1]
    np.testing.assert_allclose(softmax(mirrored(x)), expected / 2, atol=1e-5)
    both = uncertainty.ensemble([mirrored, segmenter(seed=2)])
    expected = (softmax(mirrored(x)) + softmax(segmenter(seed=2)(x))) / 2
    np.testing.assert_allclose(softmax(both(x)), expected, atol=1e-5)
    joined = uncertainty.ensemble([network, segmenter(seed=2, dropout=0.0)])
    thinned = monte_carlo_dropout(joined, 3)
    masks = thinned.get_layer("member0_bottom_dropout").get_weights()
    assert np.array_equal(masks[0], samples.get_layer("bottom_dropout").get_weights()[0])
    expected = (softmax(samples(x)) + softmax(segmenter(seed=2, dropout=0.0)(x))) / 2
    np.testing.assert_allclose(softmax(thinned(x)), expected, atol=1e-5)


def test_dropout_in_a_nested_model():
    x = keras.Input((6,), name="x")
    inner = keras.Model(x, layers.Dropout(0.5)(layers.Dense(4)(x)), name="inner")
    image = keras.Input((6,), name="image")
    network = keras.Model(image, layers.Dense(2, name="logits")(inner(image)))
    model = monte_carlo_dropout(network, 5)
    assert len(np.unique(member_probabilities(model, images(model, 1))[:, 0, 0])) > 1


def test_shapes_of_masks():
    layer = FixedDropout(0.5, 4, 0, noise_shape=(None, 1, None))
    layer.build((None, 6, 5))
    assert layer.mask.shape == (4, 1, 5)
    all_dropped = FixedDropout(1.0, 2, 0)
    assert np.array_equal(all_dropped(np.ones((4, 3))), np.zeros((4, 3)))


def test_one_logit():
    network = segmenter(classes=1)
    model, x = monte_carlo_dropout(network, 3), images(network, 2)
    members = member_probabilities(model, x)
    assert members.shape == (3, 2, 16, 24, 1)
    np.testing.assert_allclose(sigmoid(model(x)), members.mean(axis=0), atol=1e-5)


def test_refused():
    with pytest.raises(ValueError, match="no Dropout or SpatialDropout"):
        monte_carlo_dropout(unet(input_shape=(16, 16, 1), filters=(2, 3)))
    with pytest.raises(ValueError, match="received 0"):
        monte_carlo_dropout(classifier(), 0)
    with pytest.raises(ValueError, match="test_time_augmentation"):
        monte_carlo_dropout(uncertainty.test_time_augmentation(segmenter()))
    image = keras.Input((None, None, 1), name="image")
    x = layers.Conv2D(2, 1, name="logits")(layers.Dropout(0.5, name="drop")(image))
    with pytest.raises(ValueError, match=r'"drop".*fixed `input_shape`'):
        monte_carlo_dropout(keras.Model(image, x))
    image = keras.Input((4,), name="image")
    x = layers.Dense(2)(image)
    side = keras.Model(image, {"logits": x, "other": layers.Dropout(0.5)(x)}, name="side")
    with pytest.raises(ValueError, match="on the way to its logits"):
        monte_carlo_dropout(side)
