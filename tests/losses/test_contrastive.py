import numpy as np
import pytest
import tensorflow as tf

from kmed.losses.contrastive import ContrastiveLoss, contrastive_loss


def test_gives_what_tensorflow_addons_gives(goldens):
    with np.load(goldens / "tensorflow_addons.npz") as golden:
        same, distance, wanted = (golden[n] for n in ("same", "distance", "contrastive"))
    np.testing.assert_allclose(contrastive_loss(same, distance), wanted, rtol=1e-6)
    np.testing.assert_allclose(ContrastiveLoss(reduction=None)(same, distance), wanted, rtol=1e-6)
    np.testing.assert_allclose(ContrastiveLoss()(same, distance), wanted.mean(), rtol=1e-6)


def test_across_modalities_with_loops():
    random = np.random.default_rng(0)
    a, g = random.normal(size=(4, 3)), random.normal(size=(6, 3))
    kind = random.integers(0, 3, (4, 6))
    matches, others = [], []
    for i in range(4):
        for j in range(6):
            distance = np.linalg.norm(a[i] - g[j])
            if kind[i, j] == 0:
                matches.append(distance**2)
            elif kind[i, j] == 1:
                others.append(max(2.5 - distance, 0) ** 2)
    assert 0 in others and max(others) > 0
    sides = a, g, kind == 0, kind == 1
    found = ContrastiveLoss(2.5).cross(*sides)
    np.testing.assert_allclose(found, np.mean(matches + others), rtol=1e-9)
    found = ContrastiveLoss(2.5, balanced=True).cross(*sides)
    np.testing.assert_allclose(found, (np.mean(matches) + np.mean(others)) / 2, rtol=1e-9)


def test_a_column_of_distances_is_one_per_pair():
    expected = contrastive_loss([1, 0, 0], [0.5, 0.5, 2.0])
    column = contrastive_loss(np.array([1, 0, 0]), np.array([[0.5], [0.5], [2.0]], "float32"))
    np.testing.assert_allclose(column[:, 0], expected)
    with pytest.raises(ValueError, match=r"received \(2,\) labels, \(3, 1\) distances"):
        contrastive_loss([1, 0], np.zeros((3, 1)))

    @tf.function(input_signature=[tf.TensorSpec((None,)), tf.TensorSpec((None, 1))])
    def compiled(y_true, y_pred):
        return contrastive_loss(y_true, y_pred)

    np.testing.assert_allclose(compiled([1.0, 0], [[0.5], [0.5]])[:, 0], expected[:2])


def test_half_precision_is_computed_in_float32():
    found = contrastive_loss([1], tf.constant([300.0], "float16"))
    assert found.dtype == "float32" and found[0] == 90000
