"""Cross-entropy of whole images: class indices or soft targets, smoothing, weights, focus."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from kmed.ops.class_targets import class_targets

#: Kinds of targets; for ordered classes see `kmed.losses.OrdinalCrossEntropy`.
CROSS_ENTROPY_KINDS = ("binary", "multiclass", "multilabel")


@keras.saving.register_keras_serializable(package="kmed")
class ClassificationCrossEntropy(keras.losses.Loss):
    """Cross-entropy of logits for one class of two or of K, or for any of K: one value per example.

    Without weights and focus it is `keras.losses.categorical_crossentropy`, or for multilabel
    `keras.losses.binary_crossentropy`, of logits. Keras has no label smoothing for class indices,
    no class weights beside soft targets (`fit` refuses them), and its focal losses clip
    probabilities at 1e-7: an example that is wrong by more than 16 in its logits no longer learns.
    With weights or focus the loss of an example is therefore computed here, from log-softmax:

        - sum over classes of w[k] * target[k] * (1 - p[k]) ** gamma * log p[k]

    and for multilabel, where w[k] is the factor of class k's positives (a rare finding counts
    more where it is present), as the mean over classes of

        - w[k] * target * (1 - p) ** gamma * log p - (1 - target) * p ** gamma * log(1 - p).

    Reference:
        Szegedy et al.: Rethinking the Inception architecture, CVPR 2016, section 7 (smoothing).
        Lin et al.: Focal loss for dense object detection, ICCV 2017, equations 4 and 5.

    Args:
        kind: "binary" (two logits, or one of class 1), "multiclass" or "multilabel".
        label_smoothing: share of each target that is spread over the classes, 0..1: over all K, or
            for multilabel over yes and no.
        focal_gamma: exponent of the factor of examples that are already right, 0 or more; 0 is
            cross-entropy.
        class_weights: K factors, 0 or more, one per class, or None.
        reduction: how Keras joins the values of the examples.
        name: name of the loss.
        dtype: Keras' type of the result; it is computed in float32.

    Raises:
        ValueError: for another kind, a number outside these ranges, or as many class weights as
            there are not classes.

    Targets are `(B,)` or `(B, 1)` class indices or `(B, K)` soft targets (mixup, cutmix); for
    multilabel `(B, K)` of 0 and 1, or softened. A target that is none of these gives NaN.

    Example:
        >>> import numpy as np
        >>> logits = np.log([[0.7, 0.2, 0.1], [0.1, 0.5, 0.4]]).astype("float32")
        >>> loss = ClassificationCrossEntropy("multiclass", reduction=None)
        >>> [round(float(value), 4) for value in loss([0, 2], logits)]
        [0.3567, 0.9163]
    """

    def __init__(
        self,
        kind: str = "multiclass",
        *,
        label_smoothing: float = 0.0,
        focal_gamma: float = 0.0,
        class_weights: Sequence[float] | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "classification_cross_entropy",
        dtype=None,
    ):
        """Takes the arguments that the class describes."""
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if kind not in CROSS_ENTROPY_KINDS:
            hint = "; ordered classes take OrdinalCrossEntropy" if kind == "ordinal" else ""
            raise ValueError(
                f"`kind` must be one of {CROSS_ENTROPY_KINDS}; received {kind!r}{hint}"
            )
        if not 0 <= label_smoothing <= 1 or focal_gamma < 0:
            raise ValueError(
                "`label_smoothing` must lie in 0..1 and `focal_gamma` be 0 or more; received "
                f"{label_smoothing} and {focal_gamma}"
            )
        self.kind = kind
        self.label_smoothing = float(label_smoothing)
        self.focal_gamma = float(focal_gamma)
        self.class_weights = check_class_weights(class_weights)

    def call(self, y_true, y_pred):
        """Returns `(B,)` float32, one value per example."""
        logits = check_logits(y_pred)
        if self.kind == "binary" and logits.shape[-1] == 1:
            # The softmax of (0, z) is the sigmoid of z.
            logits = ops.concatenate([ops.zeros_like(logits), logits], axis=-1)
        classes = logits.shape[-1]
        if classes < 2 and self.kind != "multilabel" or classes != 2 and self.kind == "binary":
            raise ValueError(
                f"`y_pred` must have {'one or two' if self.kind == 'binary' else 'two or more'} "
                f"logits per example for {self.kind} targets; received {tuple(y_pred.shape)}"
            )
        exclusive = self.kind != "multilabel"
        targets = class_targets(y_true, classes, exclusive=exclusive)
        if not self.focal_gamma and self.class_weights is None:
            keras_loss = (
                keras.losses.categorical_crossentropy
                if exclusive
                else keras.losses.binary_crossentropy
            )
            return keras_loss(
                targets, logits, from_logits=True, label_smoothing=self.label_smoothing
            )
        smooth = self.label_smoothing
        targets = targets * (1 - smooth) + smooth / (classes if exclusive else 2)
        weights = 1.0
        if self.class_weights is not None:
            weights = check_class_weights(self.class_weights, classes)
        if exclusive:
            return ops.sum(weights * targets * self._focal(ops.log_softmax(logits)), axis=-1)
        positive = weights * targets * self._focal(ops.log_sigmoid(logits))
        return ops.mean(positive + (1 - targets) * self._focal(ops.log_sigmoid(-logits)), axis=-1)

    def _focal(self, log_p):
        """-(1 - p)^gamma log p, of the logarithm of p."""
        if not self.focal_gamma:
            return -log_p
        # 1 - p of p near 1 keeps its digits; the smallest keeps a root's slope finite.
        rest = ops.maximum(-ops.expm1(log_p), 1e-7)
        return -ops.power(rest, self.focal_gamma) * log_p

    def get_config(self) -> dict:
        """Returns the arguments that rebuild this loss."""
        return {
            **super().get_config(),
            "kind": self.kind,
            "label_smoothing": self.label_smoothing,
            "focal_gamma": self.focal_gamma,
            "class_weights": self.class_weights,
        }


def check_logits(logits):
    """Brings the logits of whole images to float32, whatever the precision of the network.

    Args:
        logits: `(B, K)` float of any type.

    Returns:
        `(B, K)` float32.

    Raises:
        ValueError: for another rank or an unknown K.
    """
    logits = ops.convert_to_tensor(logits)
    if len(logits.shape) != 2 or not logits.shape[-1]:
        raise ValueError(
            "`y_pred` must be logits of shape (B, K) with a known number of classes; received "
            f"{tuple(logits.shape)}"
        )
    return ops.cast(logits, "float32")


def check_class_weights(weights: Sequence[float] | None, classes: int | None = None):
    """Checks class weights.

    Args:
        weights: one per class, 0 or more, or None.
        classes: number of classes, or None where it is not known yet.

    Returns:
        A list of floats, or None; with `classes` a float32 array `(K,)`.

    Raises:
        ValueError: for weights that are negative or not finite, or another number of them.
    """
    if weights is None:
        return None
    weights = [float(weight) for weight in np.asarray(weights).ravel()]
    if not all(0 <= weight < float("inf") for weight in weights):
        raise ValueError(f"`class_weights` must be finite and 0 or more; received {weights}")
    if classes is None:
        return weights
    if len(weights) != classes:
        raise ValueError(
            f"`class_weights` must be one for each of {classes} classes; received {len(weights)}"
        )
    return np.asarray(weights, "float32")
