"""YOLOv3's codec: objects to cells and their anchors, and predictions to boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kmed.ops.anchor_cells import (
    anchor_masks,
    best_anchor,
    cell_grid,
    cell_matches,
    interpolate_anchors,
    square_size,
)
from kmed.ops.boxes import area, to_center, to_corners

# Redmon and Farhadi 2018, section 2.3: of COCO at 416x416; and those of the authors' tiny network.
ANCHORS = (
    *((10, 13), (16, 30), (33, 23)),
    *((30, 61), (62, 45), (59, 119)),
    *((116, 90), (156, 198), (373, 326)),
)
TINY_ANCHORS = ((10, 14), (23, 27), (37, 58), (81, 82), (135, 169), (344, 319))
_LARGEST_LOG_SCALE = 10.0  # 22,000 anchors wide; the exponential of a wild output stays finite


@keras.saving.register_keras_serializable("kmed")
class YOLOv3Codec:
    """Turns objects into what YOLOv3 is trained with, and what YOLOv3 gives into scored boxes.

    Each object belongs to one anchor, that of all levels whose shape overlaps it most (as if both
    had one centre; the first of equals), and to the cell of that anchor's level which its centre
    lies in. Where two objects meet in one cell and anchor, the later one gives the box, and both
    their classes are true, as in Darknet.

    Reference: Redmon and Farhadi 2018, "YOLOv3: An Incremental Improvement", sections 2.1 to 2.3;
    Darknet, `src/yolo_layer.c`.

    Args:
        size: (height, width) of the network's input in pixels, multiples of the largest stride; by
            default each batch is square and its size is told from the number of its boxes, as
            training at several sizes needs.
        anchors: (width, height) of each anchor in pixels, from small to large.
        masks: of each level, the indices of its anchors, as many for each; by default the anchors
            are dealt out evenly, the largest to the first level.
        strides: distance of each level's cells in pixels, in the order of the network's output.
        anchor_scale: factor of all `anchors`, for images of another size than theirs.

    Example:
        >>> codec = YOLOv3Codec((32, 32))
        >>> objects = {"boxes": np.array([[[4.0, 4, 20, 34]]]), "labels": np.array([[1]])}
        >>> found = codec.encode(objects, classes=2)
        >>> tuple(found["objectness"].shape), int(ops.sum(found["objectness"]))
        ((1, 63), 1)
    """

    #: What `kmed.ops.suppression.select_detections` takes by default.
    postprocessing = {
        "score_threshold": 0.001,
        "iou_threshold": 0.45,
        "candidates": 400,
        "max_detections": 200,
    }

    def __init__(
        self,
        size: tuple[int, int] | None = None,
        anchors: Sequence[tuple[float, float]] = ANCHORS,
        masks: Sequence[Sequence[int]] | None = None,
        strides: Sequence[int] = (32, 16, 8),
        *,
        anchor_scale: float = 1.0,
    ):
        """Check the arguments."""
        self.anchors = tuple((float(width), float(height)) for width, height in anchors)
        self.strides = tuple(int(stride) for stride in strides)
        largest = max(self.strides, default=0)
        if not largest or min(self.strides) < 1 or any(largest % s for s in self.strides):
            raise ValueError(f"`strides` must divide the largest of them; received {strides}")
        if min(map(min, self.anchors), default=0) <= 0 or anchor_scale <= 0:
            raise ValueError(
                f"`anchors` and `anchor_scale` must be above 0; received {self.anchors} and "
                f"{anchor_scale}"
            )
        self.masks = anchor_masks(masks, len(self.anchors), len(self.strides))
        if size is not None and any(n < 1 or n % largest for n in size):
            raise ValueError(f"`size` must be multiples of {largest}; received {tuple(size)}")
        self.size = None if size is None else tuple(int(n) for n in size)
        self.anchor_scale = float(anchor_scale)
        self._sides = np.array(self.anchors, "float32") * np.float32(anchor_scale)

    @classmethod
    def tiny(cls, size: tuple[int, int] | None = None, **options: Any) -> YOLOv3Codec:
        """Give the codec of `yolov3_tiny`: two levels, six anchors.

        The weights that the authors published were trained with a slip in their configuration:
        `masks=((3, 4, 5), (1, 2, 3))`. They need it still.

        Args:
            size: as the class takes it.
            **options: arguments of the class that replace the authors'.

        Returns:
            A codec of 2,535 boxes at 416x416.
        """
        return cls(size, **{"anchors": TINY_ANCHORS, "strides": (32, 16)} | options)

    @classmethod
    def of(cls, network: keras.Model, **options: Any) -> YOLOv3Codec:
        """Give the codec of a network that `kmed.applications.yolov3` or `yolov3_tiny` built.

        Its levels and the number of its anchors are read from the layers "boxes0", "boxes1" ...
        Anchors that are not given are the paper's, or of another number interpolated from those.

        Args:
            network: a model.
            **options: arguments of the class.

        Returns:
            A codec.

        Raises:
            ValueError: if the network has no such layers, or another number of anchors.
        """
        layers = [layer for layer in network.layers if layer.name in ("boxes0", "boxes1", "boxes2")]
        if len(layers) not in (2, 3):
            raise ValueError(
                f'"{network.name}" has no layers boxes0, boxes1 ...: it is no YOLOv3 of ours'
            )
        height, width = network.input_shape[1:3]
        size = None if None in (height, width) else (height, width)
        each = layers[0].input.shape[-1] // layers[0].output.shape[-1]
        strides = (32, 16, 8)[: len(layers)]
        known = ANCHORS if len(layers) == 3 else TINY_ANCHORS
        settings = {"size": size, "anchors": interpolate_anchors(known, each * len(layers))}
        codec = cls(**settings | {"strides": strides} | options)
        if len(codec.masks[0]) != each:
            raise ValueError(
                f'"{network.name}" has {each} anchors for each cell of its {len(layers)} levels; '
                f"received {len(codec.anchors)} `anchors`"
            )
        return codec

    @staticmethod
    def class_count(outputs: Any) -> int:
        """Tell the number of classes of objects from a network's output.

        Args:
            outputs: tensor, or its symbol, `(B, N, 5 + K)`.

        Returns:
            K.
        """
        return outputs.shape[-1] - 5

    def size_of(self, predictions):
        """Tell the size of the network's input that predictions are of.

        Args:
            predictions: `(B, N, ...)`.

        Returns:
            (height, width) in pixels: `size`, or of a square of N boxes; scalar tensors where N is
            not known before the network runs.

        Raises:
            ValueError: if N is known and does not fit.
        """
        count = predictions.shape[1]
        if self.size is not None:
            cells = sum((self.size[0] // s) * (self.size[1] // s) for s in self.strides)
            expected = cells * len(self.masks[0])
            if count not in (None, expected):
                raise ValueError(
                    f"predictions must be of {expected} boxes for `size` {self.size}; got {count}"
                )
            return self.size
        if count is None:
            count = ops.shape(predictions)[1]
        return square_size(count, self.strides, len(self.masks[0]))

    def encode(self, objects: Mapping[str, Any], *, classes: int, size=None) -> dict[str, Any]:
        """Assign objects to cells and anchors, as the class describes.

        Args:
            objects: "boxes" `(B, M, 4)` xyxy in pixels of the network's input and "labels"
                `(B, M)` indices of classes of objects, -1 where there is none. An object of no
                area, or whose centre is off the image, is left out.
            classes: K.
            size: (height, width) of the input where the codec has none.

        Returns:
            "objectness" `(B, N)`, 1 where an object was assigned; "offsets" `(B, N, 4)`: x and y
            from the cell's corner in cells, logarithms of width and height over the anchor's;
            "classes" `(B, N, K)` of 0 and 1; and "weights" `(B, N)`: 2 less the object's share of
            the image's area. All float32, and 0 where there is no object.
        """
        height, width = self._size(size)
        boxes = ops.cast(objects["boxes"], "float32")
        labels = ops.cast(objects["labels"], "int32")
        if labels.shape[1] == 0:  # nothing on any image; a maximum needs something
            boxes = ops.pad(boxes, [(0, 0), (0, 1), (0, 0)])
            labels = ops.pad(labels, [(0, 0), (0, 1)], constant_values=-1)
        center = to_center(boxes)
        best = best_anchor(center[..., 2:], self._sides)
        best = ops.where((labels >= 0) & (area(boxes) > 0), best, -1)
        matches = cell_matches(center[..., :2], best, (height, width), self.strides, self.masks)
        order = ops.arange(1, ops.shape(labels)[1] + 1, dtype="int32")  # matches: (B, M, N)
        last = ops.max(ops.where(matches, order[:, None], 0), axis=1)  # (B, N), 0 for none
        assigned = last > 0
        cells, strides, anchors = self._grid((height, width))
        # A box of its anchor's size in its cell's corner: offsets 0.
        neutral = to_corners(ops.concatenate([cells * strides, anchors], axis=-1))
        chosen = ops.take_along_axis(boxes, ops.maximum(last - 1, 0)[..., None], axis=1)
        chosen = ops.where(assigned[..., None], chosen, neutral)  # (B, N, 4)
        center = to_center(chosen)
        offsets = ops.concatenate(
            [center[..., :2] / strides - cells, ops.log(center[..., 2:] / anchors)], axis=-1
        )
        one_hot = ops.one_hot(labels, classes, dtype="float32")  # -1 gives zeros
        found = ops.matmul(ops.transpose(ops.cast(matches, "float32"), (0, 2, 1)), one_hot)
        share = area(chosen) / ops.cast(height * width, "float32")
        present = ops.cast(assigned, "float32")
        return {
            "objectness": present,
            "offsets": offsets * present[..., None],
            "classes": ops.minimum(found, 1.0),
            "weights": (2.0 - share) * present,
        }

    def targets(self, objects: Mapping[str, Any]):
        """Give what `kmed.losses.YOLOv3Loss` takes as `y_true`.

        The loss assigns the objects itself: which predictions it ignores depends on their boxes.

        Args:
            objects: of a batch, as for `encode`.

        Returns:
            `(B, M, 5)` float32: xyxy in pixels and label.
        """
        boxes = ops.cast(objects["boxes"], "float32")
        labels = ops.cast(objects["labels"], "float32")
        return ops.concatenate([boxes, labels[..., None]], axis=-1)

    def decode_boxes(self, offsets, size=None):
        """Give the boxes of offsets, not clipped to the image.

        Args:
            offsets: `(B, N, 4)` float32 as `encode` makes them: x and y are past their sigmoid.
            size: (height, width) of the input where the codec has none.

        Returns:
            `(B, N, 4)` xyxy in pixels of the network's input.
        """
        cells, strides, anchors = self._grid(self._size(size))
        center = (offsets[..., :2] + cells) * strides
        sides = anchors * ops.exp(ops.minimum(offsets[..., 2:], _LARGEST_LOG_SCALE))
        return to_corners(ops.concatenate([center, sides], axis=-1))

    def decode(self, predictions):
        """Give scored boxes.

        Args:
            predictions: of the network, `(B, N, 5 + K)`: x, y, width, height, objectness and
                classes, before any activation.

        Returns:
            Boxes `(B, N, 4)` xyxy in pixels of the network's input, not clipped to it, and scores
            `(B, N, K)`: objectness times each class' own sigmoid.
        """
        predictions = ops.cast(predictions, "float32")
        offsets = ops.concatenate(
            [ops.sigmoid(predictions[..., :2]), predictions[..., 2:4]], axis=-1
        )
        scores = ops.sigmoid(predictions[..., 4:5]) * ops.sigmoid(predictions[..., 5:])
        return self.decode_boxes(offsets, self.size_of(predictions)), scores

    def get_config(self) -> dict[str, Any]:
        """Arguments that rebuild the codec."""
        names = "size anchors masks strides anchor_scale".split()
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> YOLOv3Codec:
        """Rebuild a codec."""
        return cls(**config)

    def _grid(self, size):
        return cell_grid(size, self.strides, [self._sides[list(mask)] for mask in self.masks])

    def _size(self, size):
        if size is None and self.size is None:
            raise ValueError("`size` must be given, as the codec was made without one")
        return self.size if size is None else size
