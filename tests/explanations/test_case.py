import keras
import numpy as np
import pytest

from kmed import preprocessors
from kmed.applications.unet import unet
from kmed.explanations import explain

from .conftest import spot_detector

layers = keras.layers


def spot(shape, at, radius=3):
    """A bright ball in 8 bit grey, and where its middle is."""
    grid = np.indices(shape) - np.reshape(at, (-1, *[1] * len(shape)))
    return np.where((grid**2).sum(axis=0) <= radius**2, 255, 20).astype("uint8")[..., None]


def middle(heat):
    grid = np.indices(heat.shape)
    return [(axis * heat).sum() / heat.sum() for axis in grid]


@pytest.mark.parametrize(("shape", "at"), [((61, 37), (13, 29)), ((20, 75), (4, 66))])
def test_heat_lies_on_the_original_pixels(shape, at):
    heat = explain(preprocessors.xray(), spot_detector(), spot(shape, at), class_index=1)
    assert heat.shape == shape and heat.dtype == np.float32
    assert heat.max() == pytest.approx(1) and heat.min() == 0
    np.testing.assert_allclose(middle(heat), at, atol=0.5)


def test_padding_to_a_multiple_is_cropped_again():
    network = spot_detector((None, None))
    image = spot((13, 22), (5, 17))
    heat = explain(preprocessors.xray(), network, image, fit="pad", levels=4, class_index=1)
    np.testing.assert_array_equal(heat > 0, image[..., 0] == 255)


def test_tiles_of_valid_convolutions():
    network = unet(input_shape=(None, None, 1), filters=(2, 3), padding="valid", normalization=None)
    # Every layer hands one channel on: the middle of a 3x3 kernel, all of an up-convolution.
    for layer in network.layers:
        for weight in layer.weights:
            kernel = np.zeros(weight.shape)
            middle_ = slice(None) if "upconv" in layer.name else kernel.shape[0] // 2
            if kernel.ndim == 4:
                source = 2 if layer.name == "up0_conv1" else 0  # not the skip
                kernel[middle_, middle_, source, 1 if layer.name == "logits" else 0] = 1
            weight.assign(kernel)
    image = spot((33, 27), (8, 20))
    options = {"fit": "tile", "levels": 2, "class_index": 1}
    heat = explain(preprocessors.xray(), network, image, **options)
    assert heat.shape == (33, 27)
    np.testing.assert_allclose(middle(heat), (8, 20), atol=0.6)


def test_volumes():
    image = keras.Input((8, 16, 16, 1), name="image")
    x = layers.Conv3D(1, 1, activation="relu")(image)
    network = keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling3D()(x)))
    values = [np.ones((1, 1, 1, 1, 1)), np.array([-0.5]), np.array([[0.0, 1.0]]), np.zeros(2)]
    network.set_weights(values)
    raw = spot((11, 23, 30), (3, 15, 9), radius=4)
    heat = explain(preprocessors.xray(rank=3), network, raw)
    assert heat.shape == (11, 23, 30)
    np.testing.assert_allclose(middle(heat), (3, 15, 9), atol=0.7)


def test_nothing_found():
    network = spot_detector()
    heat = explain(preprocessors.xray(), network, np.full((9, 7, 1), 5), class_index=1)
    assert heat.shape == (9, 7) and not heat.any()


def test_refused():
    xray, image = preprocessors.xray(), np.ones((9, 7, 1))
    with pytest.raises(ValueError, match=r"received shape \(9, 7\)"):
        explain(xray, spot_detector(), image[..., 0])
    with pytest.raises(ValueError, match="'crop'"):
        explain(xray, spot_detector(), image, fit="crop")
    with pytest.raises(ValueError, match="needs a size"):
        explain(xray, spot_detector((None, None)), image)
