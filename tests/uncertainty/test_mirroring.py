import numpy as np
import pytest

from kmed import uncertainty
from kmed.uncertainty import Mirror, Unmirror, member_probabilities

from .conftest import classifier, images, segmenter, softmax

AXES = {
    ("horizontal", 2): [(), (2,)],
    ("all", 2): [(), (1,), (2,), (1, 2)],
    ("all", 3): [(), (1,), (2,), (3,), (1, 2), (1, 3), (2, 3), (1, 2, 3)],
}


@pytest.mark.parametrize(("flips", "rank"), AXES)
def test_segmenters_against_numpy(flips, rank, exports, survives):
    network = segmenter(rank, classes=2)
    x = images(network, 2)
    model = uncertainty.test_time_augmentation(network, flips)
    members = [np.flip(softmax(network(np.flip(x, a))), a) for a in AXES[flips, rank]]
    np.testing.assert_allclose(softmax(model(x)), np.mean(members, axis=0), atol=1e-5)
    np.testing.assert_allclose(member_probabilities(model, x), members, atol=1e-5)
    survives(model)
    bundle = exports(model)
    assert bundle.inference_model is not bundle.model  # its batch normalisation is folded


@pytest.mark.parametrize("flips", ["horizontal", "all"])
def test_classifiers_are_exactly_symmetric(flips, survives):
    model = uncertainty.test_time_augmentation(classifier(), flips)
    x = images(model)
    for axes in AXES[flips, 2]:
        np.testing.assert_allclose(model(np.flip(x, axes)), model(x), atol=1e-6)
    assert np.abs(classifier()(x) - classifier()(np.flip(x, 2))).max() > 1e-2
    survives(model)


def test_segmenters_are_exactly_equivariant():
    model = uncertainty.test_time_augmentation(segmenter(), "all")
    x = images(model, 1)
    for axes in AXES["all", 2]:
        np.testing.assert_allclose(model(np.flip(x, axes)), np.flip(model(x), axes), atol=1e-5)


def test_any_image_size(takes_any_size):
    takes_any_size(uncertainty.test_time_augmentation(segmenter(), "all"))


def test_mirrored_twice():
    model = uncertainty.test_time_augmentation(segmenter())
    twice = uncertainty.test_time_augmentation(model, "horizontal")
    x = images(model, 2)
    np.testing.assert_allclose(softmax(twice(x)), softmax(model(x)), atol=1e-5)


def test_there_and_back():
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5, 1)).astype("float32")
    np.testing.assert_array_equal(Unmirror("all")(Mirror("all")(x)), np.concatenate([x] * 8))


def test_refused():
    with pytest.raises(ValueError, match="'vertical'"):
        uncertainty.test_time_augmentation(classifier(), "vertical")
