"""Lifted structure loss."""

from __future__ import annotations

import keras
from keras import ops

from kmed.losses.embedding_loss import EmbeddingLoss, at_least_zero
from kmed.ops.distances import pairwise_distances
from kmed.ops.mining import masked_logsumexp, masked_mean


@keras.saving.register_keras_serializable(package="kmed")
class LiftedStructLoss(EmbeddingLoss):
    """Each match against all counterexamples of both its ends.

    The mean over matching pairs of `max(J, 0) ** 2 / 2`, where J is the L2 distance of the pair
    plus the logarithm of the sum of `exp(margin - distance)` over the counterexamples of the one
    and those of the other. In `cross`, those of the anchor are in the gallery, and those of the
    match among the anchors: the loss is the same in both directions.

    Names, arguments, defaults and values are those of TensorFlow Addons; but where a batch has no
    match the loss is 0, where there it was NaN.

    Reference:
        Song et al.: Deep metric learning via lifted structured feature embedding, CVPR 2016,
        equation 4.
        TensorFlow Addons 0.23, `losses.LiftedStructLoss`.

    Args:
        margin: 0 or more.
        name: name of the loss.
        reduction: how Keras joins values; the loss is a scalar already.
        dtype: Keras' type of the result; it is computed in float32.

    Raises:
        ValueError: for a negative margin.

    Example:
        >>> labels, embeddings = [0, 0, 1], [[0.0], [1.0], [2.0]]
        >>> round(float(LiftedStructLoss()(labels, embeddings)), 4)  # J = 1 + log(e**-1 + e**0)
        0.8623
    """

    def __init__(
        self,
        margin: float = 1.0,
        name: str | None = None,
        *,
        reduction: str | None = None,
        dtype=None,
    ):
        """Takes the arguments that the class describes."""
        super().__init__(reduction=reduction, name=name, dtype=dtype)
        (self.margin,) = at_least_zero(margin=margin)

    def between(self, anchors, gallery, positive, negative):
        """Returns the mean over the matches of which an end has a counterexample."""
        distances = pairwise_distances(anchors, gallery)
        near = self.margin - distances
        of_anchor = masked_logsumexp(near, negative, axis=1)[:, None]
        of_match = masked_logsumexp(near, negative, axis=0)[None, :]
        values = distances + ops.logaddexp(of_anchor, of_match)
        judged = ops.any(negative, axis=1)[:, None] | ops.any(negative, axis=0)[None, :]
        valid = ops.cast(positive, "bool") & judged
        # Selected before the square, which would be infinite where there is no counterexample.
        values = ops.maximum(ops.where(valid, values, 0.0), 0.0)
        return masked_mean(ops.square(values) / 2, valid)

    def get_config(self) -> dict:
        """Returns the arguments that rebuild this loss."""
        return {**super().get_config(), "margin": self.margin}


def lifted_struct_loss(labels, embeddings, margin: float = 1.0):
    """Give the loss of a batch, as `LiftedStructLoss` describes it.

    Reference: TensorFlow Addons 0.23, `losses.lifted_struct_loss`.

    Args:
        labels: `(B,)` or `(B, 1)` integers.
        embeddings: `(B, D)`.
        margin: 0 or more.

    Returns:
        A scalar, float32 for embeddings in half precision too.

    Example:
        >>> float(lifted_struct_loss([0, 1], [[0.0], [1.0]]))  # no match
        0.0
    """
    return LiftedStructLoss(margin).call(labels, embeddings)
