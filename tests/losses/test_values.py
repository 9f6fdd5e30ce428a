"""Values of the losses: MONAI, Keras, plain loops."""

import keras
import numpy as np
import pytest

from kmed import losses


def batch(classes=3, shape=(2, 6, 5), seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, max(classes, 2), shape).astype("uint8")
    return labels, rng.normal(size=(*shape, classes)).astype("float32")


def softmax(logits):
    e = np.exp(logits - logits.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize(
    ("loss", "golden"),
    [
        (losses.SoftDice(include_background=True, absent="formula"), "dice_loss"),
        (losses.DiceCrossEntropy(include_background=True, absent="formula"), "dice_ce_loss"),
        (losses.GeneralizedDice(smooth=1e-5), "generalized_dice_loss"),
        (losses.Tversky(include_background=True, absent="formula"), "tversky_loss_0.3_0.7"),
    ],
)
def test_equals_monai(goldens, loss, golden):
    values = np.load(goldens / "monai.npz")
    logits = np.moveaxis(values["logits_nchw"], 1, -1)
    labels = values["labels_n1hw"][:, 0]
    assert float(loss(labels, logits)) == pytest.approx(float(values[golden]), abs=1e-6)


def test_generalized_dice_differs_from_monai_only_by_its_constant(goldens):
    values = np.load(goldens / "monai.npz")
    logits = np.moveaxis(values["logits_nchw"], 1, -1)
    ours = float(losses.GeneralizedDice()(values["labels_n1hw"][:, 0], logits))
    assert 1e-5 < abs(ours - float(values["generalized_dice_loss"])) < 1e-3
    # 64^3 voxels, half of them in each class, logits that tell nothing: the Dice is 1/2, and
    # MONAI's constant hides some: 1 - (2 / G + 1e-5) / (4 / G + 1e-5) with G = 2^17.
    labels = np.zeros((1, 64, 64, 64), "uint8")
    labels[:, :32] = 1
    flat = np.zeros((1, 64, 64, 64, 2), "float32")
    assert float(losses.GeneralizedDice()(labels, flat)) == pytest.approx(0.5, abs=1e-4)
    assert float(losses.GeneralizedDice(smooth=1e-5)(labels, flat)) == pytest.approx(
        0.3766, abs=1e-4
    )


@pytest.mark.parametrize("absent", ["fraction", "ignore", "formula"])
@pytest.mark.parametrize("squared", [False, True])
def test_soft_dice_by_plain_loops(absent, squared):
    labels, logits = batch(4, (3, 5, 5))
    labels[1][labels[1] == 2] = 0  # class 2 is absent from the second example
    p, power = softmax(logits), 2 if squared else 1
    expected = []
    for b in range(3):
        per_class = []
        for k in (1, 2, 3):
            inter = total = volume = count = 0.0
            for i in range(5):
                for j in range(5):
                    g = float(labels[b, i, j] == k)
                    inter += p[b, i, j, k] * g
                    total += p[b, i, j, k] ** power + g
                    volume += p[b, i, j, k]
                    count += g
            if count == 0 and absent == "fraction":
                per_class.append(volume / 25)
            elif count or absent == "formula":
                per_class.append(1 - (2 * inter + 1e-5) / (total + 1e-5))
        expected.append(np.mean(per_class))
    loss = losses.SoftDice(squared=squared, absent=absent, reduction=None)
    np.testing.assert_allclose(loss(labels, logits), expected, rtol=1e-5)


def test_an_absent_class_that_is_nearly_absent_costs_nearly_nothing():
    labels = np.zeros((1, 32, 32), "uint8")
    logits = np.full((1, 32, 32, 1), -5.0, "float32")  # p = 0.0067 everywhere
    assert float(losses.SoftDice()(labels, logits)) == pytest.approx(1 / (1 + np.exp(5)), rel=1e-4)
    assert float(losses.Tversky()(labels, logits)) < 0.01
    assert float(losses.SoftDice(absent="ignore")(labels, logits)) == 0
    assert float(losses.SoftDice(absent="formula")(labels, logits)) > 0.99
    assert float(losses.GeneralizedDice(include_background=False)(labels, logits)) < 0.01


def test_tversky_of_one_half_is_dice_and_gamma_is_an_exponent():
    labels, logits = batch(3)
    half = losses.Tversky(alpha=0.5, beta=0.5, smooth=0.0, absent="formula", reduction=None)
    dice = losses.SoftDice(smooth=0.0, absent="formula", reduction=None)
    np.testing.assert_allclose(half(labels, logits), dice(labels, logits), rtol=1e-5)
    labels, logits = batch(2)
    plain = losses.Tversky(reduction=None)(labels, logits)
    focal = losses.Tversky(gamma=0.75, reduction=None)(labels, logits)
    np.testing.assert_allclose(focal, np.asarray(plain) ** 0.75, rtol=1e-5)


def test_cross_entropies_equal_keras():
    labels, logits = batch(3)
    reference = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    weights = np.random.default_rng(1).uniform(0, 5, labels.shape).astype("float32")
    loss = losses.BorderWeightedCrossEntropy()
    assert float(loss(labels, logits)) == pytest.approx(float(reference(labels, logits)), rel=1e-5)
    for shaped in (weights, weights[..., None]):
        assert float(loss(labels, logits, shaped)) == pytest.approx(
            float(reference(labels, logits, weights)), rel=1e-5
        )
    binary = keras.losses.BinaryCrossentropy(from_logits=True)
    labels, logits = batch(1)
    assert float(loss(labels, logits)) == pytest.approx(
        float(binary(labels[..., None], logits)), rel=1e-5
    )


def test_voxel_weights_reach_the_cross_entropy_and_not_the_dice():
    labels, logits = batch(3)
    weights = np.full(labels.shape, 3.0, "float32")
    value = float(losses.DiceCrossEntropy()(labels, logits, weights))
    dice = float(losses.SoftDice()(labels, logits))
    entropy = float(losses.BorderWeightedCrossEntropy()(labels, logits))
    assert value == pytest.approx(dice + 3 * entropy, rel=1e-5)


@pytest.mark.parametrize("alpha", [0.25, (0.2, 0.5, 0.3)])
def test_focal_equals_keras_on_one_hot_vectors(alpha):
    labels, logits = batch(3)
    reference = keras.losses.CategoricalFocalCrossentropy(
        alpha=alpha if isinstance(alpha, float) else list(alpha), gamma=2.0, from_logits=True
    )
    expected = float(reference(np.eye(3)[labels], logits))
    assert float(losses.Focal(alpha=alpha)(labels, logits)) == pytest.approx(expected, rel=1e-5)
