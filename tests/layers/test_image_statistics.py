import keras
import numpy as np

from kmed.layers.image_statistics import ImageStatisticsBatchNormalization


def made():
    layer = ImageStatisticsBatchNormalization(momentum=0.9, epsilon=1e-5)
    layer.build((None, 4, 4, 3))
    layer.gamma.assign([1.0, 2.0, 3.0])
    layer.beta.assign([0.5, 0.0, -0.5])
    return layer


x = np.random.default_rng(0).normal(5, 3, (2, 4, 4, 3)).astype("float32")


def test_trains_as_batch_normalization():
    ours, theirs = made(), keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)
    theirs.build((None, 4, 4, 3))
    theirs.set_weights(ours.get_weights())
    np.testing.assert_array_equal(ours(x, training=True), theirs(x, training=True))
    np.testing.assert_array_equal(ours.moving_mean, theirs.moving_mean)
    assert np.abs(ours.moving_mean).min() > 0.1


def test_at_test_an_image_has_the_statistics_of_a_batch_of_itself():
    layer = made()
    at_test = layer(x, training=False)
    for i in range(2):
        alone = made()(x[i : i + 1], training=True)
        np.testing.assert_allclose(at_test[i : i + 1], alone, atol=1e-5)
    np.testing.assert_array_equal(layer.moving_mean, np.zeros(3))


def test_half_precision_and_config():
    layer = ImageStatisticsBatchNormalization(dtype="mixed_float16", name="norm")
    y = layer(1000 + 100 * x.astype("float16"), training=False)
    assert y.dtype == "float16" and np.isfinite(y).all()
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert isinstance(again, ImageStatisticsBatchNormalization) and again.name == "norm"
    bare = ImageStatisticsBatchNormalization(scale=False, center=False)(x)
    np.testing.assert_allclose(np.mean(bare, axis=(1, 2)), np.zeros((2, 3)), atol=1e-5)
