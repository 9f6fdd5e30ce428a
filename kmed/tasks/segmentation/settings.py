"""What a segmentation training is told: plain values, written beside its results."""

from __future__ import annotations

import dataclasses
import difflib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kmed.losses as losses
from kmed.data.augmentation import FLIPS
from kmed.distribute import PRECISIONS

PREPROCESSORS = ("ct", "mr", "xray", "rgb")
LOSSES = {
    "dice_cross_entropy": losses.DiceCrossEntropy,
    "dice": losses.SoftDice,
    "generalized_dice": losses.GeneralizedDice,
    "tversky": losses.Tversky,
    "border_weighted": losses.BorderWeightedCrossEntropy,
}


def _setting(default: Any, help_: str) -> Any:
    metadata = {"help": help_}
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a segmentation training; each field's `metadata["help"]` explains it.

    Raises:
        ValueError: for a value outside of its range, naming the field.
    """

    name: str = _setting("unet", "name of the training; its bundle goes to saved_models/NAME")
    data: str | None = _setting(None, "file or folder of the data; none makes phantom studies")
    modality: str = _setting("ct", "phantoms only: ct, t1 or t2")
    patients: int = _setting(24, "phantoms only: how many patients to make")
    labels: tuple[str, ...] | None = _setting(
        None, "names of the classes, background first; by default what the data set declares"
    )
    patient: str | None = _setting(
        None, "regular expression whose first group is the patient in a file's name"
    )
    size: tuple[int, ...] = _setting(
        (256, 256), "height and width of the network's input, or depth, height and width"
    )
    fit: str | None = _setting(
        None,
        "resize (whole images to SIZE; the default in 2D) or patch (random patches of SIZE, "
        "sliding window; the default in 3D)",
    )
    preprocessor: str = _setting("ct", "ct, mr, xray or rgb: how raw values are normalised")
    window_hu: tuple[float, float] = _setting((40.0, 400.0), "ct only: window center and width")
    spacing_mm: tuple[float, ...] | None = _setting(
        None, "patch only: resample volumes to this spacing first, one distance per axis of SIZE"
    )
    network: dict = _setting({}, "further arguments of the network's builder")
    loss: str = _setting("dice_cross_entropy", ", ".join(LOSSES))
    batch_size: int = _setting(8, "images in a batch, over all devices")
    epochs: int = _setting(50, "passes over the training set")
    steps_per_epoch: int | None = _setting(None, "batches in an epoch; by default all images once")
    learning_rate: float = _setting(1e-3, "peak of Adam's rate: short warm-up, cosine to zero")
    augment: float = _setting(1.0, "strength of the augmentation; 0 leaves only the flips")
    flip: str = _setting(
        "all", "mirrored axes: all, horizontal, or none (where left and right are two classes)"
    )
    foreground: float = _setting(0.5, "patch only: share of patches placed around a structure")
    validation: float = _setting(0.1, "share of patients to choose the best epoch by")
    test: float = _setting(0.2, "share of patients to measure the result on")
    split_file: str | None = _setting(None, "JSON file of a split to use instead")
    seed: int = _setting(0, "seed of all randomness")
    devices: int | None = _setting(None, "number of GPUs; by default all")
    precision: str = _setting("auto", ", ".join(PRECISIONS))
    patience: int | None = _setting(None, "stop after so many epochs without improvement")
    run_dir: str | None = _setting(None, "checkpoints and logs; by default runs/NAME")
    saved_models: str = _setting("saved_models", "where bundles go")
    cache_dir: str | None = _setting(None, "prepared images; by default RUN_DIR/cache")
    resume: bool = _setting(True, "go on with an interrupted training of the same settings")

    def __post_init__(self):
        # JSON and command lines give lists.
        for name in ("labels", "size", "spacing_mm", "window_hu"):
            if isinstance(value := getattr(self, name), list):
                object.__setattr__(self, name, tuple(value))
        if self.fit is None:
            object.__setattr__(self, "fit", "patch" if len(self.size) == 3 else "resize")
        self._check()

    def _check(self):
        rules = {
            "size": len(self.size) in (2, 3) and min(self.size) >= 1,
            "fit": self.fit in ("patch", "resize") and (self.fit == "patch" or len(self.size) == 2),
            "preprocessor": self.preprocessor in PREPROCESSORS,
            "window_hu": len(self.window_hu) == 2 and self.window_hu[1] > 0,
            "spacing_mm": self.spacing_mm is None
            or (self.fit == "patch" and len(self.spacing_mm) == self.rank)
            and min(self.spacing_mm) > 0,
            "loss": self.loss in LOSSES,
            "batch_size": self.batch_size >= 1,
            "epochs": self.epochs >= 1,
            "steps_per_epoch": self.steps_per_epoch is None or self.steps_per_epoch >= 1,
            "learning_rate": self.learning_rate > 0,
            "augment": 0 <= self.augment <= 5,
            "flip": self.flip in FLIPS,
            "foreground": 0 <= self.foreground <= 1,
            "validation": 0 < self.validation < 1,
            "test": 0 < self.test < 1 and self.validation + self.test < 1,
            "precision": self.precision in PRECISIONS,
            "patience": self.patience is None or self.patience >= 1,
            "labels": self.labels is None or len(self.labels) >= 2,
            "name": bool(self.name) and self.name == Path(self.name).name,
        }
        for name, holds in rules.items():
            if not holds:
                raise ValueError(
                    f"`{name}` ({_help(name)}) is out of range; received {getattr(self, name)!r}"
                )

    @property
    def rank(self) -> int:
        """Number of the network's spatial axes."""
        return len(self.size)

    @property
    def run_folder(self) -> Path:
        """Where checkpoints and logs go."""
        return Path(self.run_dir or f"runs/{self.name}")

    def replaced(self, **values: Any) -> Settings:
        """Give the settings with some values changed.

        Raises:
            ValueError: for a name that is no setting, with the nearest ones.
        """
        known = [f.name for f in dataclasses.fields(self)]
        for name in values:
            if name not in known:
                near = difflib.get_close_matches(name, known)
                hint = f"; did you mean {' or '.join(near)}?" if near else f"; known: {known}"
                raise ValueError(f"`{name}` is not a setting of this training{hint}")
        return dataclasses.replace(self, **values)

    def fingerprint(self) -> str:
        """JSON text of everything that changes the trained weights."""
        values = dataclasses.asdict(self)
        for name in ("run_dir", "saved_models", "cache_dir", "resume", "devices", "name"):
            values.pop(name)
        return json.dumps(values, sort_keys=True, indent=1)


def _help(name: str) -> str:
    return next(f.metadata["help"] for f in dataclasses.fields(Settings) if f.name == name)
