import keras
import numpy as np
import pytest

from kmed.metrics.features import ThreeChannels, extractor, features, inception, random_extractor


def images(count=5, shape=(32, 32, 1), seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (count, *shape)).astype("float32")


@pytest.fixture(scope="module")
def classifier():
    """Convolution, pooling, dropout, scores, softmax."""
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 1))
    x = keras.layers.Conv2D(6, 3, name="convolution")(image)
    x = keras.layers.BatchNormalization(name="norm")(x)
    pooled = keras.layers.GlobalAveragePooling2D(name="pooled")(x)
    x = keras.layers.Dropout(0.5, name="dropout")(pooled)
    x = keras.layers.Dense(3, name="scores")(x)
    return keras.Model(image, keras.layers.Softmax(dtype="float32")(x), name="classifier")


def test_the_penultimate_features_or_a_layers_mean(classifier):
    given = images(5, (16, 16, 1))
    whole = keras.Model(classifier.inputs[0], classifier.get_layer("convolution").output)
    means = whole(given).numpy().mean(axis=(1, 2))
    np.testing.assert_allclose(
        features(extractor(classifier, "convolution"), given, 2), means, atol=1e-6
    )
    found = features(extractor(classifier), given, 3)
    np.testing.assert_allclose(found, means / np.sqrt(1.001), atol=1e-5)  # no dropout
    assert found.dtype == np.float32
    scores = classifier.get_layer("scores")(found).numpy()
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(classifier(given).numpy(), expected, atol=1e-6)


def test_volumes_are_averaged_over_three_axes():
    volume = keras.Input((4, 5, 6, 2))
    network = keras.Model(volume, keras.layers.Identity(name="same")(volume))
    given = images(3, (4, 5, 6, 2))
    found = features(extractor(network, "same"), given)
    np.testing.assert_allclose(found, given.mean(axis=(1, 2, 3)), atol=1e-6)


def test_where_there_is_nothing_to_cut(classifier):
    image = keras.Input((8, 8, 1))
    masks = keras.Model(image, keras.layers.Conv2D(2, 1, name="masks")(image), name="unet")
    with pytest.raises(ValueError, match="'unet' does not end in a dense layer"):
        extractor(masks)
    assert extractor(masks, "masks").output_shape == (None, 2)
    with pytest.raises(ValueError, match="no layer 'pool'; it has .*convolution.*pooled"):
        extractor(classifier, "pool")
    with pytest.raises(ValueError, match="functional model of one input"):
        extractor(keras.Model([image, keras.Input((1,))], image))
    row = keras.Model(image, keras.layers.Reshape((8, 8), name="rows")(image))
    with pytest.raises(ValueError, match=r"received \(None, 8, 8\) of layer 'rows'"):
        extractor(row, "rows")


@pytest.mark.parametrize(
    "shape, count",
    [((8, 8, 1), 176), ((32, 32, 3), 176), ((64, 48, 1), 208), ((8, 12, 16, 1), 304)],
)
def test_random_features(shape, count):
    model = random_extractor(shape)
    given = images(4, shape)
    found = features(model, given)
    assert found.shape == (4, count) and model.trainable_weights == []
    np.testing.assert_array_equal(found, features(random_extractor(shape), given))
    assert not np.allclose(found, features(random_extractor(shape, seed=1), given))
    assert np.ptp(found, axis=0).max() > 1e-3


def test_random_weights_are_numpys():
    model = random_extractor((32, 32, 1))
    expected = np.random.default_rng(0).normal(0, np.sqrt(2 / 9), (3, 3, 1, 16))
    np.testing.assert_allclose(model.get_weights()[0], expected, rtol=1e-6)
    first = keras.Model(model.inputs[0], model.get_layer("random_1").output)
    given = images()
    means = first(given).numpy().mean(axis=(1, 2))
    np.testing.assert_allclose(features(model, given)[:, :16], means, atol=1e-6)


def test_random_features_stay_float32_under_mixed_precision():
    plain = features(random_extractor((32, 32, 1)), images())
    keras.config.set_dtype_policy("mixed_float16")
    try:
        mixed = features(random_extractor((32, 32, 1)), images())
    finally:
        keras.config.set_dtype_policy("float32")
    np.testing.assert_array_equal(plain, mixed)


