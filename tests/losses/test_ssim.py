import keras
import numpy as np
import pytest

from kmed.losses.ssim import SSIMLoss
from kmed.ops.structural_similarity import ssim


@pytest.mark.parametrize("shape", [(3, 14, 12, 2), (2, 8, 9, 7, 1)])
def test_is_one_minus_the_similarity_of_each_example(shape):
    rng = np.random.default_rng(0)
    truth, image = (rng.uniform(-1, 1, shape).astype("float32") for _ in range(2))
    settings = {"size": 7, "sigma": 1.0, "window": "gaussian"}
    loss = SSIMLoss(**settings)
    expected = 1 - np.asarray(ssim(truth, image, data_range=2.0, **settings))
    np.testing.assert_allclose(loss.call(truth, image), expected, atol=1e-6)
    assert float(loss(truth, image)) == pytest.approx(expected.mean(), abs=1e-6)
    np.testing.assert_allclose(loss.call(truth, truth), np.zeros(shape[0]), atol=1e-6)


def test_half_precision_is_computed_in_float32():
    image = np.random.default_rng(0).uniform(-1, 1, (1, 12, 12, 1)).astype("float16")
    found = SSIMLoss().call(image, -image)
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    exact = SSIMLoss().call(image.astype("float32"), -image.astype("float32"))
    np.testing.assert_allclose(found, exact, atol=1e-6)


def test_can_be_saved():
    loss = SSIMLoss(1.0, window="uniform", size=8, sigma=2.0, name="other")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert again.get_config() == loss.get_config()
    assert (again.data_range, again.window, again.size, again.sigma) == (1.0, "uniform", 8, 2.0)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="`data_range` must be above 0; received -2"):
        SSIMLoss(-2)
    with pytest.raises(ValueError, match="`size` 1 or more .* received 'gaussian', 0 and 1.5"):
        SSIMLoss(size=0)
