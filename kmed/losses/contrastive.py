"""Contrastive loss of pairs."""

from __future__ import annotations

import keras
from keras import ops

from kmed.losses.embedding_loss import EmbeddingLoss, at_least_zero
from kmed.ops.distances import at_least_float32, pairwise_distances
from kmed.ops.mining import masked_mean


@keras.saving.register_keras_serializable(package="kmed")
class ContrastiveLoss(EmbeddingLoss):
    """Draws the two of a pair together if they match, and else apart up to a margin.

    Called as Keras calls losses, it takes pairs: 1 for those that match and 0 for others, and
    their distances; the value of a pair is `d ** 2` or `max(margin - d, 0) ** 2`. Names, arguments,
    defaults and values are those of TensorFlow Addons. (Hadsell's own labels are the other way
    round, and his value half of this.)

    `cross` takes all matches and all counterexamples of a batch, at their L2 distance. A batch of B
    pairs has B matches and about B ** 2 others, which make up nearly all of the mean: `balanced`
    gives the mean of the matches and the mean of the others one half each.

    Reference:
        Hadsell, Chopra and LeCun: Dimensionality reduction by learning an invariant mapping,
        CVPR 2006, equation 4.
        TensorFlow Addons 0.23, `losses.ContrastiveLoss`.

    Args:
        margin: distance that is far enough, 0 or more.
        reduction: how Keras joins the values of the pairs.
        name: name of the loss.
        balanced: whether in `cross` matches and others weigh the same.
        dtype: Keras' type of the result; it is computed in float32.

    Raises:
        ValueError: for a negative margin.

    Example:
        >>> float(ContrastiveLoss()([1, 0, 0], [0.5, 0.5, 2.0]))  # (0.25 + 0.25 + 0) / 3
        0.1666666716337204
    """

    def __init__(
        self,
        margin: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "contrastive_loss",
        *,
        balanced: bool = False,
        dtype=None,
    ):
        """Takes the arguments that the class describes."""
        super().__init__(reduction=reduction, name=name, dtype=dtype)
        (self.margin,) = at_least_zero(margin=margin)
        self.balanced = bool(balanced)

    def call(self, y_true, y_pred):
        """Returns one value per pair.

        Args:
            y_true: `(B,)` 1 if the two of a pair match, else 0.
            y_pred: `(B,)` their distance.
        """
        return contrastive_loss(y_true, y_pred, self.margin)

    def between(self, anchors, gallery, positive, negative):
        """Returns the mean over matches and counterexamples."""
        distances = pairwise_distances(anchors, gallery)
        positive = ops.cast(positive, "bool")
        values = contrastive_loss(positive, distances, self.margin)
        if self.balanced:
            return (masked_mean(values, positive) + masked_mean(values, negative)) / 2
        return masked_mean(values, positive | negative)

    def get_config(self) -> dict:
        """Returns the arguments that rebuild this loss."""
        return {**super().get_config(), "margin": self.margin, "balanced": self.balanced}


def contrastive_loss(y_true, y_pred, margin: float = 1.0):
    """Give the loss of each pair, as `ContrastiveLoss` describes it.

    Reference: TensorFlow Addons 0.23, `losses.contrastive_loss`.

    Args:
        y_true: `(B,)` 1 if the two of a pair match, else 0.
        y_pred: `(B,)` their distance, or `(B, 1)`.
        margin: distance that is far enough.

    Returns:
        A tensor like `y_pred`, float32 for distances in half precision too.

    Raises:
        ValueError: if there are not as many labels as distances.

    Example:
        >>> contrastive_loss([1, 0], [0.5, 0.25]).numpy().tolist()
        [0.25, 0.5625]
    """
    distances = at_least_float32(y_pred)
    same = ops.cast(y_true, distances.dtype)
    sizes = [[side for side in x.shape if side != 1] for x in (same, distances)]
    # What a compiled function does not know, it cannot compare.
    if not any(None in size for size in sizes) and sizes[0] != sizes[1]:
        raise ValueError(
            "`y_true` must have one label for each distance; "
            f"received {tuple(same.shape)} labels, {tuple(distances.shape)} distances"
        )
    if len(same.shape) != len(distances.shape):  # (B, 1) against (B,) would become (B, B)
        same = ops.reshape(same, ops.shape(distances))
    apart = ops.maximum(margin - distances, 0.0)
    return same * ops.square(distances) + (1.0 - same) * ops.square(apart)
