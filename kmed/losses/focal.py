"""Focal cross-entropy on label maps."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from kmed.losses.voxel_loss import VoxelLoss
from kmed.ops.label_maps import Voxels, mean_over_voxels


@keras.saving.register_keras_serializable(package="kmed")
class Focal(VoxelLoss):
    """Keras' categorical focal cross-entropy for integer label maps, averaged over each example.

    The formula is `keras.losses.categorical_focal_crossentropy`; this class gives it label maps
    in place of one-hot vectors, an ignored class, weights per voxel (`sample_weight`) and one
    value per example. One logit is taken as two classes.

    Reference:
        Lin et al.: Focal loss for dense object detection, ICCV 2017, equation 5.

    Args:
        alpha: factor of all classes, or one per class.
        gamma: exponent of the factor (1 - p), 0 or more; 0 is cross-entropy.
        ignore_class: label of voxels that do not count, or None.
        reduction: how Keras joins the values of the examples.
        name: name of the loss.
        dtype: Keras' type of the result; it is computed in float32.

    Raises:
        ValueError: for a negative `gamma`, or for as many alphas as there are not classes.

    Example:
        >>> import numpy as np
        >>> truth = np.zeros((1, 2, 2), "uint8")
        >>> round(float(Focal(alpha=1.0, gamma=0.0)(truth, np.zeros((1, 2, 2, 2)))), 4)
        0.6931
    """

    takes_voxel_weights = True

    def __init__(
        self,
        *,
        alpha: float | tuple[float, ...] = 0.25,
        gamma: float = 2.0,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "focal",
        dtype=None,
    ):
        """Takes the arguments that the class describes."""
        super().__init__(ignore_class=ignore_class, reduction=reduction, name=name, dtype=dtype)
        if gamma < 0:
            raise ValueError(f"`gamma` must be 0 or more; received {gamma}")
        self.alpha = alpha
        self.gamma = gamma

    def per_example(self, v: Voxels, weights=None):
        """Returns the loss of each example, `(B,)`."""
        classes = max(v.classes, 2)
        logits = v.logits
        if v.classes <= 2:
            logits = ops.concatenate([ops.zeros_like(logits), logits], axis=1)  # (B, 2, N)
        alpha = self.alpha
        if not isinstance(alpha, int | float):
            if len(alpha) != classes:
                raise ValueError(
                    f"`alpha` must be one number or one per class ({classes}); received {alpha}"
                )
            alpha = np.reshape(np.asarray(alpha, "float32"), (classes, 1))
        losses = keras.losses.categorical_focal_crossentropy(
            ops.one_hot(v.labels, classes, axis=1),
            logits,
            alpha=alpha,
            gamma=self.gamma,
            from_logits=True,
            axis=1,
        )
        return mean_over_voxels(losses, v, weights)

    def get_config(self) -> dict:
        """Returns the arguments that rebuild this loss."""
        return {**super().get_config(), "alpha": self.alpha, "gamma": self.gamma}
