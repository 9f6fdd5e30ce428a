import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.losses.adversarial import (
    ADVERSARIAL,
    AdversarialLoss,
    CrossEntropyGAN,
    HingeGAN,
    LeastSquaresGAN,
    WassersteinGAN,
)


def logits(*shape, seed=0):
    return np.random.default_rng(seed).normal(0, 3, shape).astype("float32")


def log_sigmoid(x):
    return -np.log1p(np.exp(-x))


FORMULAS = {
    "cross_entropy": (lambda x: -log_sigmoid(x), lambda x: -log_sigmoid(-x), None),
    "least_squares": (lambda x: (x - 1) ** 2, lambda x: x**2, None),
    "wasserstein": (lambda x: -x, lambda x: x, None),
    "hinge": (lambda x: np.maximum(0, 1 - x), lambda x: np.maximum(0, 1 + x), lambda x: -x),
}


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_follows_the_papers_for_each_example(name):
    of_real, of_fake, deceive = FORMULAS[name]
    loss = ADVERSARIAL[name]()
    real, fake = logits(3, 4, 5, 1), logits(2, 4, 5, 1, seed=1)
    found = (*loss.discriminator(real, fake), loss.generator(fake))
    expected = of_real(real), of_fake(fake), (deceive or of_real)(fake)
    for values, formula in zip(found, expected, strict=True):
        assert keras.backend.standardize_dtype(values.dtype) == "float32"
        np.testing.assert_allclose(values, formula.mean(axis=(1, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(loss.generator(fake[:, 0, 0, 0]), expected[2][:, 0, 0, 0], rtol=1e-5)


def test_smoothing_is_one_sided():
    real, fake = logits(6, 1), logits(6, 1, seed=1)
    smooth, plain = CrossEntropyGAN(label_smoothing=0.1), CrossEntropyGAN()
    entropy = keras.losses.BinaryCrossentropy(from_logits=True, reduction=None)
    found = smooth.discriminator(real, fake)
    np.testing.assert_allclose(found[0], entropy(np.full((6, 1), 0.9), real), rtol=1e-5)
    np.testing.assert_array_equal(found[1], plain.discriminator(real, fake)[1])
    np.testing.assert_array_equal(smooth.generator(fake), plain.generator(fake))


def test_the_generator_learns_where_the_discriminator_is_sure():
    """Where the saturating loss has a slope of 2e-9."""
    sure = tf.constant([[-20.0]])
    with tf.GradientTape() as tape:
        tape.watch(sure)
        value = CrossEntropyGAN().generator(sure)
    np.testing.assert_allclose(tape.gradient(value, sure), [[-1.0]], rtol=1e-6)


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_extreme_float16_logits_stay_finite(name):
    loss = ADVERSARIAL[name]()
    x = tf.constant([[-60000.0], [0.0], [60000.0]], "float16")
    with tf.GradientTape() as tape:
        tape.watch(x)
        real, fake = loss.discriminator(x, x)
        values = tf.stack([real, fake, loss.generator(x)])
        # Squares have gradients of 120000, more than float16 can hold: scaled down.
        total = tf.reduce_sum(values) * 1e-4
    assert np.isfinite(values).all() and np.isfinite(tape.gradient(total, x)).all()


@pytest.mark.parametrize(
    "loss", [CrossEntropyGAN(0.2), LeastSquaresGAN(), WassersteinGAN(), HingeGAN()]
)
def test_can_be_saved(loss):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert type(again) is type(loss) and again.get_config() == loss.get_config()
    assert isinstance(loss, AdversarialLoss)


def test_the_threshold_lies_between_the_targets():
    found = {name: loss().threshold for name, loss in ADVERSARIAL.items()}
    assert found == {"cross_entropy": 0, "least_squares": 0.5, "wasserstein": 0, "hinge": 0}


@pytest.mark.parametrize("share", [-0.1, 0.5, float("nan")])
def test_a_smoothing_that_turns_real_into_fake_is_refused(share):
    with pytest.raises(ValueError, match=r"`label_smoothing` must lie in \[0, 0.5\); received"):
        CrossEntropyGAN(label_smoothing=share)
