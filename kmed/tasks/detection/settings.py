"""What a detection training is told: plain values, written beside its results."""

from __future__ import annotations

from dataclasses import dataclass

from kmed.tasks.training_settings import TrainingSettings, setting

DETECTORS = ("ssd", "yolov3", "faster_rcnn")
FITS = ("resize", "letterbox")


@dataclass(frozen=True, kw_only=True)
class Settings(TrainingSettings):
    """Settings of a detection training; each field's `metadata["help"]` explains it.

    Raises:
        ValueError: for a value outside of its range, naming the field.
    """

    name: str = setting("ssd300", "name of the training; its bundle goes to saved_models/NAME")
    detector: str = setting("ssd", f"{', '.join(DETECTORS)}: codec, loss and algorithm")
    format: str | None = setting(
        None, "voc, coco, yolo, table or masks; by default what lies at the path"
    )
    fix: bool = setting(
        False, "mend boxes that reach outside, drop those without area or drawn twice"
    )
    labels: tuple[str, ...] | None = setting(
        None, "names of the objects' classes; by default what the data say"
    )
    split: str = setting(
        "auto", "auto takes the parts that the data declare (train, val, test); random does not"
    )
    size: tuple[int, ...] = setting((300, 300), "height and width of the network's input")
    fit: str = setting(
        "resize", "resize stretches the image to the input, letterbox keeps its aspect ratio"
    )
    preprocessor: str = setting("xray", "ct, mr, xray or rgb: how raw values are normalised")
    batch_size: int = setting(8, "images in a batch, over all devices")
    epochs: int = setting(100, "passes over the training set")
    weight_decay: float = setting(0.0, "AdamW's; 0 is Adam")
    anchors: str = setting("paper", "paper, or data: k-means of the training boxes (yolov3 alone)")
    codec: dict = setting({}, "further arguments of the detector's codec")
    loss: dict = setting({}, "further arguments of the detector's loss or trainer")
    suppression: dict = setting(
        {},
        "of the bundle in place of the codec's own: score_threshold, iou_threshold, "
        "max_detections, soft_sigma, class_agnostic",
    )
    augmentation: dict = setting(
        {}, "arguments of kmed.data.BoxAugmentation in place of the detector's own"
    )
    max_objects: int | None = setting(
        None, "boxes of an image at most; by default what the data have"
    )
    judge_every: int = setting(5, "epochs between two measures of AP50 on the validation part")

    def _rules(self):
        return super()._rules() | {
            "labels": self.labels is None or len(self.labels) >= 1,
            "detector": self.detector in DETECTORS,
            "split": self.split in ("auto", "random"),
            "size": len(self.size) == 2 and min(self.size) >= 1,
            "fit": self.fit in FITS,
            "weight_decay": self.weight_decay >= 0,
            "anchors": self.anchors == "paper"
            or (self.anchors == "data" and self.detector == "yolov3"),
            "max_objects": self.max_objects is None or self.max_objects >= 1,
            "judge_every": self.judge_every >= 1,
        }
