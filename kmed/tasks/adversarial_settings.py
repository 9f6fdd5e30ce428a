"""What every adversarial training is told, whether it makes images of numbers or of images."""

from __future__ import annotations

from dataclasses import dataclass

from kmed.tasks.training_settings import TrainingSettings, setting

LOSSES = ("cross_entropy", "least_squares", "wasserstein", "hinge")
POLICIES = ("brightness", "contrast", "translation", "cutout")


@dataclass(frozen=True, kw_only=True)
class AdversarialSettings(TrainingSettings):
    """Settings that synthesis and translation share; see `TrainingSettings`.

    Raises:
        ValueError: for a value outside of its range, naming the field.
    """

    preprocessor: str = setting(
        "auto", "ct: in Hounsfield units, window_hu is learnt; auto: ct where the files say CT"
    )
    intensity: dict = setting(
        {},
        "raw values (low, high) that become -1 and 1, by modality or for all (image); by default "
        "0 to 255 of 8 bit pictures, else 0 and the 99.9th percentile of the training part",
    )
    discriminator: dict = setting({}, "further arguments of the discriminator's builder")
    loss: str = setting("cross_entropy", ", ".join(LOSSES))
    differentiable: tuple[str, ...] = setting(
        (), "for few images, changes of what the discriminator sees: " + ", ".join(POLICIES)
    )
    average: float | None = setting(
        0.999, "decay of the generator's moving average, which is exported; none: the last weights"
    )
    learning_rate: float = setting(2e-4, "Adam's rate, of both networks")
    beta_1: float = setting(0.5, "Adam's first momentum")
    constant: float = setting(
        0.5, "share of the training at the full rate, before it falls linearly to zero"
    )
    augment: float = setting(0.0, "strength of the augmentation of the data; 0: the flips alone")
    flip: str = setting("none", "mirrored axes: all, horizontal, or none")
    extractor: str = setting(
        "random",
        "network whose features FID and KID compare: random (fixed random convolutions), "
        "a classifier's bundle (saved_models/NAME), or a file of Inception V3's weights",
    )
    samples: int = setting(16, "images of the picture that each epoch gives")

    def _rules(self):
        return super()._rules() | {
            "preprocessor": self.preprocessor in ("auto", "ct", "range"),
            "intensity": all(len(pair) == 2 and pair[0] < pair[1] for pair in self.ranges.values()),
            "loss": self.loss in LOSSES,
            "differentiable": set(self.differentiable) <= set(POLICIES),
            "average": self.average is None or 0 < self.average < 1,
            "beta_1": 0 <= self.beta_1 < 1,
            "constant": 0 <= self.constant <= 1,
            "samples": self.samples >= 1,
        }

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """The given ranges of raw values, by modality."""
        return {name: tuple(map(float, pair)) for name, pair in self.intensity.items()}
