"""Probabilities of ordered classes from the conditional logits of a rank-consistent network."""

from __future__ import annotations

from keras import ops


def ordinal_probabilities(logits):
    """Turns conditional logits into class probabilities.

    Logit k says how likely the class is above k, given that it is at least k; so the probability
    of being above k is the product of the first k + 1 sigmoids, which never grows with k.

    Made of sigmoids and products of slices, since TFLite has no cumulative product. A class'
    probability is itself a product, not a difference of two, so that it is never below 0 and a
    small one keeps its digits.

    Reference:
        Shi, Cao, Raschka: Deep neural networks for rank-consistent ordinal regression based on
        conditional probabilities, 2021, equation 6.

    Args:
        logits: `(B, K - 1)` float.

    Returns:
        Probabilities `(B, K)` of the logits' type that sum to 1.

    Raises:
        ValueError: if the logits have another rank or an unknown number.

    Example:
        >>> import numpy as np
        >>> ordinal_probabilities(np.zeros((1, 2), "float32")).numpy().tolist()
        [[0.5, 0.25, 0.25]]
    """
    logits = ops.convert_to_tensor(logits)
    if len(logits.shape) != 2 or not logits.shape[-1]:
        raise ValueError(
            "`logits` must have shape (B, K - 1), one for each pair of neighbouring classes; "
            f"received {tuple(logits.shape)}"
        )
    passed, stopped = ops.sigmoid(logits), ops.sigmoid(-logits)
    above = passed[:, :1]  # P(y > k), (B, 1)
    parts = [stopped[:, :1]]
    for k in range(1, logits.shape[-1]):
        parts.append(above * stopped[:, k : k + 1])
        above = above * passed[:, k : k + 1]
    return ops.concatenate([*parts, above], axis=-1)
