"""Circle loss."""

from __future__ import annotations

import keras
from keras import ops

from kmed.losses.embedding_loss import EmbeddingLoss, above_zero, at_least_zero
from kmed.ops.distances import pairwise_distances
from kmed.ops.mining import masked_logsumexp, masked_mean


@keras.saving.register_keras_serializable(package="kmed")
class CircleLoss(EmbeddingLoss):
    """Matches and counterexamples weighed by how far they are from where they should be.

    With labels it is `keras.losses.Circle`, values and gradients alike, and defined where that has
    none: anchors without a match or without a counterexample do not count. Keras' takes labels
    only; this one also takes pairs that are neither, and another modality's gallery, in `cross`.

    Reference:
        Sun et al.: Circle loss, CVPR 2020, equation 6.
        Keras 3, `keras.losses.Circle`, whose weights are part of the gradient.

    Args:
        gamma: factor of all similarities, above 0.
        margin: distance (1 - cosine) below which a match is near enough, 0 or more;
            counterexamples should be beyond 1 - margin.
        name: name of the loss.
        reduction: how Keras joins values; the loss is a scalar already.
        dtype: Keras' type of the result; it is computed in float32.

    Raises:
        ValueError: for a `gamma` that is not above 0, or a negative margin.

    Example:
        >>> labels, embeddings = [0, 0, 1], [[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]
        >>> round(float(CircleLoss(gamma=1.0)(labels, embeddings)), 4)  # 1.4 * 0.6 - 0.4 * 0.4
        1.0899
    """

    def __init__(
        self,
        gamma: float = 80.0,
        margin: float = 0.4,
        name: str | None = None,
        *,
        reduction: str | None = None,
        dtype=None,
    ):
        """Takes the arguments that the class describes."""
        super().__init__(reduction=reduction, name=name, dtype=dtype)
        (self.gamma,), (self.margin,) = above_zero(gamma=gamma), at_least_zero(margin=margin)

    def between(self, anchors, gallery, positive, negative):
        """Returns the mean over the anchors that have a match and a counterexample."""
        distances = pairwise_distances(anchors, gallery, "angular")
        positive = ops.cast(positive, "bool")
        far_match = (self.margin + distances) * (distances - self.margin)
        weight = ops.maximum(1 + self.margin - distances, 0.0)
        near_other = weight * (1 - self.margin - distances)
        matches = masked_logsumexp(self.gamma * far_match, positive)
        others = masked_logsumexp(self.gamma * near_other, negative)
        valid = ops.any(positive, axis=1) & ops.any(negative, axis=1)
        # Selected before softplus: both sums stand for minus infinity where there is nothing.
        return masked_mean(ops.softplus(ops.where(valid, matches + others, 0.0)), valid)

    def get_config(self) -> dict:
        """Returns the arguments that rebuild this loss."""
        return {**super().get_config(), "gamma": self.gamma, "margin": self.margin}
