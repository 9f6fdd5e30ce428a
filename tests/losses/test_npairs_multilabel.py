import numpy as np
import pytest

from kmed.losses.npairs import npairs_loss
from kmed.losses.npairs_multilabel import NpairsMultilabelLoss, npairs_multilabel_loss


def test_the_target_is_the_share_of_common_labels():
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, (7, 5))
    labels[:, 0], labels[2] = 1, [0, 1, 1, 0, 0]
    similarities = random.normal(size=(7, 7))
    values = []
    for i in range(7):
        shared = [sum(labels[i] * labels[j]) for j in range(7)]
        logs = similarities[i] - np.log(sum(np.exp(similarities[i])))
        values.append(-sum(s * log for s, log in zip(shared, logs, strict=True)) / sum(shared))
    found = npairs_multilabel_loss(labels, similarities)
    np.testing.assert_allclose(found, np.mean(values), rtol=1e-9)
    np.testing.assert_allclose(
        NpairsMultilabelLoss()(labels, similarities), np.mean(values), rtol=1e-5
    )
    x = np.linalg.qr(random.normal(size=(7, 7)))[0]
    shared = labels @ labels.T
    across = NpairsMultilabelLoss().cross(x, x, shared, shared == 0)
    np.testing.assert_allclose(across, npairs_multilabel_loss(labels, x @ x.T), rtol=1e-9)


def test_one_label_each_is_the_loss_of_single_labels():
    similarities = np.random.default_rng(0).normal(size=(5, 5))
    classes = np.array([0, 1, 0, 2, 1])
    found = npairs_multilabel_loss(np.eye(3)[classes], similarities)
    np.testing.assert_allclose(found, npairs_loss(classes, similarities), rtol=1e-9)


def test_an_item_without_a_label_does_not_count():
    one = npairs_multilabel_loss([[1, 0], [0, 0]], [[2.0, 0.0], [5.0, 5.0]])
    np.testing.assert_allclose(one, np.log1p(np.exp(-2)), rtol=1e-6)


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match=r"shape \(B, labels\).*received \(2,\)"):
        npairs_multilabel_loss([0, 1], np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"received \(2, 3\) for 2 labels"):
        npairs_multilabel_loss(np.eye(2), np.zeros((2, 3)))
