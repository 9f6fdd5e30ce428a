"""Soft Dice plus cross-entropy."""

from __future__ import annotations

import keras

from kmed.losses.soft_dice import SoftDice
from kmed.losses.voxel_loss import VoxelLoss
from kmed.ops.label_maps import Voxels, mean_over_voxels, voxel_cross_entropy


@keras.saving.register_keras_serializable(package="kmed")
class DiceCrossEntropy(VoxelLoss):
    """Weighted sum of the soft Dice loss and the mean cross-entropy of each example.

    Cross-entropy gives every voxel a gradient and calibrated probabilities, Dice keeps small
    structures from drowning in background; nnU-Net trains with the sum of the two.
    It takes one weight per voxel as `sample_weight`, which multiplies the cross-entropy only.

    `DiceCrossEntropy(include_background=True, absent="formula")` is MONAI's
    `DiceCELoss(softmax=True, to_onehot_y=True)`.

    Reference:
        Isensee et al.: nnU-Net, Nature Methods 18 (2021), Methods, "Training".

    Args:
        dice_weight: factor of the soft Dice loss, 0 or more.
        cross_entropy_weight: factor of the cross-entropy (natural logarithm), 0 or more.
        include_background: whether class 0 counts in the Dice part.
        smooth: see `SoftDice`.
        squared: see `SoftDice`.
        absent: see `SoftDice`.
        ignore_class: label of voxels that do not count, or None.
        reduction: how Keras joins the values of the examples.
        name: name of the loss.
        dtype: Keras' type of the result; it is computed in float32.

    Raises:
        ValueError: for a negative weight, or what `SoftDice` refuses.

    Example:
        >>> import numpy as np
        >>> truth = np.zeros((1, 4, 4), "uint8")
        >>> round(float(DiceCrossEntropy(dice_weight=0)(truth, np.zeros((1, 4, 4, 2)))), 4)
        0.6931
    """

    takes_voxel_weights = True

    def __init__(
        self,
        *,
        dice_weight: float = 1.0,
        cross_entropy_weight: float = 1.0,
        include_background: bool = False,
        smooth: float = 1e-5,
        squared: bool = False,
        absent: str = "fraction",
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "dice_cross_entropy",
        dtype=None,
    ):
        """Takes the arguments that the class describes."""
        super().__init__(ignore_class=ignore_class, reduction=reduction, name=name, dtype=dtype)
        if dice_weight < 0 or cross_entropy_weight < 0:
            raise ValueError(
                "`dice_weight` and `cross_entropy_weight` must be 0 or more; received "
                f"{dice_weight} and {cross_entropy_weight}"
            )
        self.dice_weight = dice_weight
        self.cross_entropy_weight = cross_entropy_weight
        self.dice = SoftDice(
            include_background=include_background, smooth=smooth, squared=squared, absent=absent
        )

    def per_example(self, v: Voxels, weights=None):
        """Returns the loss of each example, `(B,)`."""
        loss = 0.0
        if self.dice_weight:
            loss = self.dice_weight * self.dice.per_example(v)
        if self.cross_entropy_weight:
            entropy = mean_over_voxels(voxel_cross_entropy(v), v, weights)
            loss = loss + self.cross_entropy_weight * entropy
        return loss

    def get_config(self) -> dict:
        """Returns the arguments that rebuild this loss."""
        return {
            **super().get_config(),
            "dice_weight": self.dice_weight,
            "cross_entropy_weight": self.cross_entropy_weight,
            "include_background": self.dice.include_background,
            "smooth": self.dice.smooth,
            "squared": self.dice.squared,
            "absent": self.dice.absent,
        }
