"""CORN: the loss of ordered classes from conditional logits."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from kmed.losses.classification_cross_entropy import check_class_weights, check_logits
from kmed.ops.class_targets import class_targets


@keras.saving.register_keras_serializable(package="kmed")
class OrdinalCrossEntropy(keras.losses.Loss):
    """CORN, conditional ordinal regression for neural networks: one value per example.

    K grades take K - 1 logits. Logit k asks "above k?" of the examples that are at least k, by
    binary cross-entropy; the sum over an example's questions is the negative logarithm of its
    grade's probability in `kmed.ops.ordinal.ordinal_probabilities`.

    The paper divides a batch's sum by the number of questions in it, which depends on the
    grades that happen to be in the batch; here it is divided by the number of examples, as every
    loss of Keras, so that two replicas compute what one does.

    Reference:
        Shi, Cao, Raschka: Deep neural networks for rank-consistent ordinal regression based on
        conditional probabilities, 2021, equations 7 and 8.

    Args:
        class_weights: K factors, one per grade, or None.
        reduction: how Keras joins the values of the examples.
        name: name of the loss.
        dtype: Keras' type of the result; it is computed in float32.

    Raises:
        ValueError: for negative class weights, or as many as there are not grades.

    Targets are `(B,)` or `(B, 1)` grades 0..K-1, or `(B, K)` soft targets, predictions
    `(B, K - 1)` logits. A target that is no grade gives NaN.

    Example:
        >>> import numpy as np
        >>> loss = OrdinalCrossEntropy(reduction=None)  # of probabilities 1/2, 1/4, 1/4
        >>> [round(float(value), 4) for value in loss([0, 2], np.zeros((2, 2), "float32"))]
        [0.6931, 1.3863]
    """

    def __init__(
        self,
        *,
        class_weights: Sequence[float] | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "ordinal_cross_entropy",
        dtype=None,
    ):
        """Takes the arguments that the class describes."""
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.class_weights = check_class_weights(class_weights)

    def call(self, y_true, y_pred):
        """Returns `(B,)` float32, one value per example."""
        logits = check_logits(y_pred)
        classes = logits.shape[-1] + 1
        targets = class_targets(y_true, classes)
        if self.class_weights is not None:
            targets = targets * check_class_weights(self.class_weights, classes)
        # Question k is answered "yes" by all grades above k, and "no" by grade k.
        above = ops.matmul(targets, np.tril(np.ones((classes, classes - 1), "float32"), -1))
        losses = above * ops.softplus(-logits) + targets[:, :-1] * ops.softplus(logits)
        return ops.sum(losses, axis=-1)

    def get_config(self) -> dict:
        """Returns the arguments that rebuild this loss."""
        return {**super().get_config(), "class_weights": self.class_weights}
