"""Loss of a region proposal network: objectness and offsets of the sampled anchors."""

from __future__ import annotations

import keras
from keras import ops

from kmed.ops.smooth_l1 import smooth_l1


@keras.saving.register_keras_serializable("kmed")
class RPNLoss(keras.losses.Loss):
    """Cross-entropy of objectness, and smooth L1 of the positives' offsets, added.

    Reference: Ren et al. 2015, equation 1, with torchvision's normalisation: both sums over the
    sampled anchors of all images are divided by the number of these, and the smooth L1 turns into
    its linear part at 1/9.

    The weights carry that number, so that the batch's mean is torchvision's loss on any number of
    replicas: 1 / (sampled anchors of the whole batch / its images) for a sampled one, 0 else.

    Args:
        beta: where the smooth L1 becomes linear.
        name: name of the loss.
        reduction: as in Keras.
        dtype: as in Keras.

    Returns:
        From `y_true` `(B, A, 6)` (4 offsets, 1 positive or 0, weight) and `y_pred` `(B, A, 5)` (4
        offsets, logit): one value for each image, `(B,)`.

    Example:
        >>> y_true = ops.array([[[0.0, 0, 0, 0, 1, 1]]])
        >>> round(float(RPNLoss()(y_true, ops.array([[[1.0, 0, 0, 0, 0]]]))), 4)  # log 2 + 17/18
        1.6376
    """

    def __init__(
        self, beta: float = 1 / 9, name="rpn_loss", reduction="sum_over_batch_size", dtype=None
    ):
        """Check the argument."""
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if beta <= 0:
            raise ValueError(f"`beta` must be above 0; received {beta}")
        self.beta = float(beta)

    def call(self, y_true, y_pred):
        """Both parts added, `(B,)`."""
        return sum(self.parts(y_true, y_pred).values())

    def parts(self, y_true, y_pred):
        """Give "objectness" and "boxes", each `(B,)`."""
        positive, weight = y_true[..., 4], y_true[..., 5]
        entropy = keras.losses.binary_crossentropy(
            positive[..., None], y_pred[..., 4:], from_logits=True
        )
        distance = smooth_l1(y_true[..., :4] - y_pred[..., :4], self.beta)
        return {
            "objectness": ops.sum(weight * entropy, axis=-1),
            "boxes": ops.sum(weight * positive * ops.sum(distance, axis=-1), axis=-1),
        }

    def get_config(self):
        """Arguments that rebuild the loss."""
        return super().get_config() | {"beta": self.beta}
