"""Cross-entropy with a weight per class, and the weights that SegNet takes."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from kmed.losses.voxel_loss import VoxelLoss
from kmed.ops.label_maps import Voxels, mean_over_voxels, voxel_cross_entropy


@keras.saving.register_keras_serializable(package="kmed")
class ClassWeightedCrossEntropy(VoxelLoss):
    """Cross-entropy of each voxel times the weight of its true class, averaged over voxels.

    The divisor is the number of voxels that count, not the sum of their weights as in torch's
    `CrossEntropyLoss(weight=...)`: an image of nothing but a common class then has a small loss.

    Reference:
        Badrinarayanan, Kendall and Cipolla 2017, "SegNet", section 3.2 (median frequency
        balancing).

    Args:
        class_weights: one weight of 0 or more per class (two for a single logit), as
            `median_frequency_weights` gives them, or None for equal weights.
        ignore_class: label of voxels that do not count, or None.
        reduction: how Keras joins the values of the examples.
        name: name of the loss.
        dtype: Keras' type of the result; it is computed in float32.

    Raises:
        ValueError: for a weight that is negative or not finite, or for as many weights as there
            are not classes.

    Example:
        >>> truth, logits = np.array([[[0, 1]]]), np.zeros((1, 1, 2, 2))
        >>> loss = ClassWeightedCrossEntropy(class_weights=(1, 3))
        >>> round(float(loss(truth, logits)), 4)  # 2 ln 2
        1.3863
    """

    takes_voxel_weights = True

    def __init__(
        self,
        *,
        class_weights: Sequence[float] | None = None,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "class_weighted_cross_entropy",
        dtype=None,
    ):
        """Takes the arguments that the class describes."""
        super().__init__(ignore_class=ignore_class, reduction=reduction, name=name, dtype=dtype)
        if class_weights is not None:
            class_weights = tuple(float(weight) for weight in class_weights)
            if not all(np.isfinite(weight) and weight >= 0 for weight in class_weights):
                raise ValueError(
                    f"`class_weights` must be finite and 0 or more; received {class_weights}"
                )
        self.class_weights = class_weights

    def per_example(self, v: Voxels, weights=None):
        """Returns the loss of each example, `(B,)`."""
        losses = voxel_cross_entropy(v)
        if self.class_weights is not None:
            if len(self.class_weights) != max(v.classes, 2):
                raise ValueError(
                    f"`class_weights` must be one per class ({max(v.classes, 2)}); "
                    f"received {self.class_weights}"
                )
            table = ops.convert_to_tensor(self.class_weights, "float32")
            # A label that is no class makes its example NaN elsewhere; it must not read outside.
            labels = ops.clip(v.labels, 0, len(self.class_weights) - 1)
            losses = losses * ops.take(table, labels)
        return mean_over_voxels(losses, v, weights)

    def get_config(self) -> dict:
        """Returns the arguments that rebuild this loss."""
        return {**super().get_config(), "class_weights": self.class_weights}


def median_frequency_weights(counts: np.ndarray) -> np.ndarray:
    """Weights that balance classes: the median of all classes' frequencies over a class' own.

    A class' frequency is its number of voxels over the number of voxels of the images that it
    appears in, so that an organ outside of most images does not get a huge weight.

    Reference:
        Eigen and Fergus 2015, "Predicting Depth, Surface Normals and Semantic Labels with a Common
        Multi-Scale Convolutional Architecture", on semantic labels.

    Args:
        counts: `(images, classes)`, number of voxels of each class in each image; voxels that do
            not count (an ignored label) left out.

    Returns:
        `(classes,)` float64. A class that appears in no image gets 0 and is left out of the
        median.

    Raises:
        ValueError: if `counts` is no such table, or is all zero.

    Example:
        >>> median_frequency_weights([[90, 10, 0], [60, 0, 40]]).round(2).tolist()
        [0.53, 4.0, 1.0]
    """
    counts = np.asarray(counts, "float64")
    if counts.ndim != 2 or not np.isfinite(counts).all() or (counts < 0).any():
        raise ValueError(
            "`counts` must be a table (images, classes) of numbers of voxels, 0 or more; "
            f"received shape {counts.shape}"
        )
    voxels = counts.sum(axis=0)
    present = voxels > 0
    if not present.any():
        raise ValueError("`counts` must hold at least one voxel; received none")
    around = (counts.sum(axis=1, keepdims=True) * (counts > 0)).sum(axis=0)
    frequency = voxels[present] / around[present]
    weights = np.zeros(counts.shape[1])
    weights[present] = np.median(frequency) / frequency
    return weights
