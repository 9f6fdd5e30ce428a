"""Dice of label maps during training."""

from __future__ import annotations

import keras
from keras import ops

from kmed.ops.label_maps import Voxels, voxels


@keras.saving.register_keras_serializable(package="kmed")
class MeanDice(keras.metrics.Metric):
    """Mean over classes of the mean over images of the Dice of the hard segmentation.

    Each image (each slice or patch, if the network sees those) has its own Dice for each class,
    and all images weigh the same; it is not the Dice of all voxels of the epoch together. Labels
    and predictions are compared as classes: the largest logit, or a logit above 0 for K = 1.

    A class that an image neither has nor gets scores `empty`: 1 counts a correct rejection like a
    perfect segmentation, as `dice_score` does; None leaves the image out of the mean of that
    class, as MONAI does by default. A class that no image counted is left out; without any the
    result is NaN.

    Reference:
        Dice: Measures of the amount of ecologic association, Ecology 26 (1945).

    Args:
        classes: number of classes K of the network, 1 for a single sigmoid.
        include_background: whether class 0 counts.
        empty: score of a class absent from truth and prediction, or None.
        ignore_class: label of voxels that do not count, or None.
        name: name of the metric.
        dtype: Keras' type of the result; the sums are float32.

    Raises:
        ValueError: for a bad `classes`, and in `update_state` if the logits have another number.

    Example:
        >>> import numpy as np
        >>> dice = MeanDice(2)
        >>> dice.update_state(np.array([[[1, 1, 0, 0]]]), np.eye(2)[[[[1, 0, 0, 0]]]])
        >>> round(float(dice.result()), 4)  # 2 * 1 / (2 + 1)
        0.6667
    """

    def __init__(
        self,
        classes: int,
        *,
        include_background: bool = False,
        empty: float | None = 1.0,
        ignore_class: int | None = None,
        name: str = "dice",
        dtype=None,
    ):
        """Takes the arguments that the class describes."""
        super().__init__(name=name, dtype=dtype)
        if not isinstance(classes, int) or classes < 1:
            raise ValueError(f"`classes` must be a whole number above 0; received {classes!r}")
        self.classes = classes
        self.include_background = include_background
        self.empty = empty
        self.ignore_class = ignore_class
        self._first = 0 if include_background and classes > 1 else 1
        counted = (max(classes, 2) - self._first,)
        # Two sums: replicas add them up, and the mean is that of one device.
        self.total = self.add_weight(
            shape=counted, initializer="zeros", dtype="float32", name="total"
        )
        self.count = self.add_weight(
            shape=counted, initializer="zeros", dtype="float32", name="count"
        )

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Adds a batch.

        Args:
            y_true: `(B, H, W)` or `(B, D, H, W)` class indices, or with a last axis of 1.
            y_pred: `(B, ..., K)` logits or probabilities (logits for K = 1).
            sample_weight: `(B,)` weights of the images, or None.

        Raises:
            ValueError: if shapes or numbers of classes do not fit.
        """
        v = voxels(y_true, y_pred, self.ignore_class)
        if v.classes != self.classes:
            raise ValueError(
                f"MeanDice was made for `classes` = {self.classes}; received {v.classes} logits"
            )
        dice, counts = self._per_image(v)
        if sample_weight is not None:
            weight = ops.cast(sample_weight, "float32")
            if len(weight.shape) == 2 and weight.shape[-1] == 1:
                weight = ops.squeeze(weight, -1)
            if len(weight.shape) != 1:
                raise ValueError(
                    "`sample_weight` of MeanDice must have one value per image, shape (B,); "
                    f"received {tuple(weight.shape)}"
                )
            counts = counts * weight[:, None]
        self.total.assign_add(ops.sum(dice * counts, axis=0))
        self.count.assign_add(ops.sum(counts, axis=0))

    def result(self):
        """Returns the mean over the classes that were counted, NaN if none was."""
        counted = ops.cast(ops.greater(self.count, 0), "float32")
        mean = ops.sum(ops.divide_no_nan(self.total, self.count)) / ops.sum(counted)
        return ops.cast(mean, self.dtype)

    def per_class(self):
        """Returns the mean over images of each class `(C,)`, NaN where none was counted."""
        return self.total / self.count

    def _per_image(self, v: Voxels):
        """Dice `(B, C)`, and 1 where it counts."""
        classes = ops.arange(self._first, max(self.classes, 2), dtype="int32")[:, None]
        if self.classes > 2:
            found = ops.cast(ops.argmax(v.logits, axis=1), "int32")
        else:
            found = ops.cast(ops.greater(v.logits[:, 0], 0), "int32")
        if v.valid is not None:
            found = ops.where(v.valid, found, -1)
        truth = ops.equal(v.labels[:, None], classes)  # (B, C, N)
        found = ops.equal(found[:, None], classes)

        def size(mask):
            return ops.sum(ops.cast(mask, "float32"), axis=-1)

        both = size(ops.logical_and(truth, found))
        total = size(truth) + size(found)
        dice = ops.divide_no_nan(2 * both, total)
        none = ops.equal(total, 0)
        if self.empty is None:
            return dice, 1.0 - ops.cast(none, "float32")
        return ops.where(none, float(self.empty), dice), ops.ones_like(dice)

    def get_config(self) -> dict:
        """Returns the arguments that rebuild this metric."""
        return {
            **super().get_config(),
            "classes": self.classes,
            "include_background": self.include_background,
            "empty": self.empty,
            "ignore_class": self.ignore_class,
        }
