"""N-pairs loss of items with several labels."""

from __future__ import annotations

import keras
from keras import ops

from kmed.losses.npairs import NpairsLoss, check_square
from kmed.ops.distances import at_least_float32
from kmed.ops.match_cross_entropy import match_cross_entropy


@keras.saving.register_keras_serializable(package="kmed")
class NpairsMultilabelLoss(NpairsLoss):
    """N-pairs loss where items match the more, the more labels they share.

    As `NpairsLoss`, with an anchor's target shared out in proportion to the number of labels in
    common. `cross` takes this number as `positive`.

    Names, arguments, defaults and values are those of TensorFlow Addons, but an item without any
    label does not count, where there the loss was NaN.

    Reference: TensorFlow Addons 0.23, `losses.NpairsMultilabelLoss`.

    Args:
        name: name of the loss.
        reduction: how Keras joins values; the loss is a scalar already.
        dtype: Keras' type of the result; it is computed in float32.

    Example:
        >>> labels = [[1, 1, 0], [0, 1, 1]]
        >>> round(float(NpairsMultilabelLoss()(labels, [[2.0, 0.0], [0.0, 2.0]])), 4)  # 2/3 and 1/3
        0.7936
    """

    def __init__(
        self,
        name: str | None = "npairs_multilabel_loss",
        *,
        reduction: str | None = None,
        dtype=None,
    ):
        """Takes the arguments that the class describes."""
        super().__init__(reduction=reduction, name=name, dtype=dtype)

    def call(self, y_true, y_pred):
        """Returns the loss of a batch, a scalar.

        Args:
            y_true: `(B, C)`, 1 for each of C labels that an item has, else 0.
            y_pred: `(B, B)` similarities of anchors (rows) and matches (columns).
        """
        return npairs_multilabel_loss(y_true, y_pred)


def npairs_multilabel_loss(y_true, y_pred):
    """Give the loss of a batch, as `NpairsMultilabelLoss` describes it.

    Reference: TensorFlow Addons 0.23, `losses.npairs_multilabel_loss`.

    Args:
        y_true: `(B, C)`, 1 for each of C labels that an item has, else 0.
        y_pred: `(B, B)` similarities of anchors (rows) and matches (columns).

    Returns:
        A scalar, float32 for similarities in half precision too.

    Raises:
        ValueError: if labels or similarities have another shape.

    Example:
        >>> round(float(npairs_multilabel_loss([[1, 0], [0, 1]], [[2.0, 0.0], [0.0, 2.0]])), 4)
        0.1269
    """
    similarities = at_least_float32(y_pred)
    labels = ops.cast(y_true, similarities.dtype)
    if len(labels.shape) != 2:
        raise ValueError(
            f"`y_true` must have the shape (B, labels), 0 or 1; received {tuple(labels.shape)}"
        )
    shared = ops.matmul(labels, ops.transpose(labels))
    check_square(similarities, shared)
    return match_cross_entropy(similarities, shared, shared <= 0)
