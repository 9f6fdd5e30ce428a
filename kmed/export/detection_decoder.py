"""From a detector's raw outputs to boxes in the raw image: the last step of its bundle."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

import kmed.codecs  # noqa: F401 - a loaded decoder needs its codec's class
from kmed.ops.boxes import clip
from kmed.ops.letterbox import boxes_from_frame, placement
from kmed.ops.suppression import select_detections

OPTIONS = (
    "score_threshold",
    "iou_threshold",
    "candidates",
    "max_detections",
    "soft_sigma",
    "class_agnostic",
)


@keras.saving.register_keras_serializable("kmed")
class DetectionDecoder(keras.layers.Layer):
    """Turn a detector's outputs into detections in the pixels of the raw image.

    The codec makes boxes and scores of the outputs, non-maximum suppression chooses among them,
    and what the fit did to the image (stretched it, or framed it) is undone.

    Called on `[outputs, image]`, it gives "boxes" float32 `(B, M, 4)` xyxy in pixels of the image,
    cut off at its edges; "scores" float32 `(B, M)`, falling; "labels" int32 `(B, M)`, index of the
    class; "count" int32 `(B,)`. Beyond the count boxes and scores are 0 and labels -1.

    Args:
        codec: of `kmed.codecs`, with `decode`.
        size: height and width of the network's input, in pixels.
        letterbox: whether the image kept its aspect ratio in it.
        options: of `kmed.ops.suppression.select_detections`, in place of the codec's own
            (`postprocessing`).

    Raises:
        ValueError: for an unknown option.
    """

    dense = False
    located = True
    fits = ("resize", "letterbox")
    signature = "detect"
    outputs = {
        "boxes": "float32, x1, y1, x2, y2 in pixels of the image, 0 beyond the count",
        "scores": "float32, falling",
        "labels": "int32, index of the class, -1 beyond the count",
        "count": "int32, number of detections",
    }

    def __init__(self, codec, size, *, letterbox: bool = False, options=None, **kwargs):
        """Check the arguments."""
        super().__init__(**({"dtype": "float32", "name": "decoder"} | kwargs))
        unknown = sorted(set(options or {}) - set(OPTIONS))
        if unknown:
            raise ValueError(f"`options` may have {', '.join(OPTIONS)}; received {unknown}")
        self.codec = codec
        self.size, self.letterbox = tuple(int(n) for n in size), bool(letterbox)
        self.options = dict(options or {})

    @property
    def postprocessing(self) -> dict[str, Any]:
        """The options of the suppression, the codec's own included."""
        return dict(self.codec.postprocessing) | self.options

    def call(self, inputs):
        """Decode `[outputs, image (B, H, W, C)]`."""
        outputs, image = inputs
        boxes, scores = self.codec.decode(outputs)
        found = select_detections(boxes, scores, **self.postprocessing)
        height, width = ops.shape(image)[1], ops.shape(image)[2]
        place = placement(height, width, self.size, letterbox=self.letterbox)
        boxes = clip(boxes_from_frame(found["boxes"], place), height, width)
        real = (found["labels"] >= 0)[..., None]
        return found | {"boxes": ops.where(real, boxes, 0.0)}

    def classes(self, outputs) -> int:
        """Number of classes of a network's outputs, background not counted."""
        return self.codec.class_count(outputs)

    def probe(self, outputs):
        """Give the outputs that nothing was chosen for: of two stages the first's."""
        return outputs["rpn_objectness"] if isinstance(outputs, dict) else outputs

    def compute_output_spec(self, inputs):
        """Boxes (B, M, 4), scores and labels (B, M), count (B,)."""
        batch, most = inputs[1].shape[0], self.postprocessing["max_detections"]
        return {
            "boxes": keras.KerasTensor((batch, most, 4), "float32"),
            "scores": keras.KerasTensor((batch, most), "float32"),
            "labels": keras.KerasTensor((batch, most), "int32"),
            "count": keras.KerasTensor((batch,), "int32"),
        }

    def get_config(self):
        """Arguments that rebuild the layer."""
        return super().get_config() | {
            "codec": keras.saving.serialize_keras_object(self.codec),
            "size": self.size,
            "letterbox": self.letterbox,
            "options": self.options,
        }

    @classmethod
    def from_config(cls, config):
        """Rebuild the layer and its codec."""
        codec = keras.saving.deserialize_keras_object(config["codec"])
        return cls(**(config | {"codec": codec}))
