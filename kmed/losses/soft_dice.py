"""Soft Dice loss."""

from __future__ import annotations

import keras
from keras import ops

from kmed.losses.voxel_loss import VoxelLoss
from kmed.ops.label_maps import RegionSums, Voxels, region_sums

ABSENT = ("fraction", "ignore", "formula")


@keras.saving.register_keras_serializable(package="kmed")
class SoftDice(VoxelLoss):
    """One minus the soft Dice coefficient, averaged over the classes of each example.

    With p the probability and g the truth (0 or 1) of a class in a voxel, its loss is
    `1 - (2 sum(p g) + smooth) / (sum(p) + sum(g) + smooth)`.

    A class that is absent from an example has no Dice: the formula then gives nearly 1 however
    little is predicted, and no gradient to speak of until almost nothing is. `absent` chooses what
    such a class contributes: "fraction" the part of the voxels it was given, `mean(p)`, which is
    0 for an empty prediction and pushes false positives down as hard as a cross-entropy does;
    "ignore" nothing, neither to the sum nor to the number of classes; "formula" the formula.

    `SoftDice(include_background=True, absent="formula")` is MONAI's
    `DiceLoss(softmax=True, to_onehot_y=True)`.

    Reference:
        Milletari, Navab, Ahmadi: V-Net, 3DV 2016, section 3 (with `squared=True`).
        Drozdzal et al.: The importance of skip connections, DLMIA 2016, equation 2.

    Args:
        include_background: whether class 0 counts; with one logit there is only the foreground.
        smooth: added to numerator and denominator, in voxels, 0 or more.
        squared: squares p and g in the denominator, as in V-Net.
        absent: "fraction", "ignore" or "formula".
        ignore_class: label of voxels that do not count, or None.
        reduction: how Keras joins the values of the examples.
        name: name of the loss.
        dtype: Keras' type of the result; it is computed in float32.

    Raises:
        ValueError: for an unknown `absent` or a negative `smooth`.

    Example:
        >>> import numpy as np
        >>> truth = np.array([[[0, 1], [1, 0]]])
        >>> logits = np.stack([-20.0 * truth, 20.0 * truth], axis=-1)
        >>> bool(SoftDice()(truth, logits) < 0.5)
        True
    """

    def __init__(
        self,
        *,
        include_background: bool = False,
        smooth: float = 1e-5,
        squared: bool = False,
        absent: str = "fraction",
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "soft_dice",
        dtype=None,
    ):
        """Takes the arguments that the class describes."""
        super().__init__(ignore_class=ignore_class, reduction=reduction, name=name, dtype=dtype)
        check_absent(absent)
        check_smooth(smooth)
        self.include_background = include_background
        self.smooth = smooth
        self.squared = squared
        self.absent = absent

    def per_example(self, v: Voxels, weights=None):
        """Returns the loss of each example, `(B,)`."""
        sums = region_sums(v, include_background=self.include_background, squared=self.squared)
        dice = (2 * sums.intersection + self.smooth) / ops.maximum(
            sums.predicted + sums.truth + self.smooth, 1e-30
        )
        return mean_over_classes(1 - dice, sums, self.absent)

    def get_config(self) -> dict:
        """Returns the arguments that rebuild this loss."""
        return {
            **super().get_config(),
            "include_background": self.include_background,
            "smooth": self.smooth,
            "squared": self.squared,
            "absent": self.absent,
        }


def mean_over_classes(losses, sums: RegionSums, absent: str):
    """Averages the losses of the classes `(B, C)` to `(B,)`, see `SoftDice` for `absent`."""
    if absent == "formula":
        return ops.mean(losses, axis=-1)
    present = ops.greater(sums.truth, 0)
    if absent == "ignore":
        count = ops.sum(ops.cast(present, "float32"), axis=-1)
        return ops.sum(ops.where(present, losses, 0.0), axis=-1) / ops.maximum(count, 1.0)
    fraction = sums.volume / ops.maximum(sums.voxels, 1.0)
    return ops.mean(ops.where(present, losses, fraction), axis=-1)


def check_absent(absent: str) -> None:
    """Refuses a word that `mean_over_classes` does not know."""
    if absent not in ABSENT:
        raise ValueError(f"`absent` must be one of {ABSENT}; received {absent!r}")


def check_smooth(smooth: float) -> None:
    """Refuses a smoothing that could make a denominator negative."""
    if smooth < 0:
        raise ValueError(f"`smooth` must be 0 or more voxels; received {smooth}")
