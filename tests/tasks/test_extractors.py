import keras
import numpy as np
import pytest

from kmed.export import Bundle, ClassificationDecoder
from kmed.preprocessors import xray
from kmed.tasks.extractors import feature_space

SHAPE, LIMITS = (32, 32, 1), (0.0, 255.0)


def test_random_features_are_the_same_every_time():
    images = np.random.default_rng(0).uniform(-1, 1, (5, *SHAPE)).astype("float32")
    one, other = (feature_space("random", SHAPE, LIMITS) for _ in range(2))
    np.testing.assert_array_equal(one.of(images), other.of(images))
    assert one.classifier is None and one.of(images).shape[0] == 5
    assert np.ptp(one.of(images), axis=0).max() > 0


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """Right where the second of two logits, the mean of the image, is above 0."""
    image = keras.Input((16, 16, 1))
    x = keras.layers.Conv2D(2, 1, use_bias=False, name="planes")(image)
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    network = keras.Model(image, keras.layers.Dense(2, use_bias=False)(pooled), name="network")
    network.set_weights([np.array([[[[1.0, -1.0]]]]), np.eye(2)])
    image = keras.Input((None, None, 1), name="image")
    halved = keras.Model(image, keras.layers.Rescaling(1 / 127.5, -1)(image), name="half")
    bundle = Bundle(
        "dark", halved, network, labels=("bright", "dark"),
        decoder=ClassificationDecoder("binary"), metadata={"task": "classification"},
    )  # fmt: skip
    return bundle.save(tmp_path_factory.mktemp("saved"), tflite=False)


def test_a_classifiers_features_and_classes_of_raw_values(classifier):
    space = feature_space(str(classifier), SHAPE, LIMITS)
    images = np.stack([np.full(SHAPE, value, "float32") for value in (-0.5, 0.25)])
    np.testing.assert_allclose(space.of(images), [[-0.5, 0.5], [0.25, -0.25]], atol=1e-5)
    assert [space.labels[i] for i in space.classify(images)] == ["dark", "bright"]
    assert "dark" in space.name


def test_what_is_no_classifier_of_such_images(classifier, tmp_path):
    with pytest.raises(ValueError, match="channels"):
        feature_space(str(classifier), (32, 32, 3), LIMITS)
    with pytest.raises(FileNotFoundError):
        feature_space(str(tmp_path / "none"), SHAPE, LIMITS)
    image = keras.Input((16, 16, 1))
    network = keras.Model(image, keras.layers.Conv2D(2, 1)(image))
    path = Bundle("masks", xray(), network).save(tmp_path, tflite=False)
    with pytest.raises(ValueError, match="must be a classifier's bundle"):
        feature_space(str(path), SHAPE, LIMITS)
