"""InfoNCE with a temperature that is learnt, as in CLIP."""

from __future__ import annotations

import math

import keras
from keras import ops

from kmed.losses.embedding_loss import EmbeddingLoss, above_zero
from kmed.ops.capped import capped
from kmed.ops.distances import unit_vectors
from kmed.ops.match_cross_entropy import match_cross_entropy


@keras.saving.register_keras_serializable(package="kmed")
class InfoNCELoss(EmbeddingLoss):
    """Cross-entropy of each anchor's match among the whole gallery.

    The mean over the anchors that have a match, of the cross-entropy of a softmax of cosines times
    a scale; several matches (captions of one image) share the target. CLIP's loss is the mean of
    both directions, images against texts and texts against images.

    Reference:
        Van den Oord, Li and Vinyals: Representation learning with contrastive predictive coding,
        2018, equation 4.
        Radford et al.: Learning transferable visual models from natural language supervision
        (CLIP), ICML 2021, figure 3 and section 2.5.

    Args:
        temperature: the initial scale is one over it; above 0.
        learnable: whether the scale is trained, as its logarithm "log_scale".
        maximum_scale: to which the scale may grow.
        name: name of the loss.
        reduction: how Keras joins values; the loss is a scalar already.
        dtype: Keras' type of the result; it is computed in float32.

    Raises:
        ValueError: if the temperature or the maximum is not above 0.

    Example:
        >>> cosines = [[1.0, 0.0], [0.0, 1.0]]
        >>> loss = InfoNCELoss(temperature=0.5)
        >>> same, other = [[True, False], [False, True]], [[False, True], [True, False]]
        >>> round(float(loss.cross(cosines, cosines, same, other)), 4)  # log(1 + exp(-2))
        0.1269
        >>> round(float(loss.cross(cosines, cosines, same, other, log_scale=0.0)), 4)
        0.3133
    """

    def __init__(
        self,
        temperature: float = 0.07,
        learnable: bool = True,
        maximum_scale: float = 100.0,
        name: str | None = None,
        *,
        reduction: str | None = None,
        dtype=None,
    ):
        """Takes the arguments that the class describes."""
        super().__init__(reduction=reduction, name=name, dtype=dtype)
        self.temperature, self.maximum_scale = above_zero(
            temperature=temperature, maximum_scale=maximum_scale
        )
        if learnable:
            self.learnable = {"log_scale": -math.log(self.temperature)}

    def between(self, anchors, gallery, positive, negative, log_scale=None):
        """Returns the mean over the anchors that have a match."""
        cosines = ops.matmul(unit_vectors(anchors), ops.transpose(unit_vectors(gallery)))
        if log_scale is None:
            scale = min(1 / self.temperature, self.maximum_scale)
        else:
            scale = ops.exp(capped(log_scale, math.log(self.maximum_scale)))
        return match_cross_entropy(cosines * scale, ops.cast(positive, "bool"), negative)

    def get_config(self) -> dict:
        """Returns the arguments that rebuild this loss."""
        return {
            **super().get_config(),
            "temperature": self.temperature,
            "learnable": bool(self.learnable),
            "maximum_scale": self.maximum_scale,
        }
