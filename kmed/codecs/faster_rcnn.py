"""Faster R-CNN's boxes as training targets of anchors and of proposals, and outputs as boxes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from kmed.ops.anchors import anchor_grid
from kmed.ops.box_offsets import decode_offsets, encode_offsets
from kmed.ops.boxes import clip, iou
from kmed.ops.rows import take_rows

LARGEST_LOG_SCALE = math.log(1000 / 16)
_ONES = (1.0, 1.0, 1.0, 1.0)
_SMALLEST = 0.01  # side below which a detection is none, in pixels


@keras.saving.register_keras_serializable("kmed")
class FasterRCNNCodec:
    """Matches objects to anchors and proposals, and decodes what the network gives.

    References:
        Ren et al. 2015, "Faster R-CNN", section 3.1.2 (anchors), Girshick 2015, "Fast R-CNN",
        section 2.3 (proposals).
        torchvision.models.detection: `Matcher`, `BoxCoder` and `RoIHeads.postprocess_detections`.

    Args:
        image_size: (height, width) of the network's image, in pixels.
        padded_size: (height, width) of what its first convolution sees, in pixels.
        feature_sizes: (height, width) of each level.
        anchor_sizes: square roots of the anchors' areas on each level, in pixels.
        anchor_ratios: height divided by width.
        weights: factors of the head's offsets of x, y, width and height.
        positive_iou: overlap from which an anchor is positive.
        negative_iou: overlap below which an anchor is negative; between the two it is neither.
        roi_iou: overlap from which a proposal is positive; below it is background.
    """

    #: What `select_detections` takes by default, as torchvision's.
    postprocessing = {
        "score_threshold": 0.05,
        "iou_threshold": 0.5,
        "candidates": 1000,
        "max_detections": 100,
    }

    def __init__(
        self,
        image_size: Sequence[int],
        padded_size: Sequence[int],
        feature_sizes: Sequence[Sequence[int]],
        anchor_sizes: Sequence[Sequence[float]],
        anchor_ratios: Sequence[float] = (0.5, 1.0, 2.0),
        weights: Sequence[float] = (10.0, 10.0, 5.0, 5.0),
        positive_iou: float = 0.7,
        negative_iou: float = 0.3,
        roi_iou: float = 0.5,
    ):
        """Check the arguments and make the anchors."""
        if not 0 <= negative_iou <= positive_iou <= 1 or not 0 < roi_iou <= 1:
            raise ValueError(
                "overlaps must be in [0, 1], `negative_iou` at most `positive_iou`; received "
                f"{negative_iou}, {positive_iou} and `roi_iou` {roi_iou}"
            )
        if len(weights) != 4 or min(weights) <= 0:
            raise ValueError(f"`weights` must be four positive numbers; received {tuple(weights)}")
        self.image_size, self.padded_size = tuple(image_size), tuple(padded_size)
        self.feature_sizes = tuple(tuple(size) for size in feature_sizes)
        self.anchor_sizes = tuple(tuple(sizes) for sizes in anchor_sizes)
        self.anchor_ratios, self.weights = tuple(anchor_ratios), tuple(weights)
        self.positive_iou, self.negative_iou = float(positive_iou), float(negative_iou)
        self.roi_iou = float(roi_iou)
        self.anchors = np.concatenate(
            anchor_grid(self.padded_size, self.feature_sizes, self.anchor_sizes, self.anchor_ratios)
        )
        self.variances = tuple(1.0 / weight for weight in self.weights)

    @classmethod
    def of(cls, network: keras.Model, **options) -> FasterRCNNCodec:
        """Make the codec of a network of `kmed.applications.faster_rcnn`.

        Args:
            network: whose layer "proposals" knows sizes and anchors.
            **options: further arguments of this class.

        Returns:
            The codec.
        """
        layer = network.get_layer("proposals").get_config()
        names = "image_size padded_size feature_sizes anchor_sizes anchor_ratios".split()
        return cls(**{name: layer[name] for name in names}, **options)

    @staticmethod
    def class_count(outputs) -> int:
        """Number of object classes that the network's outputs (or their shapes) have."""
        logits = outputs["class_logits"]
        return tuple(getattr(logits, "shape", logits))[-1] - 1

    def targets(self, objects):
        """Give a batch's objects as the one tensor that `model.fit` hands through.

        Args:
            objects: "boxes" `(B, M, 4)` xyxy in pixels of the network's image, "labels" `(B, M)`,
                -1 where there is no object. B is the whole batch, of all replicas.

        Returns:
            `(B, M, 6)` float32: the box, the label, and the image's place in the whole batch, from
            which samples are drawn: an image's are the same on whichever replica it comes to lie.
        """
        boxes = ops.cast(objects["boxes"], "float32")
        labels = ops.cast(objects["labels"], "float32")[..., None]
        place = ops.arange(ops.shape(labels)[0], dtype="float32")[:, None, None]
        return ops.concatenate([boxes, labels, place + ops.zeros_like(labels)], axis=-1)

    def objects(self, targets):
        """Give "boxes", "labels" (int32) and "place" `(B,)` (int32) of what `targets` gave."""
        return {
            "boxes": targets[..., :4],
            "labels": ops.cast(targets[..., 4], "int32"),
            "place": ops.cast(targets[:, 0, 5], "int32"),
        }

    def encode_rpn(self, objects):
        """Match anchors: positive, negative, or neither.

        Positive is an anchor that overlaps an object by `positive_iou` or more, and for each object
        the anchors that overlap it most of all (equal ones too); what it should become is the
        object that the anchor itself overlaps most. Anchors across the image's border take part,
        as in torchvision (the paper left them out).

        Args:
            objects: as `targets` takes them.

        Returns:
            Offsets `(B, A, 4)` (0 where not positive), and labels `(B, A)` int32: 1 positive, 0
            negative, -1 neither.
        """
        boxes, real = ops.cast(objects["boxes"], "float32"), objects["labels"] >= 0
        anchors = ops.convert_to_tensor(self.anchors)
        each = ops.broadcast_to(anchors, (ops.shape(boxes)[0], *anchors.shape))
        overlap = self._overlap(each, boxes, real)  # (B, A, M)
        best = ops.max(overlap, axis=-1)
        of_object = ops.max(overlap, axis=1, keepdims=True)  # (B, 1, M)
        closest = ops.any((overlap == of_object) & (of_object > 0), axis=-1)
        positive = closest | (best >= self.positive_iou)
        match = take_rows(boxes, ops.argmax(overlap, axis=-1))
        # Where nothing is matched the anchor stands for itself: offsets of 0, no logarithm of 0.
        match = ops.where(positive[..., None], match, anchors)
        labels = ops.where(positive, 1, ops.where(best < self.negative_iou, 0, -1))
        return encode_offsets(match, anchors, _ONES), labels

    def encode_rois(self, objects, boxes):
        """Match proposals to objects.

        Args:
            objects: as `targets` takes them.
            boxes: `(B, R, 4)` xyxy in pixels.

        Returns:
            Offsets `(B, R, 4)` (0 for background) and classes `(B, R)` int32: 0 background, then
            the label + 1.
        """
        truth, real = ops.cast(objects["boxes"], "float32"), objects["labels"] >= 0
        overlap = self._overlap(boxes, truth, real)  # (B, R, M)
        match = ops.argmax(overlap, axis=-1)
        positive = ops.max(overlap, axis=-1) >= self.roi_iou
        classes = ops.where(positive, take_rows(objects["labels"], match) + 1, 0)
        positive = positive[..., None]
        anchors = ops.where(positive, boxes, ops.ones_like(boxes) * [0.0, 0.0, 1.0, 1.0])
        truth = ops.where(positive, take_rows(truth, match), anchors)
        return encode_offsets(truth, anchors, self.variances), classes

    def decode_rois(self, offsets, boxes):
        """Give the boxes that `encode_rois` made offsets of, not cut off: `(..., 4)` xyxy."""
        return decode_offsets(offsets, boxes, self.variances, LARGEST_LOG_SCALE)

    def decode(self, outputs):
        """Give boxes and scores of each object class.

        Args:
            outputs: of the network.

        Returns:
            Boxes `(B, R, K, 4)` xyxy in pixels, cut off at the image, and scores `(B, R, K)`: the
            softmax without background; 0 for what is no proposal and for boxes without sides.
        """
        count, proposals = outputs["class_logits"].shape[-1], outputs["proposals"]
        rois = proposals.shape[1]
        scores = ops.softmax(outputs["class_logits"], axis=-1)[..., 1:]
        offsets = ops.reshape(outputs["box_offsets"], (-1, rois, count, 4))[:, :, 1:]
        boxes = clip(self.decode_rois(offsets, proposals[:, :, None]), *self.image_size)
        large = ops.min(boxes[..., 2:] - boxes[..., :2], axis=-1) >= _SMALLEST
        real = ops.arange(rois) < outputs["count"][:, None]
        return boxes, ops.where(large & real[..., None], scores, 0.0)

    @staticmethod
    def _overlap(boxes, truth, real):
        """IoU `(B, N, M)`; -1 with what is no object."""
        return ops.where(real[:, None], iou(boxes, truth), -1.0)

    def get_config(self):
        """Arguments that rebuild the codec."""
        names = (
            "image_size padded_size feature_sizes anchor_sizes anchor_ratios weights positive_iou "
            "negative_iou roi_iou"
        ).split()
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_config(cls, config):
        """Rebuild the codec."""
        return cls(**config)
