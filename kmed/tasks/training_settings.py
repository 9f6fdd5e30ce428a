"""What every training is told, whatever its task: plain values, written beside its results."""

from __future__ import annotations

import dataclasses
import difflib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kmed.data.augmentation import FLIPS
from kmed.distribute import PRECISIONS

PREPROCESSORS = ("ct", "mr", "xray", "rgb")


def setting(default: Any, help_: str) -> Any:
    """Make a field of settings with its explanation.

    Args:
        default: its value; a dictionary is copied for each instance.
        help_: what it means, for `kmed list` and for errors.

    Returns:
        A dataclass field with `metadata["help"]`.
    """
    metadata = {"help": help_}
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Settings that all tasks share; each field's `metadata["help"]` explains it.

    A task's own `Settings` adds fields, and rules for them by `_rules`.

    Raises:
        ValueError: for a value outside of its range, naming the field.
    """

    name: str = setting("unet", "name of the training; its bundle goes to saved_models/NAME")
    data: str | None = setting(None, "file or folder of the data")
    labels: tuple[str, ...] | None = setting(
        None, "names of the classes, of masks the background first; by default what the data say"
    )
    patient: str | None = setting(
        None, "regular expression whose first group is the patient in a file's name"
    )
    size: tuple[int, ...] = setting(
        (256, 256), "height and width of the network's input, or depth, height and width"
    )
    preprocessor: str = setting("ct", "ct, mr, xray or rgb: how raw values are normalised")
    window_hu: tuple[float, float] = setting((40.0, 400.0), "ct only: window center and width")
    network: dict = setting({}, "further arguments of the network's builder")
    batch_size: int = setting(8, "images in a batch, over all devices")
    epochs: int = setting(50, "passes over the training set")
    steps_per_epoch: int | None = setting(None, "batches in an epoch; by default all images once")
    learning_rate: float = setting(1e-3, "peak of Adam's rate: short warm-up, cosine to zero")
    augment: float = setting(1.0, "strength of the augmentation; 0 leaves only the flips")
    flip: str = setting(
        "all", "mirrored axes: all, horizontal, or none (where left and right are two classes)"
    )
    validation: float = setting(0.1, "share of patients to choose the best epoch by")
    test: float = setting(0.2, "share of patients to measure the result on")
    split_file: str | None = setting(None, "JSON file of a split to use instead")
    duplicates: str = setting(
        "refuse",
        "refuse, or drop: images that another part of the split holds too leave training",
    )
    seed: int = setting(0, "seed of all randomness")
    devices: int | None = setting(None, "number of GPUs; by default all")
    precision: str = setting("auto", ", ".join(PRECISIONS))
    patience: int | None = setting(None, "stop after so many epochs without improvement")
    run_dir: str | None = setting(None, "checkpoints and logs; by default runs/NAME")
    saved_models: str = setting("saved_models", "where bundles go")
    cache_dir: str | None = setting(None, "prepared images; by default RUN_DIR/cache")
    resume: bool = setting(True, "go on with an interrupted training of the same settings")

    def __post_init__(self):
        # JSON and command lines give lists.
        for one in dataclasses.fields(self):
            if isinstance(value := getattr(self, one.name), list):
                object.__setattr__(self, one.name, tuple(value))
        for name, holds in self._rules().items():
            if not holds:
                raise ValueError(
                    f"`{name}` ({self._help(name)}) is out of range; "
                    f"received {getattr(self, name)!r}"
                )

    def _rules(self) -> dict[str, bool]:
        """For each field that has one, whether its rule holds."""
        return {
            "size": len(self.size) in (2, 3) and min(self.size) >= 1,
            "preprocessor": self.preprocessor in PREPROCESSORS,
            "window_hu": len(self.window_hu) == 2 and self.window_hu[1] > 0,
            "batch_size": self.batch_size >= 1,
            "epochs": self.epochs >= 1,
            "steps_per_epoch": self.steps_per_epoch is None or self.steps_per_epoch >= 1,
            "learning_rate": self.learning_rate > 0,
            "augment": 0 <= self.augment <= 5,
            "flip": self.flip in FLIPS,
            "validation": 0 < self.validation < 1,
            "test": 0 < self.test < 1 and self.validation + self.test < 1,
            "duplicates": self.duplicates in ("refuse", "drop"),
            "precision": self.precision in PRECISIONS,
            "patience": self.patience is None or self.patience >= 1,
            "labels": self.labels is None or len(self.labels) >= 2,
            "name": bool(self.name) and self.name == Path(self.name).name,
        }

    @property
    def rank(self) -> int:
        """Number of the network's spatial axes."""
        return len(self.size)

    @property
    def run_folder(self) -> Path:
        """Where checkpoints and logs go."""
        return Path(self.run_dir or f"runs/{self.name}")

    def replaced(self, **values: Any) -> TrainingSettings:
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

    def _help(self, name: str) -> str:
        return next(f.metadata["help"] for f in dataclasses.fields(self) if f.name == name)
