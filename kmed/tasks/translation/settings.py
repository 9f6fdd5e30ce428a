"""What a translation training is told: plain values, written beside its results."""

from __future__ import annotations

from dataclasses import dataclass

from kmed.tasks.adversarial_settings import AdversarialSettings
from kmed.tasks.training_settings import setting

ALGORITHMS = ("pix2pix", "cyclegan")
FITS = ("resize", "pad")


@dataclass(frozen=True, kw_only=True)
class Settings(AdversarialSettings):
    """Settings of a translation training; each field's `metadata["help"]` explains it.

    Raises:
        ValueError: for a value outside of its range, naming the field.
    """

    name: str = setting(
        "pix2pix",
        "name of the training; its bundle goes to saved_models/NAME, CycleGAN's two to NAME-SOURCE-"
        "to-TARGET",
    )
    algorithm: str = setting(
        "pix2pix", "pix2pix: of pairs; cyclegan: of unpaired images, both ways"
    )
    modalities: tuple[str, ...] | None = setting(
        None, "source and target, such as t1,t2; by default what the data have"
    )
    paired: bool | None = setting(
        None, "false: pairs are not used and each patient gives one modality; by default as the "
        "algorithm needs"
    )  # fmt: skip
    side_by_side: bool = setting(
        False, "each picture holds the source in its left half and the target in its right"
    )
    key: str | None = setting(
        None, "regular expression whose first group is what two matching files' names share"
    )
    every_mm: float | None = setting(None, "distance of the slices taken; by default all")
    fit: str = setting(
        "resize",
        "resize: stretched to `size` and back; pad: voxels as they are, cut or continued to `size` "
        "in training",
    )
    crop: tuple[int, ...] | None = setting(
        None, "size of a random part of each image that a step sees; by default all"
    )
    size: tuple[int, ...] = setting(
        (256, 256), "height and width of the images; three numbers for whole volumes"
    )
    batch_size: int = setting(1, "images in a batch, over all devices")
    epochs: int = setting(200, "passes over the images")
    flip: str = setting("horizontal", "mirrored axes: all, horizontal, or none")
    l1_weight: float = setting(100.0, "pix2pix: weight of the mean absolute difference")
    ssim_weight: float = setting(0.0, "pix2pix: weight of 1 - SSIM")
    gradient_difference_weight: float = setting(0.0, "pix2pix: weight of the gradients' difference")
    adversarial: bool = setting(
        True, "pix2pix: false trains the generator without a discriminator, as a baseline"
    )
    cycle_weight: float = setting(10.0, "cyclegan: weight of the way there and back")
    identity_weight: float = setting(
        0.5, "cyclegan: weight of leaving the target as it is, times cycle_weight"
    )
    buffer: int = setting(50, "cyclegan: past images that the discriminator may see again")
    select: str = setting(
        "auto",
        "best: the epoch of the lowest error on the validation part's pairs; last; auto: best for "
        "pix2pix, last for cyclegan, as in its paper",
    )

    def _rules(self):
        crop = self.crop
        weights = ("l1_weight", "ssim_weight", "gradient_difference_weight")
        return (
            super()._rules()
            | {name: getattr(self, name) >= 0 for name in (*weights, "cycle_weight")}
            | {
                "algorithm": self.algorithm in ALGORITHMS,
                "modalities": self.modalities is None
                or (len(self.modalities) == 2 and len(set(self.modalities)) == 2),
                "paired": self.paired is not False or self.algorithm == "cyclegan",
                "every_mm": self.every_mm is None or self.every_mm > 0,
                "fit": self.fit in FITS,
                "crop": crop is None
                or (len(crop) == len(self.size) and all(map(int.__le__, crop, self.size))),
                "identity_weight": self.identity_weight >= 0,
                "buffer": self.buffer >= 0,
                "select": self.select in ("auto", "best", "last"),
            }
        )

    @property
    def judged_by_pairs(self) -> bool:
        """Whether the validation part's pairs choose the epoch."""
        return self.select == "best" or (self.select == "auto" and self.algorithm == "pix2pix")
