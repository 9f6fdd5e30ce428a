"""The optimizer of every task: Adam with a short warm-up and a cosine decay."""

from __future__ import annotations

import keras

# Decay is for kernels: it would pull scales and shifts of normalisations, and a learnt temperature,
# to zero.
_NOT_DECAYED = ("bias", "gamma", "beta", "scale")


def scheduled_adam(
    peak: float,
    steps: int,
    *,
    weight_decay: float = 0.0,
    warm_up_share: float = 0.1,
    longest_warm_up: int = 100,
) -> keras.optimizers.Optimizer:
    """Make Adam, or AdamW, whose rate rises from 0 to its peak and falls to 0 along a cosine.

    Reference: Loshchilov and Hutter 2017, "SGDR", equation 5 (one cycle); 2019, "Decoupled Weight
    Decay Regularization".

    Args:
        peak: largest learning rate.
        steps: batches of the whole training.
        weight_decay: AdamW's, of kernels and embeddings alone; 0 is Adam.
        warm_up_share: share of the steps in which the rate rises.
        longest_warm_up: these steps at most.

    Returns:
        The optimizer.

    Example:
        >>> optimizer = scheduled_adam(1e-3, 1000)
        >>> [round(float(optimizer._learning_rate(step)), 6) for step in (0, 100, 1000)]
        [0.0, 0.001, 0.0]
    """
    warm_up = min(longest_warm_up, max(1, int(steps * warm_up_share)))
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warm_up), warmup_target=peak, warmup_steps=warm_up
    )
    if not weight_decay:
        return keras.optimizers.Adam(rate)
    optimizer = keras.optimizers.AdamW(rate, weight_decay=weight_decay)
    optimizer.exclude_from_weight_decay(var_names=_NOT_DECAYED)
    return optimizer
