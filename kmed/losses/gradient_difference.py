"""Difference of the edges of an image and of the truth."""

from __future__ import annotations

import keras
from keras import ops

from kmed.ops.distances import at_least_float32


@keras.saving.register_keras_serializable(package="kmed")
class GradientDifferenceLoss(keras.losses.Loss):
    """How much the steps between neighbours differ in size from the truth's, against blur.

    Of each axis the mean over all pairs of neighbours and all channels; the sum of the axes. (The
    paper sums over pairs, so that the loss would grow with the image.) The direction of a step does
    not count, as in the paper: an image and its negative have the same edges.

    Reference:
        Mathieu, Couprie, LeCun 2016, "Deep multi-scale video prediction beyond mean square error",
        equation 6.

    Args:
        alpha: exponent of the differences, 1 or more.
        reduction: how Keras joins the values of the examples.
        name: name of the loss.
        dtype: Keras' type of the result; it is computed in float32.

    Raises:
        ValueError: for an exponent below 1, or images of other shapes.

    Example:
        >>> truth = ops.reshape(ops.array([0.0, 0.0, 1.0, 0.0, 0.0, 1.0]), (1, 2, 3, 1))
        >>> blurred = ops.reshape(ops.array([0.0, 0.5, 1.0, 0.0, 0.5, 1.0]), (1, 2, 3, 1))
        >>> float(GradientDifferenceLoss()(truth, blurred))
        0.5
    """

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "gradient_difference_loss",
        dtype=None,
    ):
        """Takes the arguments that the class describes."""
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if not alpha >= 1:
            raise ValueError(f"`alpha` must be 1 or more; received {alpha}")
        self.alpha = float(alpha)

    def call(self, y_true, y_pred):
        """Returns `(B,)` for images `(B, [D,] H, W, C)`."""
        truth, found = at_least_float32(y_true), at_least_float32(y_pred)
        if len(truth.shape) not in (4, 5) or len(truth.shape) != len(found.shape):
            raise ValueError(
                "edges are compared of images (B, H, W, C) or volumes (B, D, H, W, C); received "
                f"{tuple(truth.shape)} and {tuple(found.shape)}"
            )
        if 1 in truth.shape[1:-1]:
            raise ValueError(
                f"each axis of an image needs two pixels at least; received {tuple(truth.shape)}"
            )
        total = 0.0
        for axis in range(1, len(truth.shape) - 1):
            error = ops.abs(_steps(truth, axis) - _steps(found, axis))
            # A power's slope at 0 is not computed for 1, the usual case.
            powers = error if self.alpha == 1 else ops.power(error, self.alpha)
            total = total + ops.mean(powers, axis=tuple(range(1, len(truth.shape))))
        return total

    def get_config(self) -> dict:
        """Returns the arguments that rebuild this loss."""
        return {**super().get_config(), "alpha": self.alpha}


def _steps(x, axis):
    """Size of the step from each voxel to the next along an axis."""
    return ops.abs(ops.diff(x, axis=axis))
