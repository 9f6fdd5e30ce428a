"""Smooth L1: a parabola near zero, linear beyond."""

from __future__ import annotations

from keras import ops


def smooth_l1(difference, beta: float = 1.0):
    """Give Girshick's robust distance of each number.

    Reference: Girshick 2015, "Fast R-CNN", equation 3; `beta` as in torch's `smooth_l1_loss`, whose
    value at the joint is `beta / 2` (`keras.ops.huber` would have `beta` times as much).

    Args:
        difference: any shape.
        beta: where the parabola ends, above 0.

    Returns:
        A tensor of that shape, not negative.

    Example:
        >>> smooth_l1(ops.array([0.5, -2.0])).numpy().tolist()
        [0.125, 1.5]
    """
    distance = ops.abs(difference)
    return ops.where(distance < beta, 0.5 * distance * distance / beta, distance - 0.5 * beta)
