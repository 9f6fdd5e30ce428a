"""What every triplet loss here has in common: distance x miner x margin."""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import ops

from kmed.losses.embedding_loss import EmbeddingLoss, at_least_zero
from kmed.ops.distances import check_metric, pairwise_distances
from kmed.ops.mining import masked_mean


class TripletLoss(EmbeddingLoss):
    """An anchor should be nearer to its match than to a counterexample.

    A subclass names its `miner`, a function of `kmed.ops.mining`: from distances, matches and
    counterexamples `(A, G)` to distances to matches and to counterexamples, and which of these
    pairs count.

    Args:
        margin: by how much nearer, 0 or more.
        soft: a soft margin, `log(1 + exp(difference))`, in place of `margin`.
        distance_metric: "L2", "squared-L2", "angular", or a function of one `(N, D)` tensor that
            gives `(N, N)` distances.
        name: name of the loss.
        reduction: how Keras joins values; the loss is a scalar already.
        dtype: Keras' type of the result; it is computed in float32.
    """

    miner: Callable
    takes_soft = True
    average_of_positive_only = False

    def __init__(
        self,
        margin: float = 1.0,
        soft: bool = False,
        distance_metric: str | Callable = "L2",
        name: str | None = None,
        *,
        reduction: str | None = None,
        dtype=None,
    ):
        """Takes the arguments that the class describes."""
        super().__init__(reduction=reduction, name=name, dtype=dtype)
        (self.margin,) = at_least_zero(margin=margin)
        check_metric(distance_metric)
        self.soft, self.distance_metric = bool(soft), distance_metric

    def between(self, anchors, gallery, positive, negative):
        """Returns the mean over the triplets that count."""
        distances = pairwise_distances(anchors, gallery, self.distance_metric)
        near, far, valid = self.miner(distances, ops.cast(positive, "bool"), negative)
        if self.soft:
            return masked_mean(ops.softplus(near - far), valid)
        values = ops.maximum(near - far + self.margin, 0.0)
        return masked_mean(values, valid & (values > 0) if self.average_of_positive_only else valid)

    def get_config(self) -> dict:
        """Returns the arguments that rebuild this loss."""
        metric = self.distance_metric
        soft = {"soft": self.soft} if self.takes_soft else {}
        return {
            **super().get_config(),
            **soft,
            "margin": self.margin,
            "distance_metric": keras.saving.serialize_keras_object(metric),
        }

    @classmethod
    def from_config(cls, config: dict) -> TripletLoss:
        """Rebuild a loss."""
        metric = config["distance_metric"]
        if not isinstance(metric, str):
            metric = keras.saving.deserialize_keras_object(metric)
        return cls(**config | {"distance_metric": metric})
