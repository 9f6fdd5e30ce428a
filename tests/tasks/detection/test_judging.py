import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.data import Objects
from kmed.tasks.detection.judging import Detecting, ValidationAP


class Codec:
    """Boxes and scores that the network gives as they are."""

    postprocessing = {"score_threshold": 0.1, "iou_threshold": 0.5, "max_detections": 5}

    def decode(self, outputs):
        return outputs[..., :4], outputs[..., 4:]


class Case:
    def __init__(self, image):
        self.image = lambda: image


def identity():
    image = keras.Input((2, 6))
    return keras.Model(image, keras.layers.Dense(6, kernel_initializer="identity")(image))


ROWS = np.float32([[[0, 0, 4, 4, 0.9, 0], [5, 5, 9, 9, 0, 0.8]]] * 3)
OBJECTS = [Objects(boxes=[[0, 0, 4, 4], [5, 5, 9, 9]], labels=[0, 1])] * 3


def test_detections_are_those_of_each_image_whatever_the_batch():
    found = Detecting(identity(), Codec(), batch_size=2)(list(ROWS))
    assert len(found) == 3
    for one in found:
        assert one["boxes"].tolist() == [[0, 0, 4, 4], [5, 5, 9, 9]]
        assert one["labels"].tolist() == [0, 1] and one["scores"][0] == np.float32(0.9)


def test_average_precision_is_logged_when_it_is_its_turn():
    network = identity()
    cases = [Case(image) for image in ROWS]
    judge = ValidationAP(Detecting(network, Codec()), cases, OBJECTS, ("a", "b"), every=2, epochs=3)
    logged = []
    for epoch in range(3):
        logs = {}
        judge.on_epoch_end(epoch, logs)
        logged.append(logs["val_ap50"])
    assert math.isnan(logged[0]) and logged[1:] == pytest.approx([1.0, 1.0])


def test_other_callbacks_see_what_was_judged():
    network = identity()
    network.compile(keras.optimizers.SGD(0.0), "mse")
    judge = ValidationAP(
        Detecting(network, Codec()), [Case(ROWS[0])], OBJECTS[:1], ("a", "b"), every=1, epochs=1
    )
    data = tf.data.Dataset.from_tensors((ROWS, ROWS))
    history = network.fit(data, shuffle=False, verbose=0, callbacks=[judge])
    assert history.history["val_ap50"] == pytest.approx([1.0])
