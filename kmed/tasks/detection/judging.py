"""How well a detector in training finds the objects of images that it does not learn from."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from kmed.data import Objects
from kmed.data.cache import Case
from kmed.metrics import coco_average_precision
from kmed.ops.suppression import select_detections


class Detecting:
    """Finds objects in prepared images, in pixels of the network's input.

    Args:
        network: gives what the codec decodes.
        codec: of `kmed.codecs`.
        batch_size: images at once.
    """

    def __init__(self, network: keras.Model, codec, batch_size: int = 8):
        self.network, self.codec, self.batch_size = network, codec, batch_size
        self._function = tf.function(self._detect, reduce_retracing=True)

    def __call__(self, images: Sequence[np.ndarray]) -> list[dict[str, np.ndarray]]:
        """Give "boxes" `(N, 4)`, "scores" `(N,)` and "labels" `(N,)` of each image `(H, W, C)`."""
        found = []
        for first in range(0, len(images), self.batch_size):
            batch = np.stack([np.asarray(x) for x in images[first : first + self.batch_size]])
            outputs = {name: x.numpy() for name, x in self._function(tf.constant(batch)).items()}
            for i, count in enumerate(outputs["count"]):
                names = ("boxes", "scores", "labels")
                found.append({name: outputs[name][i, :count] for name in names})
        return found

    def _detect(self, images):
        return self.decode(self.network(images, training=False))

    def decode(self, outputs) -> dict:
        """Give padded detections of a network's outputs, as `select_detections` does."""
        boxes, scores = self.codec.decode(outputs)
        return select_detections(boxes, scores, **self.codec.postprocessing)


class ValidationAP(keras.callbacks.Callback):
    """Adds COCO's AP50 on the validation part to the log as "val_ap50".

    Place it before whatever reads the log. In epochs that are not judged the value is NaN.

    Args:
        detect: from prepared images to detections.
        cases: the validation images.
        objects: theirs, in pixels of the network's input.
        labels: names of the classes.
        every: epochs from one judgement to the next; the last epoch is always judged.
        epochs: number of the last epoch.
    """

    def __init__(
        self,
        detect: Detecting,
        cases: Sequence[Case],
        objects: Sequence[Objects],
        labels: Sequence[str],
        *,
        every: int,
        epochs: int,
    ):
        super().__init__()
        self.detect, self.cases, self.labels = detect, cases, labels
        self.truth = [{"boxes": one.boxes, "labels": one.labels} for one in objects]
        self.every, self.epochs = every, epochs

    def on_epoch_end(self, epoch, logs=None):
        """Judge every few epochs."""
        logs["val_ap50"] = float("nan")
        if (epoch + 1) % self.every == 0 or epoch + 1 == self.epochs:
            found = self.detect([case.image() for case in self.cases])
            scores = coco_average_precision(self.truth, found, self.labels)
            logs["val_ap50"] = scores["all"]["ap50"]
