"""What every loss of embeddings must do."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.losses.circle import CircleLoss
from kmed.losses.contrastive import ContrastiveLoss
from kmed.losses.embedding_loss import EmbeddingLoss, above_zero, at_least_zero
from kmed.losses.infonce import InfoNCELoss
from kmed.losses.lifted_struct import LiftedStructLoss
from kmed.losses.npairs import NpairsLoss
from kmed.losses.npairs_multilabel import NpairsMultilabelLoss
from kmed.losses.ntxent import NTXentLoss
from kmed.losses.sigmoid_pairs import SigmoidLoss
from kmed.losses.triplet_all import TripletAllLoss
from kmed.losses.triplet_hard import TripletHardLoss
from kmed.losses.triplet_semihard import TripletSemiHardLoss

ALL = {
    "triplet_semihard": TripletSemiHardLoss(0.5, "squared-L2"),
    "triplet_hard": TripletHardLoss(0.5),
    "triplet_all": TripletAllLoss(0.5, distance_metric="angular"),
    "triplet_all_soft": TripletAllLoss(soft=True),
    "contrastive": ContrastiveLoss(1.2),
    "npairs": NpairsLoss(),
    "npairs_multilabel": NpairsMultilabelLoss(),
    "lifted_struct": LiftedStructLoss(0.5),
    "ntxent": NTXentLoss(0.3),
    "infonce": InfoNCELoss(0.2, maximum_scale=50.0),
    "sigmoid": SigmoidLoss(),
    "circle": CircleLoss(32.0, 0.3),
}
# Those that take labels and embeddings; others take distances or similarities, as in Addons.
TAKES_LABELS = (EmbeddingLoss.call, TripletHardLoss.call)
LABELLED = [name for name, loss in ALL.items() if type(loss).call in TAKES_LABELS]
every_loss = pytest.mark.parametrize("loss", ALL.values(), ids=ALL)


def unit(count, dimension=6, seed=0):
    x = np.random.default_rng(seed).normal(size=(count, dimension))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype("float32")


def two_modalities(a=6, g=9, seed=0):
    kind = np.random.default_rng(seed).integers(0, 3, (a, g))
    kind[0], kind[1] = 1, 2  # an anchor without a match, and one of which nothing is known
    kind[2:, :2] = 0, 1
    return unit(a, seed=seed), unit(g, seed=seed + 1), kind == 0, kind == 1


def value_and_gradients(loss, anchors, gallery, positive, negative):
    anchors, gallery = tf.Variable(anchors), tf.Variable(gallery)
    learned = {name: tf.Variable(value) for name, value in loss.learnable.items()}
    with tf.GradientTape() as tape:
        value = loss.cross(anchors, gallery, positive, negative, **learned)
    found = tape.gradient(
        value, [anchors, gallery, *learned.values()], unconnected_gradients="zero"
    )
    return value, [np.array(tf.cast(tf.convert_to_tensor(g), "float32")) for g in found]


@every_loss
def test_one_direction_is_a_scalar_that_changes_with_both_sides(loss):
    value, gradients = value_and_gradients(loss, *two_modalities())
    assert value.shape == () and value.dtype == "float32" and value > 0
    for gradient in gradients:
        assert np.isfinite(gradient).all() and np.any(gradient)
    initial = loss.cross(*two_modalities())
    np.testing.assert_allclose(value, initial, rtol=1e-6)


@every_loss
def test_gradients_are_differences(loss):
    anchors, gallery, positive, negative = two_modalities(seed=3)
    sides = anchors.astype("float64"), gallery.astype("float64")
    value, gradients = value_and_gradients(loss, *sides, positive, negative)
    assert value.dtype == "float64"
    random = np.random.default_rng(0)
    steps = [1e-6 * random.normal(size=side.shape) for side in sides]
    ends = [
        loss.cross(*(s + sign * d for s, d in zip(sides, steps, strict=True)), positive, negative)
        for sign in (1, -1)
    ]
    expected = sum(np.sum(g * d) for g, d in zip(gradients, steps, strict=False))
    np.testing.assert_allclose((ends[0] - ends[1]) / 2, expected, rtol=1e-4)


@every_loss
def test_pairs_that_are_neither_take_no_part(loss):
    anchors, gallery, positive, negative = two_modalities()
    more = np.concatenate([gallery, unit(3, seed=9)])
    nothing = np.zeros((6, 3), bool)
    value = loss.cross(
        anchors, more, np.hstack([positive, nothing]), np.hstack([negative, nothing])
    )
    np.testing.assert_allclose(value, loss.cross(anchors, gallery, positive, negative), rtol=1e-6)


@every_loss
def test_nothing_to_learn_costs_nothing(loss):
    anchors, gallery, positive, negative = two_modalities()
    none = np.zeros_like(positive)
    for value, gradients in (
        value_and_gradients(loss, anchors, gallery, none, none),
        # Where there is no match, a softmax or a triplet has nothing to compare.
        *(
            [value_and_gradients(loss, anchors, gallery, none, negative)]
            if not isinstance(loss, ContrastiveLoss | SigmoidLoss)
            else []
        ),
    ):
        assert value == 0 and not any(np.any(g) for g in gradients)
    value, gradients = value_and_gradients(loss, anchors, gallery, positive, none)
    assert np.isfinite(value) and all(np.isfinite(g).all() for g in gradients)


@every_loss
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(loss, dtype):
    anchors, gallery, positive, negative = two_modalities()
    gallery[:6] = anchors  # matches and counterexamples at distance 0,
    anchors[2] = gallery[3] = 0  # and vectors without direction
    half = tf.cast(anchors, dtype), tf.cast(gallery, dtype)
    value, gradients = value_and_gradients(loss, *half, positive, negative)
    assert value.dtype == "float32" and all(np.isfinite(g).all() for g in gradients)
    rounded = [np.array(tf.cast(side, "float32")) for side in half]
    np.testing.assert_allclose(value, loss.cross(*rounded, positive, negative), rtol=1e-6)


@every_loss
def test_identical_vectors_are_finite(loss):
    _, _, positive, negative = two_modalities()
    same = tf.fill((6, 4), tf.cast(0.5, "float16")), tf.fill((9, 4), tf.cast(0.5, "float16"))
    value, gradients = value_and_gradients(loss, *same, positive, negative)
    assert np.isfinite(value) and all(np.isfinite(g).all() for g in gradients)


@every_loss
def test_compiled_for_any_number(loss):
    sides, pairs = tf.TensorSpec((None, 6)), tf.TensorSpec((None, None), "bool")

    @tf.function(input_signature=[sides, sides, pairs, pairs])
    def compiled(*tensors):
        return loss.cross(*tensors)

    for tensors in (two_modalities(), two_modalities(3, 5, seed=4)):
        np.testing.assert_allclose(compiled(*tensors), loss.cross(*tensors), rtol=1e-5)


@every_loss
def test_survives_its_configuration(loss):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert type(again) is type(loss) and again.get_config() == loss.get_config()
    assert again.learnable == loss.learnable
    np.testing.assert_array_equal(again.cross(*two_modalities()), loss.cross(*two_modalities()))


@pytest.mark.parametrize("name", LABELLED)
def test_labels_are_the_pairs_of_one_batch(name):
    loss, x = ALL[name], unit(8)
    labels = np.array([0, 1, 2, 0, 1, 2, 0, 0])
    equal = labels[:, None] == labels[None]
    expected = loss.cross(x, x, equal & ~np.eye(8, dtype=bool), ~equal)
    np.testing.assert_allclose(loss.call(labels, x), expected, rtol=1e-6)
    np.testing.assert_allclose(loss(labels[:, None], x), expected, rtol=1e-6)
    variable = tf.Variable(x)
    for y_true in (np.arange(8), np.zeros(8)):  # no match, then no counterexample
        with tf.GradientTape() as tape:
            value = loss(y_true, variable)
        gradient = tf.convert_to_tensor(tape.gradient(value, variable))
        assert np.isfinite(value) and np.isfinite(gradient).all()


def test_keras_trains_with_labels():
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 4)
    x = (np.eye(4)[labels] + 0.5 * random.normal(size=(16, 4))).astype("float32")
    layers = [keras.layers.Dense(3, use_bias=False), keras.layers.UnitNormalization()]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile(keras.optimizers.Adam(0.05), TripletSemiHardLoss(), jit_compile=False)
    losses = model.fit(x, labels, batch_size=16, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"anchors": np.ones((6, 5))}, r"received \(6, 5\), \(9, 6\), \(6, 9\)"),
        ({"positive": np.ones((9, 6), bool)}, r"\(A, G\).*received .*\(9, 6\)"),
        ({"negative": np.ones(6, bool)}, r"received .*\(6,\)"),
        ({"log_scale": 1.0}, r"TripletHardLoss learns nothing; received \['log_scale'\]"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    names = ("anchors", "gallery", "positive", "negative")
    arguments = dict(zip(names, two_modalities(), strict=True)) | change
    with pytest.raises(ValueError, match=message):
        TripletHardLoss().cross(**arguments)


def test_labels_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"one label per item\); received .*\(3, 3\)"):
        NTXentLoss().call([0, 1, 0], unit(4))
    with pytest.raises(ValueError, match="not one-hot vectors"):
        NTXentLoss().call(np.eye(4), unit(4))
    with pytest.raises(ValueError, match=r"learns \['log_scale'\]; received \['bias'\]"):
        InfoNCELoss().cross(*two_modalities(), bias=1.0)


def test_numbers_are_checked():
    assert at_least_zero(margin=0, other=2) == (0.0, 2.0) and above_zero(scale=3) == (3.0,)
    for check, value in ((at_least_zero, -1), (above_zero, 0), (above_zero, float("nan"))):
        with pytest.raises(ValueError, match=f"`margin` must be .*; received {value}"):
            check(margin=value)
