"""Share of right labels during training, from logits and for every kind of label."""

from __future__ import annotations

import keras
from keras import ops


@keras.saving.register_keras_serializable("kmed")
class LabelAccuracy(keras.metrics.Mean):
    """Share of images whose label is right, from logits.

    Args:
        kind: "binary" and "multiclass" compare the largest logit, "multilabel" counts each class
            at probability one half, "ordinal" takes K - 1 conditional logits and counts the
            classes that are passed with probability one half.
        name: of the metric.
        dtype: Keras' type of the result.

    Targets are class indices `(B,)`, or `(B, K)`: 0 and 1 of several labels, or the mixed targets
    of mixup, whose largest class counts.

    Example:
        >>> metric = LabelAccuracy("multiclass")
        >>> metric.update_state([0, 1], [[2.0, 1.0], [3.0, 0.0]])
        >>> float(metric.result())
        0.5
    """

    def __init__(self, kind: str, name: str = "accuracy", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.kind = kind

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Count a batch of targets `(B,)` or `(B, K)` and logits `(B, K)`."""
        truth, logits = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        if self.kind == "multilabel":
            right = ops.equal(logits > 0, ops.cast(truth, "float32") > 0.5)
        elif self.kind == "ordinal":
            passed = ops.cumprod(ops.sigmoid(ops.cast(logits, "float32")), axis=-1) >= 0.5
            label = ops.sum(ops.cast(passed, "int32"), axis=-1)
            right = ops.equal(label, ops.cast(ops.reshape(truth, (-1,)), "int32"))
        else:
            if len(truth.shape) == 2 and truth.shape[-1] == logits.shape[-1]:
                truth = ops.argmax(truth, axis=-1)
            truth = ops.cast(ops.reshape(truth, (-1,)), "int32")
            right = ops.equal(ops.cast(ops.argmax(logits, axis=-1), "int32"), truth)
        return super().update_state(ops.cast(right, "float32"), sample_weight)

    def get_config(self) -> dict:
        """Returns the arguments that rebuild this metric."""
        return {"kind": self.kind, "name": self.name, "dtype": self.dtype}
