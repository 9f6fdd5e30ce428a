"""What a classification training is told: plain values, written beside its results."""

from __future__ import annotations

from dataclasses import dataclass

from kmed.data.labelled_batches import SAMPLINGS
from kmed.ops.class_targets import KINDS
from kmed.tasks.training_settings import TrainingSettings, setting

RULES = ("youden", "f1", "sensitivity", "specificity", "half")


@dataclass(frozen=True, kw_only=True)
class Settings(TrainingSettings):
    """Settings of a classification training; each field's `metadata["help"]` explains it.

    Raises:
        ValueError: for a value outside of its range, naming the field.
    """

    name: str = setting("resnet18", "name of the training; its bundle goes to saved_models/NAME")
    kind: str | None = setting(
        None, f"{', '.join(KINDS)}; by default what the data say (never ordinal)"
    )
    table: str | None = setting(
        None, "CSV file of labels, where they are neither folders nor beside the images"
    )
    label: str | None = setting(
        None, "regular expression whose first group is the label in a file's name"
    )
    split: str = setting(
        "auto", "auto takes the parts that the data declare (train, val, test); random does not"
    )
    size: tuple[int, ...] = setting(
        (224, 224), "height and width of the network's input, or depth, height and width"
    )
    preprocessor: str = setting("xray", "ct, mr, xray or rgb: how raw values are normalised")
    batch_size: int = setting(32, "images in a batch, over all devices")
    epochs: int = setting(20, "passes over the training set")
    flip: str = setting(
        "horizontal",
        "mirrored axes: all, horizontal, or none (where left and right are two classes)",
    )
    head_epochs: int = setting(
        0, "with pretrained weights: epochs in which only the last layer learns, before all do"
    )
    head_learning_rate: float = setting(1e-3, "peak of Adam's rate in those epochs")
    weight_decay: float = setting(0.0, "AdamW's; 0 is Adam")
    sampling: str = setting("natural", f"{', '.join(SAMPLINGS)}: how often each class is seen")
    class_weights: bool = setting(False, "weight the loss of a class by one over its frequency")
    label_smoothing: float = setting(0.0, "share of the target spread over all classes, below 1")
    focal_gamma: float = setting(0.0, "exponent of the focal loss; 0 is cross-entropy")
    mixup: float = setting(0.0, "alpha of mixup's Beta distribution; 0 mixes nothing")
    cutmix: float = setting(0.0, "alpha of CutMix's Beta distribution; 0 cuts nothing")
    calibrate: bool = setting(True, "fit a temperature on the validation part")
    threshold: str = setting(
        "youden", f"{', '.join(RULES)}: how thresholds are chosen on the validation part"
    )
    threshold_at: float = setting(
        0.9, "the sensitivity or specificity that the threshold must reach on the validation part"
    )

    def _rules(self):
        return super()._rules() | {
            "kind": self.kind is None or self.kind in KINDS,
            "split": self.split in ("auto", "random"),
            "head_epochs": self.head_epochs >= 0,
            "head_learning_rate": self.head_learning_rate > 0,
            "weight_decay": self.weight_decay >= 0,
            "sampling": self.sampling in SAMPLINGS,
            "label_smoothing": 0 <= self.label_smoothing < 1,
            "focal_gamma": self.focal_gamma >= 0,
            "mixup": self.mixup >= 0 and (self.kind != "ordinal" or not self.mixup),
            "cutmix": self.cutmix >= 0 and (self.kind != "ordinal" or not self.cutmix),
            "threshold": self.threshold in RULES,
            "threshold_at": 0 < self.threshold_at < 1,
        }
