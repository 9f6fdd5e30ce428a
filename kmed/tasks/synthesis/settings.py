"""What a synthesis training is told: plain values, written beside its results."""

from __future__ import annotations

from dataclasses import dataclass

from kmed.tasks.adversarial_settings import AdversarialSettings
from kmed.tasks.training_settings import setting


@dataclass(frozen=True, kw_only=True)
class Settings(AdversarialSettings):
    """Settings of a synthesis training; each field's `metadata["help"]` explains it.

    Raises:
        ValueError: for a value outside of its range, naming the field.
    """

    name: str = setting("dcgan", "name of the training; its bundle goes to saved_models/NAME")
    conditional: bool | None = setting(
        None, "whether images of a class can be asked for; by default if the data have classes"
    )
    latent: int = setting(100, "random numbers that an image is made of")
    size: tuple[int, ...] = setting(
        (64, 64), "height and width of the images, a power of two; three numbers for volumes"
    )
    batch_size: int = setting(64, "images in a batch, over all devices")
    epochs: int = setting(100, "passes over the images")
    constant: float = setting(
        1.0, "share of the training at the full rate, before it falls linearly to zero"
    )
    gradient_penalty: float = setting(0.0, "weight of the gradient penalty; 10 with wasserstein")
    discriminator_steps: int = setting(1, "steps of the discriminator for one of the generator")
    generated: int = setting(1000, "images that each FID is computed of")
    select: str = setting("fid", "fid: the epoch of the lowest on the validation part; or last")
    split: str = setting("auto", "auto takes the parts that the data declare; random does not")
    table: str | None = setting(None, "CSV file of files and labels, where it lies elsewhere")
    label: str | None = setting(
        None, "regular expression whose first group is the class in a file's name"
    )

    def _rules(self):
        return super()._rules() | {
            "latent": self.latent >= 1,
            "gradient_penalty": self.gradient_penalty >= 0,
            "discriminator_steps": self.discriminator_steps >= 1,
            "generated": self.generated >= 2,
            "select": self.select in ("fid", "last"),
            "split": self.split in ("auto", "random"),
        }
