"""Tversky and focal Tversky loss."""

from __future__ import annotations

import keras
from keras import ops

from kmed.losses.soft_dice import check_absent, check_smooth, mean_over_classes
from kmed.losses.voxel_loss import VoxelLoss
from kmed.ops.label_maps import Voxels, region_sums


@keras.saving.register_keras_serializable(package="kmed")
class Tversky(VoxelLoss):
    """One minus the Tversky index, which prices false positives and false negatives apart.

    With TP, FP and FN the soft counts of a class, its index is
    `(TP + smooth) / (TP + alpha FP + beta FN + smooth)` and its loss `(1 - index) ** gamma`,
    averaged over the classes of each example. alpha = beta = 0.5 is Dice; the default finds more
    of a small lesion at the price of false positives.

    `Tversky(include_background=True, absent="formula")` is MONAI's
    `TverskyLoss(softmax=True, to_onehot_y=True, alpha=0.3, beta=0.7)`.

    Reference:
        Salehi, Erdogmus, Gholipour: Tversky loss function, MLMI 2017, equation 4.
        Abraham, Khan: A novel focal Tversky loss, ISBI 2019, equation 4; `gamma` here is the
        exponent itself, 0.75 for their 4/3.

    Args:
        alpha: weight of false positives, 0 or more.
        beta: weight of false negatives, 0 or more.
        gamma: exponent, above 0; 1 is plain Tversky.
        include_background: whether class 0 counts; with one logit there is only the foreground.
        smooth: added to numerator and denominator, in voxels, 0 or more.
        absent: "fraction", "ignore" or "formula", see `SoftDice`.
        ignore_class: label of voxels that do not count, or None.
        reduction: how Keras joins the values of the examples.
        name: name of the loss.
        dtype: Keras' type of the result; it is computed in float32.

    Raises:
        ValueError: for weights, an exponent or a word outside these ranges.

    Example:
        >>> import numpy as np
        >>> truth = np.array([[[0, 1], [1, 0]]])
        >>> logits = np.stack([-20.0 * truth, 20.0 * truth - 10], axis=-1)
        >>> round(float(Tversky()(truth, logits)), 3)
        0.0
    """

    def __init__(
        self,
        *,
        alpha: float = 0.3,
        beta: float = 0.7,
        gamma: float = 1.0,
        include_background: bool = False,
        smooth: float = 1e-5,
        absent: str = "fraction",
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "tversky",
        dtype=None,
    ):
        """Takes the arguments that the class describes."""
        super().__init__(ignore_class=ignore_class, reduction=reduction, name=name, dtype=dtype)
        check_absent(absent)
        check_smooth(smooth)
        if alpha < 0 or beta < 0 or gamma <= 0:
            raise ValueError(
                "`alpha` and `beta` must be 0 or more and `gamma` above 0; received "
                f"alpha {alpha}, beta {beta}, gamma {gamma}"
            )
        self.alpha = alpha
        self.beta = beta
        self.gamma = gamma
        self.include_background = include_background
        self.smooth = smooth
        self.absent = absent

    def per_example(self, v: Voxels, weights=None):
        """Returns the loss of each example, `(B,)`."""
        sums = region_sums(v, include_background=self.include_background)
        true_positives = sums.intersection
        false_positives = sums.volume - true_positives
        false_negatives = sums.truth - true_positives
        total = true_positives + self.alpha * false_positives + self.beta * false_negatives
        index = (true_positives + self.smooth) / ops.maximum(total + self.smooth, 1e-30)
        loss = 1 - index
        if self.gamma != 1:
            # Below 1 the slope of the power at 0 is infinite: stop just short of a perfect index.
            loss = ops.power(ops.maximum(loss, 1e-6), self.gamma)
        return mean_over_classes(loss, sums, self.absent)

    def get_config(self) -> dict:
        """Returns the arguments that rebuild this loss."""
        return {
            **super().get_config(),
            "alpha": self.alpha,
            "beta": self.beta,
            "gamma": self.gamma,
            "include_background": self.include_background,
            "smooth": self.smooth,
            "absent": self.absent,
        }
