import keras
import numpy as np
import tensorflow as tf

from kmed.tasks.classification.calibrating import calibrated_decoder


def network(classes=2):
    """Logits are the image's own values."""
    image = keras.Input((classes,))
    return keras.Model(image, keras.layers.Identity()(image))


def batches(logits, truth):
    return tf.data.Dataset.from_tensor_slices((logits.astype("float32"), truth)).batch(7)


def test_overconfidence_is_cooled_and_the_threshold_found():
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, 400)
    p = np.clip(0.5 + 0.3 * (2 * truth - 1) + 0.15 * random.normal(size=400), 0.02, 0.98)
    truth = (random.uniform(size=400) < p).astype(int)
    logits = np.stack([np.zeros(400), 4 * np.log(p / (1 - p))], axis=1)  # four times too sure
    decoder = calibrated_decoder(network(), batches(logits, truth), truth, kind="binary")
    assert 3 < decoder.temperature < 5.5
    assert 0.2 < decoder.thresholds[1] < 0.8
    plain = calibrated_decoder(
        network(), batches(logits, truth), truth, kind="binary", rule="half", calibrate=False
    )
    assert plain.temperature == 1.0 and plain.thresholds is None


def test_a_label_that_validation_lacks_keeps_one_half():
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, (50, 3))
    truth[:, 1] = 0
    logits = (2 * truth - 1) + random.normal(size=(50, 3))
    decoder = calibrated_decoder(network(3), batches(logits, truth), truth, kind="multilabel")
    assert decoder.thresholds[1] == 0.5 and len(decoder.thresholds) == 3


def test_several_classes_have_no_thresholds():
    truth = np.arange(30) % 3
    logits = np.eye(3)[truth] + np.random.default_rng(0).normal(size=(30, 3))
    decoder = calibrated_decoder(network(3), batches(logits, truth), truth, kind="multiclass")
    assert decoder.thresholds is None and decoder.temperature > 0
