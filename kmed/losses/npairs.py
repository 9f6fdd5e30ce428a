"""N-pairs loss."""

from __future__ import annotations

import keras
from keras import ops

from kmed.losses.embedding_loss import EmbeddingLoss
from kmed.ops.distances import at_least_float32
from kmed.ops.match_cross_entropy import match_cross_entropy
from kmed.ops.mining import label_pairs


@keras.saving.register_keras_serializable(package="kmed")
class NpairsLoss(EmbeddingLoss):
    """Cross-entropy of each anchor's match among the matches of all anchors.

    Called as Keras calls losses, it takes labels and the similarities of B anchors and their B
    matches, `ops.matmul(anchors, ops.transpose(matches))`. `cross` takes the inner products of
    anchors and gallery, and averages over the anchors that have a match. The target is shared out
    over matches of equal label. Vectors are taken as they are: for vectors of unit length, whose
    inner products are at most 1, the softmax hardly differs from uniform, and `NTXentLoss` or
    `InfoNCELoss` is the better choice.

    Names, arguments, defaults and values are those of TensorFlow Addons. The penalty on the length
    of embeddings, as there, is the user's to add.

    Reference:
        Sohn: Improved deep metric learning with multi-class N-pair loss objective, NeurIPS 2016,
        equation 7.
        TensorFlow Addons 0.23, `losses.NpairsLoss`.

    Args:
        name: name of the loss.
        reduction: how Keras joins values; the loss is a scalar already.
        dtype: Keras' type of the result; it is computed in float32.

    Example:
        >>> similarities = [[2.0, 0.0], [0.0, 2.0]]
        >>> round(float(NpairsLoss()([0, 1], similarities)), 4)  # log(1 + exp(-2))
        0.1269
    """

    def __init__(
        self,
        name: str | None = "npairs_loss",
        *,
        reduction: str | None = None,
        dtype=None,
    ):
        """Takes the arguments that the class describes."""
        super().__init__(reduction=reduction, name=name, dtype=dtype)

    def call(self, y_true, y_pred):
        """Returns the loss of a batch, a scalar.

        Args:
            y_true: `(B,)` integer labels.
            y_pred: `(B, B)` similarities of anchors (rows) and matches (columns).
        """
        return npairs_loss(y_true, y_pred)

    def between(self, anchors, gallery, positive, negative):
        """Returns the mean over the anchors that have a match."""
        similarities = ops.matmul(anchors, ops.transpose(gallery))
        return match_cross_entropy(similarities, positive, negative)


def npairs_loss(y_true, y_pred):
    """Give the loss of a batch, as `NpairsLoss` describes it.

    Reference: TensorFlow Addons 0.23, `losses.npairs_loss`.

    Args:
        y_true: `(B,)` integer labels.
        y_pred: `(B, B)` similarities of anchors (rows) and matches (columns).

    Returns:
        A scalar, float32 for similarities in half precision too.

    Raises:
        ValueError: if the similarities are not one for each pair of labels.

    Example:
        >>> round(float(npairs_loss([0, 1], [[2.0, 0.0], [0.0, 2.0]])), 4)
        0.1269
    """
    positive, negative = label_pairs(y_true, itself=True)
    similarities = at_least_float32(y_pred)
    check_square(similarities, positive)
    return match_cross_entropy(similarities, positive, negative)


def check_square(similarities, positive) -> None:
    """Refuse similarities that are not one for each pair of labels.

    Args:
        similarities: tensor.
        positive: `(B, B)`.

    Raises:
        ValueError: if they have another shape.
    """
    found, wanted = tuple(similarities.shape), tuple(positive.shape)
    if len(found) != 2 or any(
        None not in sides and len(set(sides)) > 1 for sides in zip(found, wanted, strict=True)
    ):
        raise ValueError(
            "`y_pred` must hold the similarity of each pair, shape (B, B) for B labels "
            "(embeddings go into `cross`, or into `ops.matmul(anchors, ops.transpose(matches))` "
            f"first); received {found} for {wanted[0]} labels"
        )
