"""YOLOv3's loss: boxes, objectness and classes, and predictions that are left in peace."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from kmed.ops.boxes import complete_iou, generalized_iou, iou

BOX_LOSSES = ("paper", "giou", "ciou")


@keras.saving.register_keras_serializable(package="kmed")
class YOLOv3Loss(keras.losses.Loss):
    """Loss of YOLOv3: one value per image, the sum over its boxes as in Darknet.

    Objects belong to cells and anchors as `kmed.codecs.YOLOv3Codec` assigns them. For those boxes:
    binary cross-entropy of x and y, half the squared error of width and height, both times 2 less
    the object's share of the image's area; and for each class its own binary cross-entropy. For
    all boxes: binary cross-entropy of objectness, except where no object was assigned and the
    *predicted* box overlaps any object by more than `ignore_threshold`.

    Its gradient is Darknet's `delta` with the sign changed. (What Darknet prints as its loss is the
    sum of the squares of `delta`.)

    Reference: Redmon and Farhadi 2018, "YOLOv3: An Incremental Improvement", section 2; Darknet,
    `src/yolo_layer.c`. Lin et al. 2017, "Focal loss for dense object detection", equation 4.

    Args:
        codec: `kmed.codecs.YOLOv3Codec`.
        ignore_threshold: IoU in (0, 1]: 0.7 in the authors' configuration, 0.5 in the paper.
        box: "paper", or 1 - "giou" or 1 - "ciou" of the boxes in pixels, times the same weight.
        focal_gamma: above 0, objectness has the factor `abs(target - p) ** focal_gamma`.
        label_smoothing: share of each class' target that is spread over yes and no, 0..1.
        box_weight: factor of the loss of boxes.
        reduction: how Keras joins the values of the images.
        name: name of the loss.
        dtype: Keras' type of the result; it is computed in float32.

    Raises:
        ValueError: if an argument is outside of what is said above.

    Example:
        >>> from kmed.codecs.yolov3 import YOLOv3Codec
        >>> loss = YOLOv3Loss(YOLOv3Codec((32, 32)))
        >>> round(float(loss(ops.zeros((1, 0, 5)), ops.zeros((1, 63, 6)))), 3)  # 63 log 2
        43.668
    """

    def __init__(
        self,
        codec: Any,
        *,
        ignore_threshold: float = 0.7,
        box: str = "paper",
        focal_gamma: float = 0.0,
        label_smoothing: float = 0.0,
        box_weight: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "yolov3_loss",
        dtype=None,
    ):
        """Takes the arguments that the class describes."""
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if box not in BOX_LOSSES:
            raise ValueError(f"`box` must be one of {BOX_LOSSES}; received {box!r}")
        if not 0 < ignore_threshold <= 1 or not 0 <= label_smoothing < 1:
            raise ValueError(
                "`ignore_threshold` must lie in (0, 1] and `label_smoothing` in [0, 1); received "
                f"{ignore_threshold} and {label_smoothing}"
            )
        if min(focal_gamma, box_weight) < 0:
            raise ValueError(
                "`focal_gamma` and `box_weight` must be 0 or more; received "
                f"{focal_gamma} and {box_weight}"
            )
        self.codec, self.box = codec, box
        self.ignore_threshold = float(ignore_threshold)
        self.focal_gamma = float(focal_gamma)
        self.label_smoothing = float(label_smoothing)
        self.box_weight = float(box_weight)

    def call(self, y_true, y_pred):
        """Returns `(B,)` float32, one value per image."""
        parts = self.parts(y_true, y_pred)
        return self.box_weight * parts["boxes"] + parts["objectness"] + parts["classes"]

    def parts(self, y_true, y_pred) -> dict[str, Any]:
        """Give the three parts of the loss.

        Args:
            y_true: `(B, M, 5)`: xyxy in pixels of the network's input and label, -1 for none.
            y_pred: `(B, N, 5 + K)` before any activation.

        Returns:
            "boxes" (without `box_weight`), "objectness" and "classes", each `(B,)`.
        """
        y_true, y_pred = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
        size = self.codec.size_of(y_pred)
        objects = {"boxes": y_true[..., :4], "labels": y_true[..., 4]}
        truth = self.codec.encode(objects, classes=self.codec.class_count(y_pred), size=size)
        present, weights = truth["objectness"], truth["weights"]
        offsets = ops.concatenate([ops.sigmoid(y_pred[..., :2]), y_pred[..., 2:4]], axis=-1)
        found = self.codec.decode_boxes(offsets, size)
        # Of boxes without an object nothing is known: no error, and no gradient, however wild.
        if self.box == "paper":
            known = (present > 0)[..., None]
            center = ops.where(known, y_pred[..., :2], 0.0)
            error = ops.where(known, y_pred[..., 2:4] - truth["offsets"][..., 2:], 0.0)
            crossed = _crossed(truth["offsets"][..., :2], center)
            boxes = ops.sum(crossed + 0.5 * ops.square(error), axis=-1)  # (B, N)
        else:
            overlap = generalized_iou if self.box == "giou" else complete_iou
            wanted = self.codec.decode_boxes(truth["offsets"], size)
            same = ops.where((present > 0)[..., None], found, wanted)
            boxes = 1.0 - overlap(same, wanted)
        ignored = self._ignored(objects, found) & (present == 0)
        objectness = _crossed(present, y_pred[..., 4])
        if self.focal_gamma:
            wrong = ops.abs(present - ops.sigmoid(y_pred[..., 4]))
            # The smallest keeps a root's slope finite.
            objectness = objectness * ops.power(ops.maximum(wrong, 1e-7), self.focal_gamma)
        smooth = truth["classes"] * (1 - self.label_smoothing) + 0.5 * self.label_smoothing
        classes = ops.sum(_crossed(smooth, y_pred[..., 5:]), axis=-1)
        return {
            "boxes": ops.sum(weights * boxes, axis=1),
            "objectness": ops.sum(ops.where(ignored, 0.0, objectness), axis=1),
            "classes": ops.sum(present * classes, axis=1),
        }

    def _ignored(self, objects, found):
        """Whether a predicted box `(B, N)` overlaps an object enough."""
        boxes, labels = objects["boxes"], objects["labels"]
        if labels.shape[1] == 0:
            return ops.zeros_like(found[..., 0], dtype="bool")
        overlaps = iou(boxes, ops.stop_gradient(found))  # (B, M, N)
        overlaps = ops.where((labels >= 0)[..., None], overlaps, 0.0)
        return ops.max(overlaps, axis=1) > self.ignore_threshold

    def get_config(self) -> dict:
        """Returns the arguments that rebuild this loss."""
        return {
            **super().get_config(),
            "codec": keras.saving.serialize_keras_object(self.codec),
            "ignore_threshold": self.ignore_threshold,
            "box": self.box,
            "focal_gamma": self.focal_gamma,
            "label_smoothing": self.label_smoothing,
            "box_weight": self.box_weight,
        }

    @classmethod
    def from_config(cls, config: dict) -> YOLOv3Loss:
        """Rebuild a loss."""
        return cls(**config | {"codec": keras.saving.deserialize_keras_object(config["codec"])})


def _crossed(target, logits):
    """Binary cross-entropy of each element."""
    return ops.binary_crossentropy(target, logits, from_logits=True)
