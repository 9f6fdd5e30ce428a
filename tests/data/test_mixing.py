import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from kmed.data import mixing
from kmed.data.mixing import Mixing

SEED = tf.constant([3, 5], tf.int32)


def batch(count=6, shape=(9, 8, 2)):
    """Images that hold their number, and one-hot targets that say it."""
    numbers = np.arange(count, dtype="float32")
    images = np.broadcast_to(numbers.reshape(-1, *[1] * len(shape)), (count, *shape))
    return tf.constant(images), tf.one_hot(numbers.astype(int), count)


@pytest.mark.parametrize("shape", [(9, 8, 2), (5, 9, 8, 2)])
@pytest.mark.parametrize("options", [{"mixup": 0.4}, {"cutmix": 1.0}])
def test_targets_are_mixed_as_the_pixels_are(shape, options):
    images, targets = batch(shape=shape)
    mixed, labels = Mixing(**options)(images, targets, SEED)
    assert mixed.shape == images.shape and mixed.dtype == labels.dtype == tf.float32
    np.testing.assert_allclose(tf.reduce_sum(labels, 1), 1, rtol=1e-5)
    # The mean pixel of images that hold their number is what the targets expect of it.
    expected = labels.numpy() @ np.arange(6)
    np.testing.assert_allclose(tf.reduce_mean(mixed, range(1, mixed.ndim)), expected, atol=1e-4)
    assert np.abs(expected - np.arange(6)).max() > 0.1


def test_mixup_is_equation_2():
    images, targets = batch()
    mixed, _ = Mixing(mixup=0.4)(images, targets, SEED)
    assert np.ptp(mixed.numpy(), axis=(1, 2, 3)).max() < 1e-6


def test_cutmix_pastes_one_box():
    images, targets = batch(shape=(40, 20, 1))
    mixed, labels = Mixing(cutmix=1.0)(images, targets, SEED)
    boxes = 0
    for number, (image, label) in enumerate(
        zip(mixed.numpy()[..., 0], labels.numpy(), strict=True)
    ):
        inside = image != number
        if inside.any():
            rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
            assert (
                inside.sum()
                == len(rows) * len(columns)
                == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
            )
            # Of the image's proportions, to within a pixel.
            assert abs(len(rows) - 2 * len(columns)) <= 2
            assert label[number] == pytest.approx(1 - inside.mean(), abs=1e-6)
            boxes += 1
    assert boxes >= 3


def same_draws(monkeypatch, name, layer, images, targets):
    """What a Keras layer gives, and what `Mixing` gives for what the layer drew."""
    data = {"images": images, "labels": targets}
    drawn = layer.get_random_transformation(data, training=True, seed=7)
    monkeypatch.setattr(
        mixing, "_draw", lambda *_: (drawn["mix_weight"], drawn["permutation_order"])
    )
    theirs = layer.transform_images(images, drawn), layer.transform_labels(targets, drawn)
    return theirs, Mixing(**{name: 0.3})(images, targets, SEED), drawn


def test_mixup_is_what_keras_does(monkeypatch):
    images, targets = tf.random.stateless_normal([6, 9, 8, 2], SEED), batch()[1]
    theirs, ours, _ = same_draws(monkeypatch, "mixup", keras.layers.MixUp(0.3), images, targets)
    for a, b in zip(theirs, ours, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_cutmix_is_what_keras_does(monkeypatch):
    images, targets = tf.random.stateless_normal([6, 90, 80, 2], SEED), batch()[1]
    layer = keras.layers.CutMix(0.3)
    drawn = layer.get_random_transformation({"images": images, "labels": targets}, seed=7)
    monkeypatch.setattr(mixing, "_boxes", lambda *_: drawn["batch_masks"][..., :1])
    theirs, ours, _ = same_draws(monkeypatch, "cutmix", layer, images, targets)
    np.testing.assert_array_equal(theirs[0], ours[0])
    # Keras counts the box's area before it is cut to whole pixels.
    np.testing.assert_allclose(theirs[1], ours[1], atol=0.03)


def test_equal_seeds_give_equal_batches():
    images, targets = batch()
    both = Mixing(mixup=0.4, cutmix=1.0)
    again = Mixing(mixup=0.4, cutmix=1.0)
    kinds = set()
    for number in range(12):
        seed = tf.constant([number, 1], tf.int32)
        first, labels = both(images, targets, seed)
        for a, b in zip((first, labels), again(images, targets, seed), strict=True):
            np.testing.assert_array_equal(a, b)
        kinds.add(bool(np.ptp(first.numpy(), axis=(1, 2, 3)).max() > 1e-5))
    assert kinds == {True, False}  # the coin falls on either side


def test_weights_are_of_the_beta_distribution():
    for alpha in (0.2, 1.0):
        weight, order = mixing._draw(4000, SEED, alpha)
        assert stats.kstest(weight.numpy(), stats.beta(alpha, alpha).cdf).pvalue > 0.01
        assert sorted(order.numpy()) == list(range(4000))
    assert np.isfinite(mixing._draw(1000, SEED, 1e-3)[0]).all()


def test_nothing_is_mixed_by_default():
    images, targets = batch()
    nothing = Mixing()
    assert not nothing and nothing(images, targets, SEED) == (images, targets)


def test_what_means_nothing_is_refused():
    with pytest.raises(ValueError, match="`mixup` must be 0 or greater; received -1"):
        Mixing(mixup=-1)
    with pytest.raises(ValueError, match="`cutmix` must be 0 or greater; received inf"):
        Mixing(cutmix=float("inf"))
    with pytest.raises(ValueError, match="`cutmix` must be 0 for kind='ordinal'"):
        Mixing(cutmix=1, kind="ordinal")