@pytest.mark.parametrize("shape", [(7, 32, 1), (None, None, 1), (32, 1)])
def test_random_features_need_a_size(shape):
    with pytest.raises(ValueError, match=r"at least 8 along every spatial axis; received \("):
        random_extractor(shape)


def test_batches_make_no_difference():
    model, given = random_extractor((32, 32, 1)), images(7)
    whole = features(model, given)
    for size in (1, 3, 7, 100):
        np.testing.assert_allclose(features(model, given, size), whole, atol=1e-6)


def test_what_does_not_fit_is_said():
    model = random_extractor((32, 32, 1))
    with pytest.raises(ValueError, match=r"takes images of shape \(32, 32, 1\).*\(32, 32, 3\)"):
        features(model, images(2, (32, 32, 3)))
    with pytest.raises(ValueError, match=r"received \(4, 32, 32, 1\)"):
        features(model, images(2, (4, 32, 32, 1)))
    with pytest.raises(ValueError, match="received 0 images and 64"):
        features(model, images(0))
    with pytest.raises(ValueError, match="must give finite features"):
        features(model, np.full((2, 32, 32, 1), np.nan))
    image = keras.Input((32, 32, 1))
    with pytest.raises(ValueError, match=r"received shape \(2, 30, 30, 2\) for images 0 to 1"):
        features(keras.Model(image, keras.layers.Conv2D(2, 3)(image)), images(2))


def test_grey_becomes_colour():
    grey = images(2)
    np.testing.assert_array_equal(ThreeChannels()(grey), np.concatenate([grey] * 3, axis=-1))
    colour = images(2, (8, 8, 3))
    np.testing.assert_array_equal(ThreeChannels()(colour), colour)
    with pytest.raises(ValueError, match="1 or 3 channels; received 2"):
        ThreeChannels()(images(2, (8, 8, 2)))


def test_inception_needs_a_file_of_its_weights(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file .*download the weights"):
        inception(tmp_path / "inception.h5")
    (tmp_path / "inception.h5").write_text("no weights")
    with pytest.raises(ValueError, match="must hold the weights of `keras.applications.Incep"):
        inception(tmp_path / "inception.h5")


def small(include_top=True, weights=None, input_shape=(299, 299, 3), pooling=None):
    """Takes the arguments of Keras' network and has its names, with a thousandth of its work."""
    assert weights is None and input_shape == (299, 299, 3)
    image = keras.Input(input_shape)
    x = keras.layers.Conv2D(4, 9, strides=8, name="convolution")(image)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool" if include_top else None)(x)
    assert include_top or pooling == "avg"
    return keras.Model(image, keras.layers.Dense(10, name="classes")(x) if include_top else x)


def check_inception(build, top, path, size):
    """The features of a file are those of the network that it was saved from."""
    keras.utils.set_random_seed(0)
    options = {} if top else {"include_top": False, "pooling": "avg"}
    network = build(weights=None, input_shape=(299, 299, 3), **options)
    network.save_weights(path)
    model, given = inception(path), images(1, (40, 50, 1))
    found = features(model, given)
    assert found.shape == (1, size) and model.trainable_weights == []
    pooled = network.layers[-2].output if top else network.output
    network = keras.Model(network.inputs[0], pooled)
    resized = keras.ops.image.resize(np.repeat(given, 3, axis=-1), (299, 299))
    np.testing.assert_allclose(found, network(resized, training=False), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(features(model, np.repeat(given, 3, -1)), found, rtol=1e-5)


@pytest.mark.parametrize("top", [False, True])
def test_inceptions_wiring(monkeypatch, tmp_path, top):
    monkeypatch.setattr(keras.applications, "InceptionV3", small)
    check_inception(small, top, tmp_path / "small.weights.h5", 4)


def test_a_file_of_another_network(monkeypatch, tmp_path, classifier):
    monkeypatch.setattr(keras.applications, "InceptionV3", small)
    classifier.save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(ValueError, match="other.weights.h5 must hold the weights of"):
        inception(tmp_path / "other.weights.h5")
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.slow
@pytest.mark.parametrize("top", [False, True])
def test_inception_of_random_weights(tmp_path, top):
    check_inception(keras.applications.InceptionV3, top, tmp_path / "inception.weights.h5", 2048)
