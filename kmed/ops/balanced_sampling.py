"""Random choice of positives and negatives, at most so many of each, from numbers drawn before."""

from __future__ import annotations

from keras import ops


def balanced_sample(positive, negative, numbers, size: int, positive_share: float):
    """Choose examples at random: a share of positives at most, and negatives for the rest.

    Where there are fewer positives, negatives take their places; where there are fewer negatives,
    fewer examples are chosen.

    Reference: Ren et al. 2015, section 3.1.3 ("training RPNs").

    Args:
        positive: `(B, N)` bool, which may be chosen as positives.
        negative: `(B, N)` bool, which may be chosen as negatives; the rest is left out.
        numbers: `(B, N)` float32, uniform in [0, 1): the choice is a function of them.
        size: examples to choose of each image.
        positive_share: of `size` that positives can take at most, in [0, 1].

    Returns:
        `(B, N)` bool.

    Example:
        >>> positive = ops.array([[True, True, False, False, False]])
        >>> numbers = ops.array([[0.1, 0.2, 0.3, 0.4, 0.5]])
        >>> balanced_sample(positive, ~positive, numbers, 3, 0.34).numpy().tolist()
        [[False, True, False, True, True]]
    """
    count = positive.shape[-1]
    most = min(int(size * positive_share), count)
    chosen = _best(positive, numbers, most, most)
    left = size - ops.sum(ops.cast(chosen, "int32"), axis=-1)
    return chosen | _best(negative, numbers, min(size, count), left)


def _best(candidate, numbers, largest, wanted):
    """Give the `wanted` candidates of the highest numbers: a count, or `(B,)` of them."""
    if largest < 1:
        return ops.zeros_like(candidate)
    values, _ = ops.top_k(ops.where(candidate, numbers, -1.0), largest)  # (B, largest)
    wanted = ops.minimum(wanted, largest) * ops.ones_like(values[:, 0], dtype="int32")
    last = ops.take_along_axis(values, ops.maximum(wanted - 1, 0)[:, None], axis=1)
    return candidate & (numbers >= last) & (wanted > 0)[:, None]
