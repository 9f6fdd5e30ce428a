import keras
import numpy as np
import pytest

from kmed.losses.rpn import RPNLoss


def by_hand(y_true, y_pred, beta=1 / 9):
    """Torchvision's two losses over all sampled anchors of the batch, in plain loops."""
    objectness, boxes, sampled = 0.0, 0.0, 0
    for truth, found in zip(y_true.reshape(-1, 6), y_pred.reshape(-1, 5), strict=True):
        if not truth[5]:
            continue
        sampled += 1
        p = 1 / (1 + np.exp(-found[4]))
        objectness -= np.log(p if truth[4] == 1 else 1 - p)
        if truth[4] == 1:
            for a, b in zip(truth[:4], found[:4], strict=True):
                d = abs(a - b)
                boxes += 0.5 * d * d / beta if d < beta else d - 0.5 * beta
    return objectness / sampled, boxes / sampled


def batch():
    random = np.random.default_rng(0)
    y_true = random.normal(size=(3, 20, 6))
    y_true[..., 4] = random.integers(-1, 2, (3, 20))
    y_true[..., 5] = (y_true[..., 4] >= 0) & (random.uniform(size=(3, 20)) < 0.6)
    y_true[0, :15, 5] = 0  # images have different numbers of samples
    y_pred = random.normal(size=(3, 20, 5))
    y_pred[..., :4] = y_true[..., :4] + random.normal(size=(3, 20, 4)) * 0.2
    return y_true.astype("float32"), y_pred.astype("float32")


@pytest.mark.parametrize("beta", [1 / 9, 0.5])
def test_the_batchs_mean_is_torchvisions(beta):
    y_true, y_pred = batch()
    expected = by_hand(y_true, y_pred, beta)
    y_true[..., 5] *= 3 / y_true[..., 5].sum()
    loss = RPNLoss(beta)
    parts = loss.parts(y_true, y_pred)
    assert [np.shape(part) for part in parts.values()] == [(3,), (3,)]
    np.testing.assert_allclose(np.mean(parts["objectness"]), expected[0], rtol=1e-5)
    np.testing.assert_allclose(np.mean(parts["boxes"]), expected[1], rtol=1e-5)
    np.testing.assert_allclose(loss(y_true, y_pred), sum(expected), rtol=1e-5)


def test_offsets_of_negatives_do_not_count():
    y_true = np.array([[[0.0, 0, 0, 0, 0, 1]]], "float32")
    moved = np.array([[[9.0, 9, 9, 9, -50]]], "float32")
    assert float(RPNLoss()(y_true, moved)) == pytest.approx(0, abs=1e-6)


def test_is_rebuilt_from_its_arguments():
    text = keras.saving.serialize_keras_object(RPNLoss(0.3))
    assert keras.saving.deserialize_keras_object(text).beta == 0.3
    with pytest.raises(ValueError, match="`beta` must be above 0; received 0"):
        RPNLoss(0)
