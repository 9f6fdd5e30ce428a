"""MeanDice against the Dice of arrays, and Keras' own IoU, which the package points to."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.metrics import MeanDice, dice_score, iou_score


def batches(classes, shape=(5, 6, 7), seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, max(classes, 2), shape)
    labels[0] = 0
    return labels, rng.normal(size=(*shape, classes)).astype("float32")


def hard(logits):
    return (logits[..., 0] > 0).astype(int) if logits.shape[-1] == 1 else logits.argmax(-1)


@pytest.mark.parametrize("classes", [1, 2, 4])
@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("empty", [1.0, 0.0, None])
def test_is_the_mean_over_images_of_each_image_s_dice(classes, background, empty):
    labels, logits = batches(classes)
    logits[0, ..., 0] = 9 if classes > 1 else -9  # the empty image is found empty
    metric = MeanDice(classes, include_background=background, empty=empty)
    metric.update_state(labels[:2], logits[:2])
    metric.update_state(labels[2:, ..., None], logits[2:])
    found = hard(logits)
    means = []
    for k in range(0 if background and classes > 1 else 1, max(classes, 2)):
        scores = []
        for truth, prediction in zip(labels == k, found == k, strict=True):
            if truth.any() or prediction.any():
                scores.append(dice_score(truth, prediction))
            elif empty is not None:
                scores.append(empty)
        means.append(np.mean(scores))
    assert float(metric.result()) == pytest.approx(np.mean(means), rel=1e-6)
    np.testing.assert_allclose(metric.per_class(), means, rtol=1e-6)
    metric.reset_state()
    assert np.isnan(float(metric.result()))


def test_volumes_and_ignored_voxels():
    labels, logits = batches(3, (2, 4, 5, 6))
    metric = MeanDice(3, ignore_class=255, include_background=True)
    metric.update_state(labels[:, :3], logits[:, :3])
    expected = float(metric.result())
    labels[:, 3] = 255
    metric.reset_state()
    metric.update_state(labels, logits)
    assert float(metric.result()) == pytest.approx(expected, rel=1e-6)


def test_weights_of_images():
    labels, logits = batches(3)
    metric = MeanDice(3)
    metric.update_state(labels, logits, sample_weight=np.array([0.0, 0, 1, 0, 0]))
    alone = MeanDice(3)
    alone.update_state(labels[2:3], logits[2:3])
    assert float(metric.result()) == pytest.approx(float(alone.result()))
    with pytest.raises(ValueError, match="one value per image"):
        metric.update_state(labels, logits, sample_weight=np.ones(labels.shape))


def test_no_class_counted_is_nan_and_not_zero():
    metric = MeanDice(2, empty=None)
    metric.update_state(np.zeros((1, 2, 2), int), np.eye(2)[np.zeros((1, 2, 2), int)])
    assert np.isnan(float(metric.result()))


@pytest.mark.parametrize("policy", ["mixed_float16", "float16"])
def test_counts_survive_half_precision(policy):
    keras.config.set_dtype_policy(policy)  # the fixture of conftest restores it
    metric = MeanDice(2)
    labels = np.zeros((1, 300, 300), int)
    labels[:, :250] = 1  # 75,000 voxels: beyond the largest float16
    logits = tf.cast(np.eye(2)[labels] * 5, "float16")
    for _ in range(3):
        metric.update_state(labels, logits)
    assert float(metric.result()) == 1


def test_compiled_and_eager_agree_and_config_round_trips():
    labels, logits = batches(4)
    metric = MeanDice(4, include_background=True, empty=None, ignore_class=9, name="mine")
    again = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert again.get_config() == metric.get_config()
    metric.update_state(labels, logits)
    tf.function(again.update_state, jit_compile=True)(tf.constant(labels), tf.constant(logits))
    assert float(again.result()) == pytest.approx(float(metric.result()), rel=1e-6)


def test_refuses_another_number_of_classes():
    labels, logits = batches(4)
    with pytest.raises(ValueError, match="`classes` = 3"):
        MeanDice(3).update_state(labels, logits)
    with pytest.raises(ValueError, match="whole number"):
        MeanDice(0)


def test_keras_mean_iou_takes_label_maps_and_logits():
    labels, logits = batches(3)
    metric = keras.metrics.MeanIoU(3, sparse_y_pred=False)
    metric.update_state(labels[:2], logits[:2])
    metric.update_state(labels[2:], logits[2:])
    expected = iou_score(labels, logits.argmax(-1), 3).mean()
    assert float(metric.result()) == pytest.approx(expected, rel=1e-5)
