"""What every segmentation loss here has in common: label maps in, one value per example out."""

from __future__ import annotations

import keras
from keras import ops

from kmed.ops.label_maps import Voxels, nan_if_out_of_range, voxels


class VoxelLoss(keras.losses.Loss):
    """A loss of logits against an integer label map; subclasses write `per_example`.

    Whatever the type of the logits, it computes in float32. A label that is no class (negative, or
    as large as the number of classes) and is not `ignore_class` makes the loss of its example NaN:
    a compiled graph cannot raise, and counting it as background would be silently wrong.

    Args:
        ignore_class: label of voxels that do not count (255 or -1, say), or None.
        reduction: how Keras joins the values of the examples.
        name: name of the loss.
        dtype: Keras' type of the result, not of the computation.
    """

    takes_voxel_weights = False

    def __init__(
        self,
        *,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype=None,
    ):
        """Takes the arguments that the class describes."""
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.ignore_class = ignore_class

    def __call__(self, y_true, y_pred, sample_weight=None):
        """Returns the reduced loss.

        Args:
            y_true: `(B, H, W)` or `(B, D, H, W)` class indices, or with a last axis of 1.
            y_pred: `(B, ..., K)` logits; K = 1 is a sigmoid.
            sample_weight: `(B,)`, one weight per example; losses with a cross-entropy also take
                one per voxel, of the shape of `y_true`.

        Raises:
            ValueError: if shapes do not fit, or for weights per voxel where they have no meaning.
        """
        if sample_weight is None or len(ops.shape(sample_weight)) < 2:
            return super().__call__(y_true, y_pred, sample_weight)
        if len(ops.shape(sample_weight)) == 2 and ops.shape(sample_weight)[-1] == 1:
            return super().__call__(y_true, y_pred, ops.squeeze(sample_weight, -1))
        if not self.takes_voxel_weights:
            raise ValueError(
                f"{type(self).__name__} takes one `sample_weight` per example, shape (B,); weights "
                "per voxel are for DiceCrossEntropy and BorderWeightedCrossEntropy; received "
                f"{tuple(ops.shape(sample_weight))}"
            )
        # Keras converts any structure; the weights travel beside the labels and not to the
        # reduction, which would multiply them by the examples' values.
        return super().__call__((y_true, sample_weight), y_pred)

    def call(self, y_true, y_pred):
        """Returns `(B,)` float32, one value per example."""
        weights = None
        if isinstance(y_true, tuple | list):
            y_true, weights = y_true
        v = voxels(y_true, y_pred, self.ignore_class)
        check = nan_if_out_of_range(v)
        if weights is None:
            return self.per_example(v) + check
        if len(weights.shape) not in (len(y_pred.shape) - 1, len(y_pred.shape)):
            raise ValueError(
                "`sample_weight` must have one value per example or the shape of `y_true`; "
                f"received sample_weight {tuple(weights.shape)}, y_true {tuple(y_true.shape)}"
            )
        weights = ops.cast(ops.reshape(weights, ops.shape(v.labels)), "float32")
        return self.per_example(v, weights) + check

    def per_example(self, v: Voxels, weights=None):
        """Returns the loss of each example, `(B,)`.

        Args:
            v: labels and logits.
            weights: `(B, N)` float32 or None; only given if `takes_voxel_weights`.
        """
        raise NotImplementedError

    def get_config(self) -> dict:
        """Returns the arguments that rebuild this loss."""
        return {**super().get_config(), "ignore_class": self.ignore_class}
