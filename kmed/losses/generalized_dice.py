"""Generalised Dice loss."""

from __future__ import annotations

import keras
from keras import ops

from kmed.losses.soft_dice import check_smooth
from kmed.losses.voxel_loss import VoxelLoss
from kmed.ops.label_maps import Voxels, region_sums


@keras.saving.register_keras_serializable(package="kmed")
class GeneralizedDice(VoxelLoss):
    """One minus the Dice of all classes together, each weighted by its inverse squared volume.

    With intersection I, soft volume P and true volume G of each class and w = 1 / G^2, the loss of
    an example is `1 - (2 sum(w I) + smooth) / (sum(w (P + G)) + smooth)`. A class that is absent
    from the example takes the largest weight of those present. If none of the classes that count
    is present, the loss is the mean predicted fraction of the voxels, as in `SoftDice`.

    `smooth` is 0 here and 1e-5 in MONAI (`GeneralizedDiceLoss(softmax=True, to_onehot_y=True)`),
    for the weights are tiny: a structure of 100,000 voxels gives w I = 1e-5 at most, and a constant
    as large as the sums hides a good part of the loss. Set 1e-5 to get MONAI's values.

    Reference:
        Sudre et al.: Generalised Dice overlap, DLMIA 2017, section 2.1.

    Args:
        include_background: whether class 0 counts; the weights were made for it.
        smooth: added to numerator and denominator, 0 or more.
        ignore_class: label of voxels that do not count, or None.
        reduction: how Keras joins the values of the examples.
        name: name of the loss.
        dtype: Keras' type of the result; it is computed in float32.

    Raises:
        ValueError: for a negative `smooth`.

    Example:
        >>> import numpy as np
        >>> truth = np.array([[[0, 1], [1, 0]]])
        >>> logits = np.stack([-20.0 * truth, 20.0 * truth - 10], axis=-1)
        >>> round(float(GeneralizedDice()(truth, logits)), 3)
        0.0
    """

    def __init__(
        self,
        *,
        include_background: bool = True,
        smooth: float = 0.0,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "generalized_dice",
        dtype=None,
    ):
        """Takes the arguments that the class describes."""
        super().__init__(ignore_class=ignore_class, reduction=reduction, name=name, dtype=dtype)
        check_smooth(smooth)
        self.include_background = include_background
        self.smooth = smooth

    def per_example(self, v: Voxels, weights=None):
        """Returns the loss of each example, `(B,)`."""
        sums = region_sums(v, include_background=self.include_background)
        present = ops.greater(sums.truth, 0)
        weight = ops.where(present, 1.0 / ops.square(ops.maximum(sums.truth, 1.0)), 0.0)
        weight = ops.where(present, weight, ops.max(weight, axis=-1, keepdims=True))
        overlap = 2 * ops.sum(weight * sums.intersection, axis=-1) + self.smooth
        total = ops.sum(weight * (sums.predicted + sums.truth), axis=-1) + self.smooth
        fraction = ops.mean(sums.volume / ops.maximum(sums.voxels, 1.0), axis=-1)
        some = ops.any(present, axis=-1)
        return ops.where(some, 1 - overlap / ops.where(some, total, 1.0), fraction)

    def get_config(self) -> dict:
        """Returns the arguments that rebuild this loss."""
        return {
            **super().get_config(),
            "include_background": self.include_background,
            "smooth": self.smooth,
        }
