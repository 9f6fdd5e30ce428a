"""Triplet loss of all triplets."""

from __future__ import annotations

import keras

from kmed.losses.triplet_loss import TripletLoss
from kmed.ops.mining import all_triplets


@keras.saving.register_keras_serializable(package="kmed")
class TripletAllLoss(TripletLoss):
    """Triplet loss of every match of every anchor with every counterexample.

    The mean of `max(d(match) - d(counterexample) + margin, 0)` over the triplets where this is
    above 0: those that are learnt already would thin out the others. With `soft`, the mean of
    `log(1 + exp(d(match) - d(counterexample)))` over all.

    M matches in the batch and a gallery of G need M x G numbers.

    Reference:
        Hermans, Beyer and Leibe: In defense of the triplet loss, 2017, equation 6 and section 3.2.

    Args:
        margin: by how much nearer a match should be, 0 or more.
        soft: a soft margin in place of `margin`.
        distance_metric: "L2", "squared-L2", "angular", or a function of one `(N, D)` tensor that
            gives `(N, N)` distances.
        name: name of the loss.
        reduction: how Keras joins values; the loss is a scalar already.
        dtype: Keras' type of the result; it is computed in float32.

    Raises:
        ValueError: for a negative margin or an unknown metric.

    Example:
        >>> labels, embeddings = [0, 0, 1], [[0.0], [1.0], [1.5]]
        >>> float(TripletAllLoss()(labels, embeddings))  # 1 - 1.5 + 1 and 1 - 0.5 + 1
        1.0
    """

    miner = staticmethod(all_triplets)
    average_of_positive_only = True
