import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.export import (
    GeneratorBundle,
    ImageDecoder,
    check_generator_agreement,
    load_tflite,
)


def generator(classes=None):
    latent = keras.Input((5,), name="latent")
    x, inputs = latent, latent
    if classes:
        labels = keras.Input((), dtype="int32", name="labels")
        x = keras.layers.Concatenate()([x, keras.layers.Embedding(classes, 3)(labels)])
        inputs = {"latent": latent, "labels": labels}
    x = keras.layers.Dense(4 * 4 * 16, activation="relu")(x)
    x = keras.layers.Reshape((4, 4, 16))(x)
    x = keras.layers.Conv2DTranspose(1, 4, strides=2, padding="same", activation="tanh")(x)
    return keras.Model(inputs, x, name="generator")


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    keras.utils.set_random_seed(0)
    bundle = GeneratorBundle(
        "shapes", generator(2), ImageDecoder(0.0, 255.0), labels=("disc", "ring")
    )
    return bundle, bundle.save(tmp_path_factory.mktemp("saved"))


def test_formats_agree_and_load_without_kmed(conditional):
    bundle, path = conditional
    found = check_generator_agreement(path, 4)
    assert set(found) == {"saved_model", "tflite"}
    assert max(row["max_difference"] for row in found.values()) < 1e-5
    served = tf.saved_model.load(str(path)).signatures["serving_default"]
    given = {"latent": tf.zeros((3, 5)), "labels": tf.constant([0, 1, 1])}
    np.testing.assert_allclose(
        served(**given)["image"], bundle.answer(np.zeros((3, 5)), [0, 1, 1]), atol=1e-3
    )
    assert (path / "assets.extra" / "tf_serving_warmup_requests").is_file()


def test_what_is_saved_is_loaded(conditional):
    bundle, path = conditional
    again = GeneratorBundle.load(path.parent)
    assert again.labels == ("disc", "ring") and again.size == (8, 8) and again.latent == 5
    latent = again.latents(2, seed=3)
    np.testing.assert_array_equal(again.answer(latent, [0, 1]), bundle.answer(latent, [0, 1]))
    facts = json.loads((path / "bundle.json").read_text())
    assert facts["signature"] == "generate" and facts["input"]["length"] == 5


def test_equal_seeds_give_equal_images_and_classes_differ(conditional):
    bundle, _ = conditional
    latent = bundle.latents(40, seed=1)  # more than are made at once
    images = bundle.answer(latent, [0] * 40)
    assert images.shape == (40, 8, 8, 1) and images.dtype == "float32"
    assert 0 <= images.min() and images.max() <= 255
    np.testing.assert_array_equal(images, bundle.answer(bundle.latents(40, seed=1), [0] * 40))
    assert np.abs(images - bundle.answer(latent, [1] * 40)).max() > 1


@pytest.mark.parametrize(
    ("latent", "labels", "message"),
    [
        (np.zeros((2, 4)), [0, 1], "`latent` must be"),
        (np.zeros((2, 5)), None, "conditional generator, which needs them"),
        (np.zeros((2, 5)), [0], "`labels` must be 2 numbers"),
        (np.zeros((2, 5)), [0, 2], "from 0 to 1"),
    ],
)
def test_what_does_not_fit_is_refused(conditional, latent, labels, message):
    with pytest.raises(ValueError, match=message):
        conditional[0].answer(latent, labels)


def test_an_unknown_class_is_told_with_the_known_ones(conditional):
    assert conditional[0].label_of("ring") == 1
    with pytest.raises(ValueError, match="disc, ring"):
        conditional[0].label_of("square")


def test_without_classes(tmp_path):
    bundle = GeneratorBundle("plain", generator(), ImageDecoder(-1.0, 1.0))
    path = bundle.save(tmp_path)
    check_generator_agreement(path, 2)
    run = load_tflite(path / "model.tflite")
    latent = bundle.latents(1)
    np.testing.assert_allclose(run(latent[0])["image"], bundle.answer(latent)[0], atol=1e-5)
    with pytest.raises(ValueError, match="it has none"):
        bundle.label_of("disc")
    with pytest.raises(ValueError, match="names? the classes"):
        GeneratorBundle("plain", generator(), ImageDecoder(-1.0, 1.0), labels=("a", "b"))
    with pytest.raises(ValueError, match="becomes a folder"):
        GeneratorBundle("a/b", generator(), ImageDecoder(-1.0, 1.0))
