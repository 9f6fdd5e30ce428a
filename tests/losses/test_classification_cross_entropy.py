"""Against Keras' own losses, against plain numpy, and by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import losses as theirs

from kmed.losses import ClassificationCrossEntropy, OrdinalCrossEntropy


def cross_entropy(kind="multiclass", **settings):
    return ClassificationCrossEntropy(kind, reduction=None, **settings)


def batch(classes=4, rows=6, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (rows, classes)).astype("float32")
    return rng.integers(0, classes, rows), logits


def soft(rows=6, classes=4, seed=1):
    return np.random.default_rng(seed).dirichlet(np.ones(classes), rows).astype("float32")


def by_loops(targets, logits, weights, gamma, smoothing):
    """The formula of the docstring, one class at a time in float64."""
    result = []
    for t, z in zip(targets.astype("float64"), logits.astype("float64"), strict=True):
        p, total = np.exp(z) / np.exp(z).sum(), 0.0
        for k in range(len(p)):
            target = t[k] * (1 - smoothing) + smoothing / len(p)
            total -= weights[k] * target * (1 - p[k]) ** gamma * np.log(p[k])
        result.append(total)
    return result


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_indices_equal_keras_sparse_cross_entropy(shape):
    labels, logits = batch()
    expected = theirs.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    found = cross_entropy()(labels.reshape(shape), logits)
    assert tuple(found.shape) == (6,)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    hot = cross_entropy()(np.eye(4, dtype="float32")[labels], logits)
    np.testing.assert_allclose(hot, expected, rtol=1e-6)


def test_soft_targets_and_smoothing_equal_keras():
    labels, logits = batch()
    expected = theirs.categorical_crossentropy(soft(), logits, True, label_smoothing=0.1)
    np.testing.assert_allclose(
        cross_entropy(label_smoothing=0.1)(soft(), logits), expected, rtol=1e-6
    )
    hot = np.eye(4)[labels]
    expected = theirs.categorical_crossentropy(hot, logits, True, label_smoothing=0.2)
    found = cross_entropy(label_smoothing=0.2)(labels, logits)  # what Keras' sparse loss lacks
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_smoothing_by_hand():
    # (0.9 + 0.1 / 2) log(1 / 0.8) + 0.05 log(1 / 0.2)
    found = cross_entropy(label_smoothing=0.1)([0], np.log([[0.8, 0.2]]).astype("float32"))
    assert float(found[0]) == pytest.approx(-0.95 * np.log(0.8) - 0.05 * np.log(0.2), rel=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_weights_and_focus_equal_keras_and_numpy(gamma, smoothing):
    labels, logits = batch()
    weights = [0.5, 1.0, 2.0, 4.0]
    found = cross_entropy(class_weights=weights, focal_gamma=gamma, label_smoothing=smoothing)
    for targets in (np.eye(4)[labels], soft()):
        np.testing.assert_allclose(
            found(targets, logits), by_loops(targets, logits, weights, gamma, smoothing), rtol=2e-5
        )
        expected = theirs.categorical_focal_crossentropy(
            targets.astype("float32"),
            logits,
            alpha=np.array(weights, "float32"),
            gamma=gamma,
            from_logits=True,
            label_smoothing=smoothing,
        )
        np.testing.assert_allclose(found(targets, logits), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found(labels, logits), found(np.eye(4)[labels], logits), rtol=1e-6)


def test_a_weight_multiplies_the_loss_of_its_class():
    labels, logits = batch()
    weights = np.array([0.5, 1.0, 2.0, 0.0])
    weighted = cross_entropy(class_weights=weights)(labels, logits)
    np.testing.assert_allclose(
        weighted, weights[labels] * cross_entropy()(labels, logits), rtol=1e-5
    )


def test_gradient_of_weighted_soft_targets():
    # TensorFlow's fused operator takes targets for granted that sum to 1; these do not.
    targets, (_, logits), weights = soft(), batch(), np.array([0.5, 1.0, 2.0, 4.0])
    x = tf.Variable(logits)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(cross_entropy(class_weights=weights)(targets, x))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    weighted = weights * targets
    expected = weighted.sum(1, keepdims=True) * p - weighted
    np.testing.assert_allclose(tape.gradient(loss, x), expected, atol=1e-5)


def test_multilabel_equals_keras():
    rng = np.random.default_rng(2)
    targets = rng.integers(0, 2, (6, 4)).astype("float32")
    logits = rng.normal(0, 3, (6, 4)).astype("float32")
    expected = theirs.binary_crossentropy(targets, logits, True, label_smoothing=0.1)
    found = cross_entropy("multilabel", label_smoothing=0.1)(targets, logits)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    expected = theirs.binary_focal_crossentropy(targets, logits, gamma=2.0, from_logits=True)
    found = cross_entropy("multilabel", focal_gamma=2.0)(targets, logits)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    weights = np.array([3.0, 1.0, 0.5, 2.0], "float32")
    expected = tf.nn.weighted_cross_entropy_with_logits(targets, logits, weights)
    found = cross_entropy("multilabel", class_weights=weights)(targets, logits)
    np.testing.assert_allclose(found, tf.reduce_mean(expected, axis=1), rtol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"focal_gamma": 2.0, "class_weights": (1.0, 3.0)}])
def test_one_logit_equals_two_with_the_same_difference(settings):
    labels, logits = batch(2)
    one, two = logits[:, 1:] - logits[:, :1], logits
    loss = cross_entropy("binary", label_smoothing=0.1, **settings)
    np.testing.assert_allclose(loss(labels, one), loss(labels, two), rtol=1e-5)
    np.testing.assert_allclose(loss(soft(6, 2), one), loss(soft(6, 2), two), rtol=1e-5)
    multiclass = cross_entropy("multiclass", label_smoothing=0.1, **settings)
    np.testing.assert_allclose(loss(labels, two), multiclass(labels, two), rtol=1e-6)


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_finite_and_still_learning_at_the_ends_of_half_precision(kind, gamma, dtype):
    x = tf.Variable(tf.cast([[6e4, -6e4], [30.0, -30.0], [0.0, 0.0]], dtype))
    targets = [[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]]
    with tf.GradientTape() as tape:
        losses = cross_entropy(kind, focal_gamma=gamma)(targets, x)
        total = tf.reduce_sum(losses)
    assert losses.dtype == tf.float32
    gradient = tf.cast(tape.gradient(total, x), "float32").numpy()
    assert np.isfinite(losses).all() and np.isfinite(gradient).all()
    assert float(losses[1]) == pytest.approx(60.0 if kind == "multiclass" else 30.0, rel=1e-3)
    assert gradient[1, 1] < -0.4  # Keras' focal loss has clipped this one to a slope of 0
    right = cross_entropy(kind, focal_gamma=gamma)([[1.0, 0.0]], tf.cast([[6e4, -6e4]], dtype))
    assert float(right[0]) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("wrong", [-1, 4, 0.5])
def test_an_index_that_is_no_class_is_not_a_number(wrong):
    _, logits = batch(rows=2)
    assert np.isnan(cross_entropy()([0, wrong], logits)).tolist() == [False, True]
    assert np.isnan(cross_entropy(focal_gamma=1)([0, wrong], logits)).tolist() == [False, True]


def test_targets_that_are_none_are_not_numbers():
    _, logits = batch(3, rows=3)
    twice = [[1.0, 1.0, 0.0], [0.5, 0.5, 0.0], [2.0, -1.0, 0.0]]
    assert np.isnan(cross_entropy()(twice, logits)).tolist() == [True, False, True]
    found = np.isnan(cross_entropy("multilabel")(twice, logits))
    assert found.tolist() == [False, False, True]


def test_sample_weight_fit_and_configuration():
    labels, logits = batch()
    loss = ClassificationCrossEntropy(
        "multiclass", label_smoothing=0.1, focal_gamma=1, class_weights=np.arange(1, 5)
    )
    alone = loss.call(labels, logits).numpy()
    weights = np.array([0.0, 2, 1, 1, 1, 1])
    assert float(loss(labels, logits, weights)) == pytest.approx((alone * weights).mean(), rel=1e-5)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert float(again(labels, logits)) == pytest.approx(float(loss(labels, logits)))
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    model.compile("sgd", loss, jit_compile=False)
    first, last = (
        model.fit(logits, labels, epochs=9, verbose=0).history["loss"][i] for i in (0, -1)
    )
    assert last < first


def test_refusals():
    _, logits = batch()
    with pytest.raises(ValueError, match="OrdinalCrossEntropy"):
        ClassificationCrossEntropy("ordinal")
    with pytest.raises(ValueError, match="label_smoothing"):
        ClassificationCrossEntropy(label_smoothing=2)
    with pytest.raises(ValueError, match="class_weights"):
        ClassificationCrossEntropy(class_weights=[1.0, -1.0])
    with pytest.raises(ValueError, match="one for each of 4 classes"):
        cross_entropy(class_weights=[1.0, 2.0])([0] * 6, logits)
    with pytest.raises(ValueError, match="one or two logits"):
        cross_entropy("binary")([0] * 6, logits)
    with pytest.raises(ValueError, match="two or more logits"):
        cross_entropy()([0] * 6, logits[:, :1])
    with pytest.raises(ValueError, match=r"\(B, 4\) targets"):
        cross_entropy("multilabel")([0] * 6, logits)
    with pytest.raises(ValueError, match=r"\(B, K\)"):
        OrdinalCrossEntropy()([[0]], logits[None])
