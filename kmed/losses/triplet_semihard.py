"""Triplet loss with semi-hard mining."""

from __future__ import annotations

from collections.abc import Callable

import keras

from kmed.losses.triplet_loss import TripletLoss
from kmed.ops.mining import semi_hard_triplets


@keras.saving.register_keras_serializable(package="kmed")
class TripletSemiHardLoss(TripletLoss):
    """Triplet loss of each match with the nearest counterexample that is farther than it.

    The mean over all pairs of an anchor and its match, of `max(d(match) - d(counterexample) +
    margin, 0)`. If no counterexample is farther, the farthest one is taken.

    Names, arguments, defaults and values are those of TensorFlow Addons; but where an anchor has
    no match or no counterexample it does not count, and if no anchor has both, the loss is 0 where
    there it was NaN, or the mean distance of the matches plus the margin. FaceNet itself takes
    "squared-L2" and a margin of 0.2.

    Reference:
        Schroff, Kalenichenko and Philbin: FaceNet, CVPR 2015, section 3.2.
        TensorFlow Addons 0.23, `losses.TripletSemiHardLoss`.

    Args:
        margin: by how much nearer a match should be, 0 or more.
        distance_metric: "L2", "squared-L2", "angular", or a function of one `(N, D)` tensor that
            gives `(N, N)` distances.
        name: name of the loss.
        reduction: how Keras joins values; the loss is a scalar already.
        dtype: Keras' type of the result; it is computed in float32.

    Raises:
        ValueError: for a negative margin or an unknown metric.

    Example:
        >>> labels, embeddings = [0, 0, 1], [[0.0, 0.0], [0.0, 1.0], [1.5, 0.0]]
        >>> round(float(TripletSemiHardLoss()(labels, embeddings)), 4)  # 0.5 and 0.1972
        0.3486
    """

    miner = staticmethod(semi_hard_triplets)
    takes_soft = False

    def __init__(
        self,
        margin: float = 1.0,
        distance_metric: str | Callable = "L2",
        name: str | None = None,
        *,
        reduction: str | None = None,
        dtype=None,
    ):
        """Takes the arguments that the class describes."""
        super().__init__(
            margin, False, distance_metric, reduction=reduction, name=name, dtype=dtype
        )


def triplet_semihard_loss(
    y_true, y_pred, margin: float = 1.0, distance_metric: str | Callable = "L2"
):
    """Give the loss of a batch, as `TripletSemiHardLoss` describes it.

    Reference: TensorFlow Addons 0.23, `losses.triplet_semihard_loss`.

    Args:
        y_true: `(B,)` or `(B, 1)` integer labels.
        y_pred: `(B, D)` embeddings, which should have unit length.
        margin: by how much nearer a match should be.
        distance_metric: a name or a function, as there.

    Returns:
        A scalar, float32 for embeddings in half precision too.

    Example:
        >>> float(triplet_semihard_loss([0, 0, 1], [[0.0], [0.5], [2.0]]))
        0.0
    """
    return TripletSemiHardLoss(margin, distance_metric).call(y_true, y_pred)
