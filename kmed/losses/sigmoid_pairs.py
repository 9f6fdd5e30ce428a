"""Sigmoid loss of pairs, as in SigLIP."""

from __future__ import annotations

import math

import keras
from keras import ops

from kmed.losses.embedding_loss import EmbeddingLoss, above_zero
from kmed.ops.distances import unit_vectors


@keras.saving.register_keras_serializable(package="kmed")
class SigmoidLoss(EmbeddingLoss):
    """Of each pair for itself, whether it matches: no softmax, so no gallery to compare with.

    The binary cross-entropy of `cosine * scale + bias`, summed over the matches and
    counterexamples of an anchor; the mean over the anchors that have any. The initial bias
    balances the many counterexamples.

    Reference:
        Zhai et al.: Sigmoid loss for language image pre-training (SigLIP), ICCV 2023, section 3.2.

    Args:
        scale: initial factor of the cosines, above 0.
        bias: initial summand.
        learnable: whether both are trained, as "log_scale" and "bias".
        name: name of the loss.
        reduction: how Keras joins values; the loss is a scalar already.
        dtype: Keras' type of the result; it is computed in float32.

    Raises:
        ValueError: if the scale is not above 0, or the bias is not a number.

    Example:
        >>> cosines = [[1.0, 0.0], [0.0, 1.0]]
        >>> same, other = [[True, False], [False, True]], [[False, True], [True, False]]
        >>> round(float(SigmoidLoss().cross(cosines, cosines, same, other)), 4)  # log 2
        0.6932
    """

    def __init__(
        self,
        scale: float = 10.0,
        bias: float = -10.0,
        learnable: bool = True,
        name: str | None = None,
        *,
        reduction: str | None = None,
        dtype=None,
    ):
        """Takes the arguments that the class describes."""
        super().__init__(reduction=reduction, name=name, dtype=dtype)
        (self.scale,) = above_zero(scale=scale)
        if not math.isfinite(bias):
            raise ValueError(f"`bias` must be a number; received {bias}")
        self.bias = float(bias)
        if learnable:
            self.learnable = {"log_scale": math.log(self.scale), "bias": self.bias}

    def between(self, anchors, gallery, positive, negative, log_scale=None, bias=None):
        """Returns the mean over the anchors that have a match or a counterexample."""
        cosines = ops.matmul(unit_vectors(anchors), ops.transpose(unit_vectors(gallery)))
        scale = self.scale if log_scale is None else ops.exp(log_scale)
        logits = cosines * scale + (self.bias if bias is None else bias)
        positive = ops.cast(positive, "bool")
        judged = positive | negative
        values = ops.where(judged, ops.softplus(ops.where(positive, -logits, logits)), 0.0)
        count = ops.sum(ops.cast(ops.any(judged, axis=1), values.dtype))
        return ops.sum(values) / ops.maximum(count, 1.0)

    def get_config(self) -> dict:
        """Returns the arguments that rebuild this loss."""
        return {
            **super().get_config(),
            "scale": self.scale,
            "bias": self.bias,
            "learnable": bool(self.learnable),
        }
