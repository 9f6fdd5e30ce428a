"""MultiBox loss of SSD: boxes of the matched defaults, classes of these and of hard negatives."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from kmed.ops.boxes import complete_iou, generalized_iou
from kmed.ops.smooth_l1 import smooth_l1

BOX_LOSSES = ("smooth_l1", "giou", "ciou")


@keras.saving.register_keras_serializable(package="kmed")
class MultiboxLoss(keras.losses.Loss):
    """Loss of boxes and classes of SSD: one value per image.

    Boxes: smooth L1 of the offsets of the matched default boxes. Classes: softmax cross-entropy of
    these, and of the background boxes for which it is largest, `negatives` for each matched one of
    the same image. Their sum is divided by the number of matched boxes, which
    `kmed.codecs.SSDCodec.targets` counts over the whole batch, so that Keras' mean over images
    is the paper's loss.

    An image without objects has no matched box, and in the paper's loss nothing to learn; here it
    counts as if it had one, and `negatives_at_least=0` gives the paper's.

    Reference:
        Liu et al.: SSD: Single Shot MultiBox Detector, ECCV 2016, equations 1 to 3.
        Lin et al.: Focal loss for dense object detection, ICCV 2017, equation 5.

    Args:
        negatives: background boxes for each matched one, 0 or more.
        negatives_at_least: background boxes of an image, however few are matched; by default
            `negatives`.
        focal_gamma: above 0 all background boxes count, and every box has the factor
            `(1 - p) ** focal_gamma` of its class' probability, in place of mining.
        focal_alpha: factor of matched boxes with `focal_gamma`, and one less it that of background.
        box: "smooth_l1", or 1 - "giou" or 1 - "ciou" of the boxes in pixels.
        box_weight: factor of the loss of boxes.
        codec: `kmed.codecs.SSDCodec`, which "giou" and "ciou" need.
        reduction: how Keras joins the values of the images.
        name: name of the loss.
        dtype: Keras' type of the result; it is computed in float32.

    Raises:
        ValueError: if an argument is outside of what is said above.

    Example:
        >>> truth = [[[0.0, 0, 0, 0, 1, 1], [0.0, 0, 0, 0, 0, 1]]]  # one matched, one background
        >>> found = [[[2.0, 0, 0, 0, 0, 0], [0.0, 0, 0, 0, 0, 0]]]  # with one class
        >>> round(float(MultiboxLoss()(truth, found)), 4)  # 2 - 0.5 + 2 log 2
        2.8863
    """

    def __init__(
        self,
        *,
        negatives: float = 3,
        negatives_at_least: float | None = None,
        focal_gamma: float = 0.0,
        focal_alpha: float = 0.25,
        box: str = "smooth_l1",
        box_weight: float = 1.0,
        codec: Any = None,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "multibox_loss",
        dtype=None,
    ):
        """Takes the arguments that the class describes."""
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        numbers = (negatives, negatives_at_least or 0, focal_gamma, box_weight)
        if min(numbers) < 0 or not 0 <= focal_alpha <= 1:
            raise ValueError(
                "`negatives`, `negatives_at_least`, `focal_gamma` and `box_weight` must be 0 or "
                f"more, and `focal_alpha` lie in 0..1; received {numbers} and {focal_alpha}"
            )
        if box not in BOX_LOSSES:
            raise ValueError(f"`box` must be one of {BOX_LOSSES}; received {box!r}")
        if box != "smooth_l1" and codec is None:
            raise ValueError(f'`box`="{box}" compares boxes in pixels, so it needs `codec`')
        self.negatives = negatives
        self.negatives_at_least = negatives if negatives_at_least is None else negatives_at_least
        self.focal_gamma, self.focal_alpha = float(focal_gamma), float(focal_alpha)
        self.box, self.box_weight, self.codec = box, float(box_weight), codec

    def call(self, y_true, y_pred):
        """Returns `(B,)` float32, one value per image."""
        boxes = self.box_weight * self.box_loss(y_true, y_pred)
        return boxes + self.class_loss(y_true, y_pred)

    def box_loss(self, y_true, y_pred):
        """Give the part of the boxes.

        Args:
            y_true: `(B, N, 6)`, offsets, class and weight.
            y_pred: `(B, N, 4 + K + 1)`.

        Returns:
            `(B,)`, without `box_weight`.
        """
        y_true, y_pred = _float32(y_true, y_pred)
        truth, matched = y_true[..., :4], y_true[..., 4] > 0
        # Of background nothing is known: no error, and no gradient, however wild its offsets.
        found = ops.where(matched[..., None], y_pred[..., :4], truth)
        if self.box == "smooth_l1":
            losses = ops.sum(smooth_l1(found - truth), axis=-1)  # (B, N)
        else:
            overlap = generalized_iou if self.box == "giou" else complete_iou
            losses = 1 - overlap(self.codec.decode_boxes(found), self.codec.decode_boxes(truth))
            losses = ops.where(matched, losses, 0.0)
        return ops.sum(losses, axis=1) * y_true[:, 0, 5]

    def class_loss(self, y_true, y_pred):
        """Give the part of the classes.

        Args:
            y_true: `(B, N, 6)`, offsets, class and weight.
            y_pred: `(B, N, 4 + K + 1)`.

        Returns:
            `(B,)`.
        """
        y_true, y_pred = _float32(y_true, y_pred)
        classes = ops.cast(y_true[..., 4], "int32")
        losses = ops.sparse_categorical_crossentropy(classes, y_pred[..., 4:], from_logits=True)
        matched = ops.cast(classes > 0, "float32")
        if self.focal_gamma:
            factor = self.focal_alpha * matched + (1 - self.focal_alpha) * (1 - matched)
            # The smallest keeps a root's slope finite.
            wrong = ops.maximum(-ops.expm1(-losses), 1e-7)
            total = ops.sum(factor * ops.power(wrong, self.focal_gamma) * losses, axis=1)
        else:
            total = ops.sum(matched * losses, axis=1) + self._hardest(losses, matched)
        return total * y_true[:, 0, 5]

    def _hardest(self, losses, matched):
        """Sum of the largest losses of background boxes, `(B, N)` twice to `(B,)`."""
        positives = ops.sum(matched, axis=1, keepdims=True)
        wanted = ops.maximum(self.negatives * positives, self.negatives_at_least)
        background = ops.where(matched > 0, -1.0, losses)
        ranked, _ = ops.top_k(background, background.shape[1])  # all, falling
        rank = ops.arange(ranked.shape[1], dtype="float32")
        chosen = (rank < wanted) & (ranked >= 0)
        return ops.sum(ops.where(chosen, ranked, 0.0), axis=1)

    def get_config(self) -> dict:
        """Returns the arguments that rebuild this loss."""
        codec = self.codec and keras.saving.serialize_keras_object(self.codec)
        return {
            **super().get_config(),
            "negatives": self.negatives,
            "negatives_at_least": self.negatives_at_least,
            "focal_gamma": self.focal_gamma,
            "focal_alpha": self.focal_alpha,
            "box": self.box,
            "box_weight": self.box_weight,
            "codec": codec,
        }

    @classmethod
    def from_config(cls, config: dict) -> MultiboxLoss:
        """Rebuild a loss."""
        codec = config.get("codec") and keras.saving.deserialize_keras_object(config["codec"])
        return cls(**config | {"codec": codec})


def _float32(*tensors):
    return [ops.cast(tensor, "float32") for tensor in tensors]
