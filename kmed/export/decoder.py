"""From a network's logits to findings: the last step of a bundle, one decoder for each task.

Beside Keras' `call`, a decoder says what a bundle must know of its task:
`signature` (the SavedModel's name for it), `outputs` (what each output is), `dense` (whether
logits lie on the image's grid and are brought back to its size), `located` (whether it wants the
raw image beside the network's outputs), `fits` (the ways of a bundle to fit an image to the network
that it can undo), `classes` (how many names the network's outputs need), `probe` (what an exact
rewrite of the network must not change) and, but for boxes, `margins` (how far from another label an
answer is).
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from kmed.ops.class_targets import KINDS
from kmed.ops.ordinal import ordinal_probabilities


@keras.saving.register_keras_serializable("kmed")
class SegmentationDecoder(keras.layers.Layer):
    """Turn logits `(B, ..., K)` into class indices and probabilities.

    K > 1: softmax, and the class of the largest probability (the first of equals). K = 1:
    sigmoid, and class 1 where it is above one half. The labels are taken from the probabilities,
    so whoever recomputes them from the probabilities gets the same mask.

    Example:
        >>> decoded = SegmentationDecoder()(keras.ops.array([[[1.0, 3.0], [2.0, 2.0]]]))
        >>> decoded["labels"].numpy().tolist()
        [[1, 0]]
    """

    dense = True
    located = False
    fits = ("resize", "pad", "tile")
    signature = "segment"
    outputs = {
        "labels": "int32, class index of each voxel",
        "probabilities": "float32, of each class in the last axis",
    }

    def __init__(self, **kwargs):
        """Decode in float32 under mixed precision too."""
        super().__init__(**({"dtype": "float32", "name": "decoder"} | kwargs))

    def call(self, logits):
        """Decode `logits` (B, ..., K) to a dictionary of labels (B, ...) and probabilities."""
        if logits.shape[-1] == 1:
            probabilities = keras.ops.sigmoid(logits)
            labels = keras.ops.cast(probabilities[..., 0] > 0.5, "int32")
        else:
            probabilities = keras.ops.softmax(logits, axis=-1)
            labels = _largest(probabilities)
        return {"labels": labels, "probabilities": probabilities}

    def compute_output_spec(self, logits):
        """int32 labels (B, ...), float32 probabilities (B, ..., K)."""
        return {
            "labels": keras.KerasTensor(logits.shape[:-1], "int32"),
            "probabilities": keras.KerasTensor(logits.shape, "float32"),
        }

    def classes(self, logits) -> int:
        """Number of classes, background counted, of logits (B, ..., K)."""
        return max(logits.shape[-1], 2)

    def probe(self, logits):
        """Give the probabilities of logits."""
        return self(logits)["probabilities"]

    def margins(self, probabilities: np.ndarray) -> np.ndarray:
        """Distance of the two best classes: `(..., K)` to `(...)`."""
        return _best_margin(probabilities)


@keras.saving.register_keras_serializable("kmed")
class ClassificationDecoder(keras.layers.Layer):
    """Turn an image's logits into its label and calibrated probabilities.

    Logits are divided by the temperature first.
    "binary": two logits, softmax; label 1 where its probability reaches the threshold.
    "multiclass": K logits, softmax; the class of the largest probability (the first of equals).
    "multilabel": K logits, sigmoids; 1 for each class whose probability reaches its threshold.
    "ordinal": K - 1 logits of passing each class given that the one below was passed; the label
    is the number of classes that are passed with probability one half.

    Reference: Guo et al. 2017, "On Calibration of Modern Neural Networks" (temperature); Shi, Cao
    and Raschka 2021, "Deep Neural Networks for Rank-Consistent Ordinal Regression Based On
    Conditional Probabilities" (ordinal).

    Args:
        kind: one of the four.
        temperature: above 0; 1 leaves the network's own probabilities.
        thresholds: one for each class, as `kmed.metrics.decisions` takes them: of "binary" the
            second counts, "multiclass" and "ordinal" have none. By default one half.

    Example:
        >>> logits = np.array([[2.0, 0.0]])
        >>> decoded = ClassificationDecoder("binary", thresholds=(0.5, 0.1))(logits)
        >>> decoded["labels"].numpy().tolist()
        [1]
    """

    dense = False
    located = False
    fits = ("resize",)
    signature = "classify"

    def __init__(
        self,
        kind: str = "multiclass",
        *,
        temperature: float = 1.0,
        thresholds: Sequence[float] | None = None,
        **kwargs,
    ):
        """Check the arguments."""
        super().__init__(**({"dtype": "float32", "name": "decoder"} | kwargs))
        if kind not in KINDS:
            raise ValueError(f"`kind` must be one of {KINDS}; received {kind!r}")
        if not temperature > 0:
            raise ValueError(f"`temperature` must be above 0; received {temperature}")
        self.kind, self.temperature = kind, float(temperature)
        self.thresholds = None if thresholds is None else tuple(float(t) for t in thresholds)
        if self.thresholds is not None and kind in ("multiclass", "ordinal"):
            raise ValueError(f"a {kind} decoder has no thresholds; received {self.thresholds}")

    @property
    def outputs(self) -> dict[str, str]:
        """What each output is."""
        labels = "int32, index of the image's class"
        if self.kind == "multilabel":
            labels = "int32, 1 for each class that the image shows, else 0"
        return {"labels": labels, "probabilities": "float32, of each class"}

    def call(self, logits):
        """Decode `logits` to labels (B,), or (B, K) of several labels, and probabilities (B, K)."""
        logits = keras.ops.convert_to_tensor(logits, "float32") / self.temperature
        if self.kind == "multilabel":
            probabilities = keras.ops.sigmoid(logits)
        elif self.kind == "ordinal":
            probabilities = ordinal_probabilities(logits)
        else:
            probabilities = keras.ops.softmax(logits, axis=-1)
        return {"labels": self._labels(probabilities), "probabilities": probabilities}

    def _labels(self, probabilities):
        limits = self._limits(probabilities.shape[-1])
        if self.kind == "binary":
            return keras.ops.cast(probabilities[:, 1] >= limits[1], "int32")
        if self.kind == "multilabel":
            return keras.ops.cast(probabilities >= keras.ops.array(limits), "int32")
        if self.kind == "multiclass":
            return _largest(probabilities)
        passed = [
            keras.ops.cast(keras.ops.sum(probabilities[:, k:], axis=-1) >= 0.5, "int32")
            for k in range(1, probabilities.shape[-1])
        ]
        return sum(passed[1:], passed[0])

    def compute_output_spec(self, logits):
        """int32 labels (B,) or (B, K), float32 probabilities (B, K)."""
        shape = (logits.shape[0], self.classes(logits))
        labels = shape if self.kind == "multilabel" else shape[:1]
        return {
            "labels": keras.KerasTensor(labels, "int32"),
            "probabilities": keras.KerasTensor(shape, "float32"),
        }

    def classes(self, logits) -> int:
        """Number of classes of logits (B, K)."""
        return logits.shape[-1] + (self.kind == "ordinal")

    def probe(self, logits):
        """Give the probabilities of logits."""
        return self(logits)["probabilities"]

    def margins(self, probabilities: np.ndarray) -> np.ndarray:
        """Distance of the nearest probability that would change the label, of each label."""
        probabilities = np.asarray(probabilities)
        limits = np.asarray(self._limits(probabilities.shape[-1]))
        if self.kind == "binary":
            return np.abs(probabilities[..., 1] - limits[1])
        if self.kind == "multilabel":
            return np.abs(probabilities - limits)
        if self.kind == "multiclass":
            return _best_margin(probabilities)
        passed = np.cumsum(probabilities[..., ::-1], axis=-1)[..., ::-1][..., 1:]
        return np.abs(passed - 0.5).min(axis=-1)

    def get_config(self):
        """Arguments that rebuild the layer."""
        return super().get_config() | {
            "kind": self.kind,
            "temperature": self.temperature,
            "thresholds": self.thresholds,
        }

    def _limits(self, classes):
        limits = self.thresholds or (0.5,) * classes
        if len(limits) != classes:
            raise ValueError(
                f"`thresholds` must be one for each of {classes} classes; received {limits}"
            )
        return limits


def _largest(probabilities):
    # Not keras.ops.argmax: it sorts out negative zeros bit by bit, which TFLite cannot.
    return tf.argmax(probabilities, axis=-1, output_type=tf.int32)


def _best_margin(probabilities):
    if probabilities.shape[-1] == 1:
        probabilities = np.concatenate([1 - probabilities, probabilities], axis=-1)
    best = np.sort(probabilities, axis=-1)
    return best[..., -1] - best[..., -2]
