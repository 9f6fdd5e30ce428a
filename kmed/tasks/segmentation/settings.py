"""What a segmentation training is told: plain values, written beside its results."""

from __future__ import annotations

from dataclasses import dataclass

import kmed.losses as losses
from kmed.tasks.training_settings import TrainingSettings, setting

LOSSES = {
    "dice_cross_entropy": losses.DiceCrossEntropy,
    "dice": losses.SoftDice,
    "generalized_dice": losses.GeneralizedDice,
    "tversky": losses.Tversky,
    "border_weighted": losses.BorderWeightedCrossEntropy,
    "focal": losses.Focal,
    "median_frequency": losses.ClassWeightedCrossEntropy,
}


@dataclass(frozen=True, kw_only=True)
class Settings(TrainingSettings):
    """Settings of a segmentation training; each field's `metadata["help"]` explains it.

    Raises:
        ValueError: for a value outside of its range, naming the field.
    """

    data: str | None = setting(None, "file or folder of the data; none makes phantom studies")
    modality: str = setting("ct", "phantoms only: ct, t1 or t2")
    patients: int = setting(24, "phantoms only: how many patients to make")
    fit: str | None = setting(
        None,
        "resize (whole images to SIZE; the default in 2D) or patch (random patches of SIZE, "
        "sliding window; the default in 3D)",
    )
    spacing_mm: tuple[float, ...] | None = setting(
        None, "patch only: resample volumes to this spacing first, one distance per axis of SIZE"
    )
    loss: str = setting("dice_cross_entropy", ", ".join(LOSSES))
    foreground: float = setting(0.5, "patch only: share of patches placed around a structure")

    def __post_init__(self):
        if self.fit is None:
            object.__setattr__(self, "fit", "patch" if len(self.size) == 3 else "resize")
        super().__post_init__()

    def _rules(self):
        return super()._rules() | {
            "fit": self.fit in ("patch", "resize") and (self.fit == "patch" or len(self.size) == 2),
            "spacing_mm": self.spacing_mm is None
            or (self.fit == "patch" and len(self.spacing_mm) == self.rank)
            and min(self.spacing_mm) > 0,
            "loss": self.loss in LOSSES,
            "foreground": 0 <= self.foreground <= 1,
        }
