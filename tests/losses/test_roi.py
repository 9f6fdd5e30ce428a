import keras
import numpy as np
import pytest

from kmed.losses.roi import RoILoss

CLASSES = 4  # background among them


def by_hand(y_true, y_pred, beta=1 / 9):
    """Torchvision's fastrcnn_loss over all sampled boxes of the batch, in plain loops."""
    classes, boxes, sampled = 0.0, 0.0, 0
    flat = y_pred.reshape(-1, 5 * CLASSES)
    for truth, found in zip(y_true.reshape(-1, 6), flat, strict=True):
        if not truth[5]:
            continue
        sampled += 1
        index, logits = int(truth[4]), found[:CLASSES]
        classes += np.log(np.exp(logits).sum()) - logits[index]
        if index:
            own = found[CLASSES + 4 * index : CLASSES + 4 * index + 4]
            for a, b in zip(truth[:4], own, strict=True):
                d = abs(a - b)
                boxes += 0.5 * d * d / beta if d < beta else d - 0.5 * beta
    return classes / sampled, boxes / sampled


def test_the_batchs_mean_is_torchvisions():
    random = np.random.default_rng(0)
    y_true = random.normal(size=(3, 10, 6)).astype("float32")
    y_true[..., 4] = random.integers(0, CLASSES, (3, 10))
    y_true[..., 5] = random.uniform(size=(3, 10)) < 0.7
    y_true[1, 2:, 5] = 0  # images have different numbers of samples
    y_pred = random.normal(size=(3, 10, 5 * CLASSES)).astype("float32")
    expected = by_hand(y_true, y_pred)
    y_true[..., 5] *= 3 / y_true[..., 5].sum()
    loss = RoILoss()
    parts = loss.parts(y_true, y_pred)
    np.testing.assert_allclose(np.mean(parts["classes"]), expected[0], rtol=1e-5)
    np.testing.assert_allclose(np.mean(parts["boxes"]), expected[1], rtol=1e-5)
    np.testing.assert_allclose(loss(y_true, y_pred), sum(expected), rtol=1e-5)


def test_boxes_of_other_classes_do_not_count():
    y_true = np.zeros((1, 1, 6), "float32")
    y_true[..., 4:] = 2, 1
    y_pred = np.full((1, 1, 5 * CLASSES), 7.0, "float32")
    y_pred[..., CLASSES + 8 : CLASSES + 12] = 0
    assert float(RoILoss().parts(y_true, y_pred)["boxes"][0]) == 0
    y_true[..., 4] = 0  # background has no box
    assert float(RoILoss().parts(y_true, y_pred)["boxes"][0]) == 0
    y_true[..., 4] = 1
    assert float(RoILoss().parts(y_true, y_pred)["boxes"][0]) > 20


def test_is_rebuilt_from_its_arguments():
    text = keras.saving.serialize_keras_object(RoILoss(0.3))
    assert keras.saving.deserialize_keras_object(text).beta == 0.3
    with pytest.raises(ValueError, match="`beta` must be above 0; received -1"):
        RoILoss(-1)
