"""Loss of Fast R-CNN's head: classes and class-specific offsets of the sampled boxes."""

from __future__ import annotations

import keras
from keras import ops

from kmed.ops.smooth_l1 import smooth_l1


@keras.saving.register_keras_serializable("kmed")
class RoILoss(keras.losses.Loss):
    """Cross-entropy of the class, and smooth L1 of the offsets of an object's own class, added.

    Reference: Girshick 2015, "Fast R-CNN", equation 1, with torchvision's normalisation: both sums
    over the sampled boxes of all images are divided by the number of these, and the smooth L1
    turns into its linear part at 1/9.

    The weights carry that number, so that the batch's mean is torchvision's loss on any number of
    replicas: 1 / (sampled boxes of the whole batch / its images) for a sampled one, 0 else.

    Args:
        beta: where the smooth L1 becomes linear.
        name: name of the loss.
        reduction: as in Keras.
        dtype: as in Keras.

    Returns:
        From `y_true` `(B, R, 6)` (4 offsets, class with background 0, weight) and `y_pred`
        `(B, R, 5 * (K + 1))` (logits, background first, then 4 offsets for each class, background
        among them): one value for each image, `(B,)`.

    Example:
        >>> y_true = ops.array([[[0.0, 0, 0, 0, 1, 1]]])
        >>> wrong_only_for_background = ops.array([[[0.0, 0, 9, 9, 9, 9, 0, 0, 0, 0]]])
        >>> round(float(RoILoss()(y_true, wrong_only_for_background)), 4)
        0.6931
    """

    def __init__(
        self, beta: float = 1 / 9, name="roi_loss", reduction="sum_over_batch_size", dtype=None
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
        """Give "classes" and "boxes", each `(B,)`."""
        count, rois = y_pred.shape[-1] // 5, y_pred.shape[1]
        index, weight = ops.cast(y_true[..., 4], "int32"), y_true[..., 5]
        entropy = keras.losses.sparse_categorical_crossentropy(
            index, y_pred[..., :count], from_logits=True
        )
        offsets = ops.reshape(y_pred[..., count:], (-1, rois, count, 4))
        own = ops.one_hot(index, count, dtype=offsets.dtype)[..., None]
        offsets = ops.sum(offsets * own, axis=-2)  # (B, R, 4)
        distance = ops.sum(smooth_l1(y_true[..., :4] - offsets, self.beta), axis=-1)
        positive = ops.cast(index > 0, weight.dtype)
        return {
            "classes": ops.sum(weight * entropy, axis=-1),
            "boxes": ops.sum(weight * positive * distance, axis=-1),
        }

    def get_config(self):
        """Arguments that rebuild the loss."""
        return super().get_config() | {"beta": self.beta}
