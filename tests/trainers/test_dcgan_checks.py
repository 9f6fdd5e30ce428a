import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.trainers.dcgan_checks import (
    check_networks,
    check_penalty,
    check_settings,
    checked_batch,
    checked_count,
)


def generator(names=None, shape=(4, 4, 1)):
    latent = keras.Input((3,), name="latent")
    x = keras.layers.Dense(int(np.prod(shape)))(latent)
    x = keras.layers.Reshape(shape)(x)
    labels = keras.Input((), dtype="int32", name="labels")
    return keras.Model({"latent": latent, "labels": labels} if names else latent, x)


def discriminator(names=None, shape=(4, 4, 1), units=1, normalized=False):
    image = keras.Input(shape, name="image")
    x = keras.layers.BatchNormalization()(image) if normalized else image
    x = keras.layers.Dense(units)(keras.layers.Flatten()(x))
    labels = keras.Input((), dtype="int32", name="labels")
    return keras.Model({"image": image, "labels": labels} if names else image, x)


def test_settings_have_ranges():
    check_settings(0.0, 1, ())
    check_settings(10.0, 5, ("translation", "cutout"))
    for penalty, steps in ((-1.0, 1), (float("nan"), 1), (0.0, 0)):
        with pytest.raises(ValueError, match="`gradient_penalty` must be at least 0"):
            check_settings(penalty, steps, ())
    for wrong in ("cutout", ("flip",)):
        with pytest.raises(ValueError, match="augmentation must be a sequence of .*'cutout'"):
            check_settings(0.0, 1, wrong)


def test_networks_fit_each_other():
    assert check_networks(generator(), discriminator()) is False
    assert check_networks(generator(True), discriminator(True)) is True
    with pytest.raises(ValueError, match=r"both with classes or both without; received \[\['lab"):
        check_networks(generator(True), discriminator())
    with pytest.raises(ValueError, match=r"images \(4, 4, 1\) for \(8, 8, 1\)"):
        check_networks(generator(), discriminator(shape=(8, 8, 1)))
    with pytest.raises(ValueError, match=r"logits \(None, 2\)"):
        check_networks(generator(), discriminator(units=2))


def test_a_penalty_of_each_image_needs_networks_of_each_image():
    check_penalty(10.0, discriminator())
    with pytest.raises(ValueError, match="without batch normalisation; received 10"):
        check_penalty(10.0, discriminator(normalized=True))


def test_batches_fit_the_networks():
    images, labels = np.zeros((2, 4, 4, 1), "float64"), np.array([0, 1])
    found, none = checked_batch(images, None, (4, 4, 1), False)
    assert found.dtype == "float32" and none is None
    _, classes = checked_batch(images, labels, (4, 4, 1), True)
    assert classes.dtype == tf.int32
    with pytest.raises(ValueError, match=r"float32 in \[-1, 1\], .* received uint8"):
        checked_batch(images.astype("uint8"), None, (4, 4, 1), False)
    with pytest.raises(ValueError, match=r"\(B, 8, 8, 1\), .* \(2, 4, 4, 1\)"):
        checked_batch(images, None, (8, 8, 1), False)
    with pytest.raises(ValueError, match="take no `labels`"):
        checked_batch(images, labels, (4, 4, 1), False)
    with pytest.raises(ValueError, match="need `labels`"):
        checked_batch(images, None, (4, 4, 1), True)


def test_one_number_of_images_is_said():
    latent = np.zeros((3, 5))
    assert checked_count(latent, None, None, False) == 3
    assert checked_count(None, [0, 1], 2, True) == 2
    assert checked_count(None, None, 4, False) == 4
    for arguments in ((None, None, None, False), (latent, None, 2, False), (None, [], None, True)):
        with pytest.raises(ValueError, match="must say one number of images"):
            checked_count(*arguments)
    with pytest.raises(ValueError, match="take no `labels`"):
        checked_count(None, [1], None, False)
