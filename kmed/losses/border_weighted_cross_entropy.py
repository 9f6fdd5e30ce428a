"""The U-Net paper's cross-entropy with a weight per voxel."""

from __future__ import annotations

import keras

from kmed.losses.voxel_loss import VoxelLoss
from kmed.ops.label_maps import Voxels, mean_over_voxels, voxel_cross_entropy


@keras.saving.register_keras_serializable(package="kmed")
class BorderWeightedCrossEntropy(VoxelLoss):
    """Cross-entropy of each voxel times its weight from `border_weight_map`, averaged.

    The map travels as Keras' own `sample_weight`, the third element that a data set yields:
    `(image, label map, weight map)`, the weights of the shape of the label map. So `model.fit`,
    Keras' own losses and `MirroredStrategy` take it as it is, and the metrics see a label map that
    holds nothing but labels, which a second channel of `y_true` would spoil. Without weights (in
    validation, say) this is plain cross-entropy. The mean is over voxels: the paper's sum divided
    by a constant.

    Reference:
        Ronneberger, Fischer, Brox: U-Net, MICCAI 2015, equations 1 and 2.

    Args:
        ignore_class: label of voxels that do not count, or None.
        reduction: how Keras joins the values of the examples.
        name: name of the loss.
        dtype: Keras' type of the result; it is computed in float32.

    Example:
        >>> import numpy as np
        >>> truth, logits = np.zeros((1, 2, 2), "uint8"), np.zeros((1, 2, 2, 2))
        >>> weights = np.array([[[1.0, 1.0], [1.0, 5.0]]])
        >>> round(float(BorderWeightedCrossEntropy()(truth, logits, weights)), 4)  # 2 ln 2
        1.3863
    """

    takes_voxel_weights = True

    def __init__(
        self,
        *,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "border_weighted_cross_entropy",
        dtype=None,
    ):
        """Takes the arguments that the class describes."""
        super().__init__(ignore_class=ignore_class, reduction=reduction, name=name, dtype=dtype)

    def per_example(self, v: Voxels, weights=None):
        """Returns the loss of each example, `(B,)`."""
        return mean_over_voxels(voxel_cross_entropy(v), v, weights)
