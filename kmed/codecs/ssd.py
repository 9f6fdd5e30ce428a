"""SSD's codec: objects to the offsets and classes of default boxes, and predictions to boxes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import keras
import numpy as np
from keras import ops

from kmed.ops.box_offsets import decode_offsets, encode_offsets
from kmed.ops.boxes import clip, iou
from kmed.ops.default_boxes import boxes_per_cell, default_boxes, default_ratios, default_scales
from kmed.ops.overlap_matching import match_by_overlap

# The authors' networks, see `kmed.applications.ssd`. Scales: SSD300's for COCO, which torchvision
# takes; SSD512's for VOC.
_SSD300 = {
    "feature_sizes": (38, 19, 10, 5, 3, 1),
    "scales": (0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05),
    "steps": (8, 16, 32, 64, 100, 300),
}
_SSD512 = {
    "feature_sizes": (64, 32, 16, 8, 4, 2, 1),
    "scales": (0.07, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 1.05),
    "steps": (8, 16, 32, 64, 128, 256, 512),
}
_LARGEST_LOG_SCALE = math.log(1000 / 16)  # torchvision's


@keras.saving.register_keras_serializable("kmed")
class SSDCodec:
    """Turns objects into what SSD is trained with, and what SSD gives into scored boxes.

    Matching, over the default boxes of all levels at once: first each object gets the default box
    that overlaps it most, no two objects the same one (the pair of the largest overlap goes
    first); then each default box left whose overlap with an object is above `iou_threshold` gets
    the object that it overlaps most. All others are background.

    Reference: Liu et al. 2016, "SSD: Single Shot MultiBox Detector", section 2.2; torchvision's
    `SSDMatcher`, in which of two objects with the same best box one may get none.

    Args:
        size: (height, width) of the network's input in pixels.
        feature_sizes: (height, width) of each level in cells.
        aspect_ratios: of each level, see `kmed.ops.default_boxes`; by default the paper's.
        scales: of each level and one more, shares of the image's shorter side; by default the
            paper's.
        steps: distance of a level's cells in pixels; by default the image's size divided by the
            level's.
        iou_threshold: see above, in (0, 1).
        variances: that divide the offsets of x, y, width and height.

    Example:
        >>> codec = SSDCodec((8, 8), [(2, 2), (1, 1)])
        >>> objects = {"boxes": np.array([[[0.0, 0, 4, 4]]]), "labels": np.array([[0]])}
        >>> offsets, classes = codec.encode(objects)
        >>> tuple(classes.shape), np.unique(classes).tolist()
        ((1, 20), [0, 1])
    """

    #: What `kmed.ops.suppression.select_detections` takes by default, as in the paper.
    postprocessing = {
        "score_threshold": 0.01,
        "iou_threshold": 0.45,
        "candidates": 400,
        "max_detections": 200,
    }

    def __init__(
        self,
        size: tuple[int, int],
        feature_sizes: Sequence[tuple[int, int]],
        aspect_ratios: Sequence[Sequence[float]] | None = None,
        scales: Sequence[float] | None = None,
        *,
        steps: Sequence[float] | None = None,
        iou_threshold: float = 0.5,
        variances: Sequence[float] = (0.1, 0.1, 0.2, 0.2),
    ):
        """Check the arguments."""
        if not 0 < iou_threshold < 1:
            raise ValueError(f"`iou_threshold` must lie in (0, 1); received {iou_threshold}")
        if len(variances) != 4 or min(variances) <= 0:
            raise ValueError(f"`variances` must be four numbers above 0; received {variances}")
        levels = len(feature_sizes)
        self.size = tuple(size)
        self.feature_sizes = tuple(tuple(level) for level in feature_sizes)
        ratios = default_ratios(levels) if aspect_ratios is None else aspect_ratios
        self.aspect_ratios = tuple(tuple(float(a) for a in level) for level in ratios)
        self.scales = tuple(default_scales(levels) if scales is None else scales)
        self.steps = None if steps is None else tuple(steps)
        self.iou_threshold = float(iou_threshold)
        self.variances = tuple(variances)
        self.default_boxes.shape  # noqa: B018 - refuses what does not fit now, not in training

    @classmethod
    def ssd300(cls, **options: Any) -> SSDCodec:
        """Give the codec of `ssd300` at 300x300 pixels.

        Args:
            **options: arguments of the class that replace the authors'.

        Returns:
            A codec of 8,732 default boxes.
        """
        return cls(**_authors(_SSD300, 300) | options)

    @classmethod
    def ssd512(cls, **options: Any) -> SSDCodec:
        """Give the codec of `ssd512` at 512x512 pixels.

        Args:
            **options: arguments of the class that replace the authors'.

        Returns:
            A codec of 24,564 default boxes.
        """
        return cls(**_authors(_SSD512, 512) | options)

    @classmethod
    def of(cls, network: keras.Model, **options: Any) -> SSDCodec:
        """Give the codec of a network that `kmed.applications.ssd` built.

        The sizes of its levels are read from its heads "head0_boxes", "head1_boxes" ... and so is
        the number of aspect ratios, which are then 2, 3 ... if they are not given. A network of the
        input and the levels of SSD300 or SSD512 gets the authors' scales and steps.

        Args:
            network: with one fixed size of input.
            **options: arguments of the class.

        Returns:
            A codec.

        Raises:
            ValueError: if the network has no such heads, or other numbers of boxes.
        """
        heads = [layer for layer in network.layers if layer.name.endswith("_boxes")]
        heads = [layer for layer in heads if layer.name.startswith("head")]
        if not heads:
            raise ValueError(
                f'"{network.name}" has no layers head0_boxes, head1_boxes ...: it is no SSD of ours'
            )
        shapes = [tuple(layer.output.shape[1:]) for layer in heads]
        size, levels = tuple(network.input_shape[1:3]), tuple(shape[:2] for shape in shapes)
        counts = [shape[2] // 4 for shape in shapes]
        settings: dict[str, Any] = {
            "size": size,
            "feature_sizes": levels,
            "aspect_ratios": [[2.0 + i for i in range(n // 2 - 1)] for n in counts],
        }
        for known in (_authors(_SSD300, 300), _authors(_SSD512, 512)):
            if (known["size"], known["feature_sizes"]) == (size, levels):
                settings |= {"scales": known["scales"], "steps": known["steps"]}
        codec = cls(**settings | options)
        given = [boxes_per_cell(level) for level in codec.aspect_ratios]
        if given != counts:
            raise ValueError(
                f'"{network.name}" has {counts} boxes for each cell of its levels; the '
                f"`aspect_ratios` {codec.aspect_ratios} make {given}"
            )
        return codec

    @cached_property
    def default_boxes(self) -> np.ndarray:
        """`(N, 4)` float32 xyxy in pixels."""
        return default_boxes(
            self.size, self.feature_sizes, self.aspect_ratios, self.scales, self.steps
        )

    @staticmethod
    def class_count(outputs: Any) -> int:
        """Tell the number of classes of objects from a network's output.

        Args:
            outputs: tensor, or its symbol, `(B, N, 4 + K + 1)`.

        Returns:
            K.
        """
        return outputs.shape[-1] - 5

    def encode(self, objects: Mapping[str, Any]):
        """Match objects with default boxes, as the class describes.

        Args:
            objects: "boxes" `(B, M, 4)` xyxy in pixels of the network's input and "labels"
                `(B, M)` indices of classes of objects, -1 where there is none. An object of no
                area, or off the image, is left out.

        Returns:
            Offsets `(B, N, 4)` float32, 0 on background, and classes `(B, N)` int32: 0 for
            background, 1 and up for objects.
        """
        boxes = ops.cast(objects["boxes"], "float32")
        labels = ops.cast(objects["labels"], "int32")
        if labels.shape[1] == 0:  # nothing on any image; a maximum needs something
            boxes = ops.pad(boxes, [(0, 0), (0, 1), (0, 0)])
            labels = ops.pad(labels, [(0, 0), (0, 1)], constant_values=-1)
        default = ops.convert_to_tensor(self.default_boxes)
        overlaps = iou(boxes, default)  # (B, M, N)
        overlaps = ops.where((labels >= 0)[..., None], overlaps, 0.0)
        matched = match_by_overlap(overlaps, self.iou_threshold)  # (B, N)
        positive, index = matched >= 0, ops.maximum(matched, 0)
        matched_boxes = ops.take_along_axis(boxes, index[..., None], axis=1)
        matched_boxes = ops.where(positive[..., None], matched_boxes, default)
        offsets = encode_offsets(matched_boxes, default, self.variances)
        offsets = ops.where(positive[..., None], offsets, 0.0)
        classes = ops.where(positive, ops.take_along_axis(labels, index, axis=1) + 1, 0)
        return offsets, classes

    def targets(self, objects: Mapping[str, Any]):
        """Give what `kmed.losses.MultiboxLoss` takes as `y_true`.

        The last column is the same for all boxes: one over the mean number of matched boxes of
        the images given. The mean of the losses of these images is then their sum over the number
        of all their matched boxes, as in the reference, on any number of replicas, if the images
        are those of a whole batch before it is divided.

        Args:
            objects: of a batch, as for `encode`.

        Returns:
            `(B, N, 6)` float32: four offsets, class and weight.
        """
        offsets, classes = self.encode(objects)
        positives = ops.sum(ops.cast(classes > 0, "float32"))
        images = ops.cast(ops.shape(classes)[0], "float32")
        weight = images / ops.maximum(positives, 1.0)
        classes = ops.cast(classes, "float32")[..., None]
        return ops.concatenate([offsets, classes, weight * ops.ones_like(classes)], axis=-1)

    def decode_boxes(self, offsets):
        """Give the boxes of offsets, not clipped to the image.

        Args:
            offsets: `(B, N, 4)` float32.

        Returns:
            `(B, N, 4)` xyxy in pixels of the network's input.
        """
        default = ops.convert_to_tensor(self.default_boxes)
        return decode_offsets(offsets, default, self.variances, _LARGEST_LOG_SCALE)

    def decode(self, predictions):
        """Give scored boxes.

        Args:
            predictions: of the network, `(B, N, 4 + K + 1)`.

        Returns:
            Boxes `(B, N, 4)` xyxy in pixels of the network's input, clipped to it, and scores
            `(B, N, K)`: the softmax without the background.
        """
        predictions = ops.cast(predictions, "float32")
        boxes = clip(self.decode_boxes(predictions[..., :4]), *self.size)
        return boxes, ops.softmax(predictions[..., 4:], axis=-1)[..., 1:]

    def get_config(self) -> dict[str, Any]:
        """Arguments that rebuild the codec."""
        names = "size feature_sizes aspect_ratios scales steps iou_threshold variances".split()
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> SSDCodec:
        """Rebuild a codec."""
        return cls(**config)


def _authors(settings, size):
    """Arguments of the codec of one of the authors' networks."""
    levels = tuple((cells, cells) for cells in settings["feature_sizes"])
    return settings | {"size": (size, size), "feature_sizes": levels}
