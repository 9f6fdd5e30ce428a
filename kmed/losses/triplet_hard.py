"""Triplet loss with batch-hard mining."""

from __future__ import annotations

from collections.abc import Callable

import keras

from kmed.losses.triplet_loss import TripletLoss
from kmed.ops.mining import hard_triplets, label_pairs


@keras.saving.register_keras_serializable(package="kmed")
class TripletHardLoss(TripletLoss):
    """Triplet loss of each anchor's farthest match and its nearest counterexample.

    The mean over anchors of `max(d(match) - d(counterexample) + margin, 0)`, or with `soft` of
    `log(1 + exp(d(match) - d(counterexample)))`.

    Names, arguments, defaults and values are those of TensorFlow Addons. As there, an item whose
    label nobody shares counts when a batch of one modality is judged, as its own match at
    distance 0; across modalities an anchor without a match does not count. Where no anchor has a
    counterexample, the loss is 0.

    Reference:
        Hermans, Beyer and Leibe: In defense of the triplet loss, 2017, equation 5.
        TensorFlow Addons 0.23, `losses.TripletHardLoss`.

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
        >>> labels, embeddings = [0, 0, 1, 1], [[0.0], [1.0], [3.0], [5.0]]
        >>> float(TripletHardLoss()(labels, embeddings))  # 0, 0, 1 and 0
        0.25
    """

    miner = staticmethod(hard_triplets)

    def call(self, y_true, y_pred):
        """Returns the loss of a batch, a scalar."""
        return self.cross(y_pred, y_pred, *label_pairs(y_true, itself=True))


def triplet_hard_loss(
    y_true,
    y_pred,
    margin: float = 1.0,
    soft: bool = False,
    distance_metric: str | Callable = "L2",
):
    """Give the loss of a batch, as `TripletHardLoss` describes it.

    Reference: TensorFlow Addons 0.23, `losses.triplet_hard_loss`.

    Args:
        y_true: `(B,)` or `(B, 1)` integer labels.
        y_pred: `(B, D)` embeddings, which should have unit length.
        margin: by how much nearer a match should be.
        soft: a soft margin in place of it.
        distance_metric: a name or a function, as there.

    Returns:
        A scalar, float32 for embeddings in half precision too.

    Example:
        >>> float(triplet_hard_loss([0, 0, 1], [[0.0], [0.5], [2.0]]))
        0.0
    """
    return TripletHardLoss(margin, soft, distance_metric).call(y_true, y_pred)
