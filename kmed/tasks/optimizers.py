"""The optimizers of all tasks: Adam, and how its rate changes over a training."""

from __future__ import annotations

import keras

from kmed.trainers.linear_decay import ConstantThenLinear

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


def constant_then_linear_adam(
    rate: float, steps: int, *, constant: float = 0.5, beta_1: float = 0.5
) -> keras.optimizers.Adam:
    """Make Adam whose rate stays for a share of the training and then falls linearly to 0.

    Reference: Zhu et al. 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent
    Adversarial Networks", section 4.

    Args:
        rate: the learning rate.
        steps: batches of the whole training.
        constant: share of the steps at the full rate; 1 for all.
        beta_1: the first momentum.

    Returns:
        The optimizer.

    Example:
        >>> optimizer = constant_then_linear_adam(2e-4, 1000)
        >>> [round(float(optimizer._learning_rate(step)), 6) for step in (0, 500, 750, 1000)]
        [0.0002, 0.0002, 0.0001, 0.0]
    """
    if constant < 1:
        kept = round(steps * constant)
        rate = ConstantThenLinear(rate, constant_steps=kept, decay_steps=max(1, steps - kept))
    return keras.optimizers.Adam(rate, beta_1=beta_1)
