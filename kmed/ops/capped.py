"""A number with an upper end, from which training can come back."""

from __future__ import annotations

from keras import ops


def capped(x, highest: float):
    """Give the smaller of a number and its upper end.

    Below it the gradient is the usual one. Above it, where the gradient of `minimum` is 0 and a
    weight would stay for ever, only the part passes that leads back down: the same that clipping
    the weight after each step does.

    Reference: Radford et al. 2021, "Learning transferable visual models", section 2.5.

    Args:
        x: tensor, float.
        highest: the upper end.

    Returns:
        A tensor like `x`.

    Example:
        >>> capped(ops.array([1.0, 7.0]), 5.0).numpy().tolist()
        [1.0, 5.0]
    """

    @ops.custom_gradient
    def limit(x):
        def gradient(*upstream_or_all, upstream=None):
            if upstream is None:
                (upstream,) = upstream_or_all
            # Descent goes against the gradient: a negative one leads further up.
            return ops.where((x > highest) & (upstream < 0), ops.zeros_like(upstream), upstream)

        return ops.minimum(x, highest), gradient

    return limit(ops.convert_to_tensor(x))
