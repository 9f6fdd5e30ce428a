"""Cross-entropy of choosing an anchor's match out of a gallery."""

from __future__ import annotations

from keras import ops

from kmed.ops.mining import masked_logsumexp, masked_mean


def match_cross_entropy(logits, positive, negative):
    """Average over anchors the cross-entropy of their matches among all that may be compared.

    An anchor's target is shared out over its matches. Anchors without a match do not count, and
    pairs that are neither match nor counterexample take no part.

    Reference: Sohn 2016, "Improved deep metric learning with multi-class N-pair loss objective",
    equation 7; Radford et al. 2021, "Learning transferable visual models", figure 3.

    Args:
        logits: `(A, G)` similarities.
        positive: `(A, G)` bool, or how much each match counts, 0 or more.
        negative: `(A, G)` bool.

    Returns:
        A scalar, 0 if no anchor has a match.

    Example:
        >>> logits, positive = [[0.0, 0.0], [5.0, 5.0]], [[True, False], [False, False]]
        >>> negative = [[False, True], [True, True]]
        >>> round(float(match_cross_entropy(logits, positive, negative)), 4)  # log 2
        0.6931
    """
    logits = ops.convert_to_tensor(logits)
    weights = ops.cast(positive, logits.dtype)
    candidates = (weights > 0) | ops.cast(negative, "bool")
    total = ops.sum(weights, axis=1, keepdims=True)
    weights = weights / ops.where(total > 0, total, 1.0)
    chosen = ops.sum(weights * logits, axis=1)
    return masked_mean(masked_logsumexp(logits, candidates) - chosen, total[:, 0] > 0)
