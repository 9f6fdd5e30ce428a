"""A learning rate that is constant and then falls linearly to zero."""

from __future__ import annotations

import keras
from keras import ops


@keras.saving.register_keras_serializable("kmed")
class ConstantThenLinear(keras.optimizers.schedules.LearningRateSchedule):
    """Keep the first rate for a while, then lower it linearly to zero.

    Reference: Zhu et al. 2017 (CycleGAN), section 4: 2e-4 for 100 epochs, and to zero over the
    next 100. The rate of step `constant_steps + decay_steps` is zero; the step before it has
    `initial / decay_steps`.

    Args:
        initial: the first rate.
        constant_steps: steps with this rate.
        decay_steps: steps from there to zero; 0 for a rate that stays.

    Raises:
        ValueError: if a number is negative.

    Example:
        >>> rate = ConstantThenLinear(0.2, 10, 4)
        >>> [round(float(rate(step)), 3) for step in (0, 10, 11, 13, 14, 20)]
        [0.2, 0.2, 0.15, 0.05, 0.0, 0.0]
    """

    def __init__(self, initial: float, constant_steps: int, decay_steps: int):
        """Keep the numbers."""
        super().__init__()
        if min(initial, constant_steps, decay_steps) < 0:
            raise ValueError(
                "`initial`, `constant_steps` and `decay_steps` must be at least 0; received "
                f"{initial}, {constant_steps} and {decay_steps}"
            )
        self.initial = float(initial)
        self.constant_steps, self.decay_steps = int(constant_steps), int(decay_steps)

    def __call__(self, step):
        """Give the rate of a step, the first of which is 0."""
        if not self.decay_steps:
            return ops.cast(self.initial, "float32")
        left = self.constant_steps + self.decay_steps - ops.cast(step, "float32")
        return self.initial * ops.clip(left / self.decay_steps, 0.0, 1.0)

    def get_config(self):
        """Arguments that rebuild the schedule."""
        return {name: getattr(self, name) for name in ("initial", "constant_steps", "decay_steps")}
