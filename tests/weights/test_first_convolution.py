from __future__ import annotations

import keras
import numpy as np
import pytest

from kmed.preprocessors import rgb
from kmed.weights.first_convolution import (
    CAFFE,
    TORCHVISION,
    Normalization,
    adapt_channels,
    fold_normalization,
)


def torchvision_input(image):
    """What torchvision's transforms make of an image."""
    return (image / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]


def caffe_input(image):
    return keras.applications.vgg16.preprocess_input(image.astype("float32"))


def convolved(kernel, bias, image):
    return keras.ops.conv(image.astype("float32"), kernel, padding="same") + bias


@pytest.mark.parametrize(
    ("normalization", "expected_input"), [(TORCHVISION, torchvision_input), (CAFFE, caffe_input)]
)
def test_a_folded_kernel_gives_the_same_where_it_sees_the_image(normalization, expected_input):
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (1, 9, 8, 3)).astype("float32")
    kernel = random.normal(size=(3, 3, 3, 5)).astype("float32")
    expected = convolved(kernel, 0.25, expected_input(image.copy()))
    folded, shift = fold_normalization(kernel, normalization)
    result = convolved(folded, 0.25 + shift, np.array(rgb()(image)))
    scale = np.abs(expected).max()
    inside = np.s_[:, 1:-1, 1:-1]
    np.testing.assert_allclose(result[inside], expected[inside], atol=1e-5 * scale)
    assert np.abs(result - expected).max() > 1e-3 * scale  # the border, as documented

    # There the padding stands for the middle of the range instead of the mean colour.
    grey = np.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=127.5)
    around = convolved(kernel, 0.25, expected_input(grey))[inside]
    np.testing.assert_allclose(result, around, atol=1e-5 * scale)


def test_the_means_are_those_of_the_references():
    ones = np.ones((1, 1, 1, 3), "float32")
    np.testing.assert_allclose(
        (ones.ravel() * 127.5 - TORCHVISION.mean) / TORCHVISION.deviation,
        torchvision_input(ones * 127.5).ravel(),
        rtol=1e-6,
    )
    np.testing.assert_allclose(
        (ones.ravel() * 127.5 - CAFFE.mean)[::-1], caffe_input(ones * 127.5).ravel(), rtol=1e-5
    )
    assert CAFFE.bgr and not TORCHVISION.bgr


def test_a_hand_worked_kernel():
    kernel = np.array([1.0, 10.0, 100.0], "float32").reshape(1, 1, 3, 1)  # blue, green, red
    folded, shift = fold_normalization(kernel, Normalization((127.5, 117.5, 0), (2, 1, 1), True))
    assert folded.ravel().tolist() == [100 * 127.5 / 2, 1275, 127.5]
    assert shift.tolist() == [0 * 100 + 10 * 10 + 127.5 * 1]


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_a_grey_image_gives_the_same_with_any_number_of_channels(channels):
    random = np.random.default_rng(0)
    kernel = random.normal(size=(3, 3, 3, 5)).astype("float32")
    grey = random.normal(size=(1, 6, 6, 1))
    adapted = adapt_channels(kernel, channels)
    assert adapted.shape == (3, 3, channels, 5)
    assert adapted.dtype == np.float32
    np.testing.assert_allclose(
        convolved(adapted, 0, np.repeat(grey, channels, axis=-1)),
        convolved(kernel, 0, np.repeat(grey, 3, axis=-1)),
        rtol=1e-4,
        atol=1e-5,
    )
