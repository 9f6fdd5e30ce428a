"""Normalised temperature-scaled cross-entropy."""

from __future__ import annotations

import keras
from keras import ops

from kmed.losses.embedding_loss import EmbeddingLoss, above_zero
from kmed.ops.distances import unit_vectors
from kmed.ops.mining import masked_logsumexp, masked_mean


@keras.saving.register_keras_serializable(package="kmed")
class NTXentLoss(EmbeddingLoss):
    """Cross-entropy of each match among itself and its anchor's counterexamples.

    The mean over matching pairs of `-log(e(match) / (e(match) + sum of e(counterexample)))`, where
    e is the exponential of the cosine divided by the temperature. With one match per anchor it is
    SimCLR's; of several matches each is judged for itself.

    Reference:
        Chen et al.: A simple framework for contrastive learning of visual representations (SimCLR),
        ICML 2020, equation 1.

    Args:
        temperature: divides the cosines, above 0.
        name: name of the loss.
        reduction: how Keras joins values; the loss is a scalar already.
        dtype: Keras' type of the result; it is computed in float32.

    Raises:
        ValueError: if the temperature is not above 0.

    Example:
        >>> labels, embeddings = [0, 0, 1], [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
        >>> round(float(NTXentLoss(temperature=0.5)(labels, embeddings)), 4)  # log(1 + exp(-2))
        0.1269
    """

    def __init__(
        self,
        temperature: float = 0.1,
        name: str | None = None,
        *,
        reduction: str | None = None,
        dtype=None,
    ):
        """Takes the arguments that the class describes."""
        super().__init__(reduction=reduction, name=name, dtype=dtype)
        (self.temperature,) = above_zero(temperature=temperature)

    def between(self, anchors, gallery, positive, negative):
        """Returns the mean over the matches."""
        cosines = ops.matmul(unit_vectors(anchors), ops.transpose(unit_vectors(gallery)))
        logits = cosines / self.temperature
        others = masked_logsumexp(logits, negative)[:, None]
        return masked_mean(ops.softplus(others - logits), ops.cast(positive, "bool"))

    def get_config(self) -> dict:
        """Returns the arguments that rebuild this loss."""
        return {**super().get_config(), "temperature": self.temperature}
