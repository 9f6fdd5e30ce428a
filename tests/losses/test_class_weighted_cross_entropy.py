"""Class-weighted cross-entropy against Keras and plain loops; median frequencies by hand."""

import keras
import numpy as np
import pytest

from kmed.losses.class_weighted_cross_entropy import (
    ClassWeightedCrossEntropy,
    median_frequency_weights,
)


def batch(classes=3, shape=(2, 6, 5)):
    random = np.random.default_rng(0)
    labels = random.integers(0, max(classes, 2), shape).astype("uint8")
    return labels, random.normal(size=(*shape, classes)).astype("float32")


@pytest.mark.parametrize("shape", [(2, 6, 5), (2, 3, 4, 5)])
def test_is_keras_cross_entropy_times_the_weight_of_the_true_class(shape):
    labels, logits = batch(3, shape)
    weights = np.array([0.5, 1.0, 4.0])
    plain = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    expected = (np.array(plain) * weights[labels]).reshape(2, -1).mean(axis=1)
    loss = ClassWeightedCrossEntropy(class_weights=weights, reduction=None)
    np.testing.assert_allclose(loss(labels, logits), expected, rtol=1e-5)
    plain = np.array(plain).reshape(2, -1).mean(axis=1)
    np.testing.assert_allclose(
        ClassWeightedCrossEntropy(reduction=None)(labels, logits), plain, rtol=1e-5
    )


def test_one_logit_has_two_weights():
    labels, logits = batch(1)
    signed = np.where(labels == 1, -1, 1) * logits[..., 0]
    expected = np.mean(np.log1p(np.exp(signed)) * np.where(labels == 1, 3, 1))
    loss = ClassWeightedCrossEntropy(class_weights=(1, 3))
    assert float(loss(labels, logits)) == pytest.approx(expected, rel=1e-5)


def test_ignored_voxels_do_not_count():
    labels, logits = batch()
    loss = ClassWeightedCrossEntropy(class_weights=(1, 2, 3), ignore_class=255)
    expected = float(loss(labels[:, :4], logits[:, :4]))
    labels[:, 4:] = 255
    assert float(loss(labels, logits)) == pytest.approx(expected, rel=1e-5)


def test_weights_of_classes_and_voxels_multiply():
    labels, logits = batch()
    voxels = np.random.default_rng(1).uniform(size=labels.shape).astype("float32")
    classes = np.array([1.0, 2.0, 3.0], "float32")
    both = ClassWeightedCrossEntropy(class_weights=classes)(labels, logits, voxels)
    joined = ClassWeightedCrossEntropy()(labels, logits, voxels * classes[labels])
    assert float(both) == pytest.approx(float(joined), rel=1e-5)


def test_a_label_that_is_no_class_gives_nan_for_its_example_only():
    labels, logits = batch()
    labels[0, 0, 0] = 3
    values = ClassWeightedCrossEntropy(class_weights=(1, 2, 3), reduction=None)(labels, logits)
    assert np.isnan(values[0]) and np.isfinite(values[1])


def test_survives_its_configuration():
    original = ClassWeightedCrossEntropy(class_weights=[1, 2, 3], ignore_class=7)
    again = keras.losses.deserialize(keras.losses.serialize(original))
    assert again.class_weights == (1, 2, 3) and again.ignore_class == 7
    labels, logits = batch()
    assert float(again(labels, logits)) == float(original(labels, logits))


@pytest.mark.parametrize("weights", [(1, -1), (1, float("nan")), (1, float("inf"))])
def test_wrong_weights_are_named(weights):
    with pytest.raises(ValueError, match="finite and 0 or more"):
        ClassWeightedCrossEntropy(class_weights=weights)


def test_as_many_weights_as_classes():
    with pytest.raises(ValueError, match=r"one per class \(3\); received \(1.0, 2.0\)"):
        ClassWeightedCrossEntropy(class_weights=(1, 2))(*batch())


def test_median_frequency_by_hand():
    counts = np.array(
        [
            [80, 20, 0, 0],  # an image of 100 voxels
            [30, 0, 20, 0],  # of 50
            [40, 10, 0, 0],  # of 50
        ]
    )
    # Frequencies in the images of each class: 150 / 200, 30 / 150, 20 / 50, none.
    frequency = np.array([0.75, 0.2, 0.4])
    expected = [*(0.4 / frequency), 0]
    np.testing.assert_allclose(median_frequency_weights(counts), expected, rtol=1e-12)
    # Of an even number of classes, the mean of the two in the middle.
    np.testing.assert_allclose(
        median_frequency_weights(counts[:2, :2]),
        np.array([110 / 130 + 0.2, 110 / 130 + 0.2]) / 2 / np.array([110 / 130, 0.2]),
    )


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([1, 2], r"\(images, classes\).*\(2,\)"),
        ([[1, -2]], "0 or more"),
        ([[0, 0]], "at least one voxel"),
    ],
)
def test_tables_that_are_none_are_refused(counts, message):
    with pytest.raises(ValueError, match=message):
        median_frequency_weights(counts)
