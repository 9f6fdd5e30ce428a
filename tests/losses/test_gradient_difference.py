import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.losses.gradient_difference import GradientDifferenceLoss


def by_hand(truth, found, alpha):
    """Equation 6 of Mathieu et al. for one image or volume, with the mean of each axis."""
    total = 0
    for axis in range(truth.ndim - 1):
        values = []
        for place in np.ndindex(*truth.shape):
            if place[axis]:
                before = list(place)
                before[axis] -= 1
                steps = [abs(x[place] - x[tuple(before)]) for x in (truth, found)]
                values.append(abs(steps[0] - steps[1]) ** alpha)
        total += np.mean(values)
    return total


@pytest.mark.parametrize("alpha", [1, 2, 1.5])
@pytest.mark.parametrize("shape", [(2, 5, 7, 2), (2, 3, 4, 5, 1)])
def test_follows_the_paper(shape, alpha):
    rng = np.random.default_rng(0)
    truth, found = (rng.uniform(-1, 1, shape).astype("float32") for _ in range(2))
    loss = GradientDifferenceLoss(alpha)
    expected = [by_hand(x, y, alpha) for x, y in zip(truth, found, strict=True)]
    np.testing.assert_allclose(loss.call(truth, found), expected, rtol=1e-5)
    assert float(loss(truth, found)) == pytest.approx(np.mean(expected), rel=1e-5)


def test_the_edges_of_a_negative_are_the_same():
    image = np.random.default_rng(0).uniform(-1, 1, (2, 6, 6, 1)).astype("float32")
    np.testing.assert_array_equal(GradientDifferenceLoss().call(image, -image), [0, 0])


@pytest.mark.parametrize("alpha", [1, 1.5, 2])
def test_gradients_are_finite_where_images_are_flat_or_equal(alpha):
    image = np.random.default_rng(0).uniform(-1, 1, (1, 6, 6, 1)).astype("float32")
    for given in (image, np.zeros_like(image), image.astype("float16")):
        x = tf.constant(given)
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = GradientDifferenceLoss(alpha).call(image, x)
        assert np.isfinite(value).all() and np.isfinite(tape.gradient(value, x)).all()
        assert value.dtype == "float32"


def test_can_be_saved():
    loss = GradientDifferenceLoss(2, name="edges")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert again.get_config() == loss.get_config() and again.alpha == 2


def test_what_does_not_fit_is_said():
    with pytest.raises(ValueError, match="`alpha` must be 1 or more; received 0.5"):
        GradientDifferenceLoss(0.5)
    with pytest.raises(ValueError, match=r"images \(B, H, W, C\).*received \(4, 4, 1\) and"):
        GradientDifferenceLoss().call(np.zeros((4, 4, 1)), np.zeros((4, 4, 1)))
    with pytest.raises(ValueError, match=r"two pixels at least; received \(1, 1, 4, 1\)"):
        GradientDifferenceLoss().call(np.zeros((1, 1, 4, 1)), np.zeros((1, 1, 4, 1)))
