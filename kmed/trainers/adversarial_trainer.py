"""What the trainers of generators and discriminators share: two optimizers, averages, the log.

Reference: Goodfellow et al. 2014, "Generative Adversarial Nets", algorithm 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from kmed.trainers.adversarial import Place, checked_loss
from kmed.trainers.generator_average import GeneratorAverage


class AdversarialTrainer(keras.Model):
    """Two optimizers, averages of the generators, the step's number, and a log of all replicas.

    A trainer derives from it and writes `train_step`. Random numbers follow from the seed and
    `begin()`, which counts the steps; they, the averages and both optimizers are part of the
    weights that a checkpoint has.

    Args:
        generators: by name; their averages are `averages`, by the same names.
        discriminators: by name; may be none.
        loss: name or object, see `checked_loss`.
        logged: names of what the log has.
        average: decay of the averages, or None: no averages.
        seed: of all that the steps draw.
        name: name of the model.
    """

    def __init__(
        self,
        generators: Mapping[str, keras.Model],
        discriminators: Mapping[str, keras.Model],
        *,
        loss: Any,
        logged: Sequence[str],
        average: float | None,
        seed: int,
        name: str,
    ):
        """Copy the generators for their averages."""
        networks = [*generators.values(), *discriminators.values()]
        # What the networks compute in decides whether losses are scaled; images stay float32.
        super().__init__(name=name, dtype=_policy(networks), autocast=False)
        self.generators, self.discriminators = dict(generators), dict(discriminators)
        self.objective, self.average, self.seed = checked_loss(loss), average, int(seed)
        self.averages = {
            what: GeneratorAverage(network, average, name=f"{what}_average")
            for what, network in (generators.items() if average is not None else ())
        }
        self.step = self.add_weight((), "zeros", "int64", trainable=False, name="step")
        self.trackers = {what: keras.metrics.Mean(what) for what in logged}
        self.built = True

    def compile(self, generator_optimizer=None, discriminator_optimizer=None, **options):
        """Build both optimizers' variables at once, inside of the scope of a strategy.

        Args:
            generator_optimizer: of all generators, which is `optimizer` too; by default Adam with
                rate 2e-4 and beta_1 0.5.
            discriminator_optimizer: of all discriminators, with the same default.
            options: of `keras.Model.compile`: `jit_compile`, `run_eagerly`, `steps_per_execution`.

        Raises:
            ValueError: if one optimizer is given for both.
        """
        if generator_optimizer is not None and generator_optimizer is discriminator_optimizer:
            if not isinstance(generator_optimizer, str):
                raise ValueError(
                    "`generator_optimizer` and `discriminator_optimizer` must be two objects, as "
                    f"each keeps moments of its own weights; received {generator_optimizer.name!r} "
                    "twice"
                )
        several = tf.distribute.get_strategy().num_replicas_in_sync > 1
        if several and options.get("jit_compile", "auto") == "auto":
            # How many rows a replica has of the whole batch is known in the step only, and XLA
            # wants to know all shapes before.
            options["jit_compile"] = False
        scaled = self.dtype_policy.name == "mixed_float16"
        super().compile(optimizer=_optimizer(generator_optimizer, scaled), **options)
        self.generator_optimizer = self.optimizer
        self.discriminator_optimizer = (
            _optimizer(discriminator_optimizer, scaled) if self.discriminators else None
        )
        self.build_optimizers()

    def build_optimizers(self) -> None:
        """Make the optimizers' variables, where there are none yet."""
        pairs = [(self.generator_optimizer, self.generator_weights)]
        if self.discriminator_optimizer is not None:
            pairs.append((self.discriminator_optimizer, self.discriminator_weights))
        for optimizer, weights in pairs:
            if not optimizer.built:
                optimizer.build(weights)

    def get_compile_config(self):
        """What `compile` was given."""
        config = super().get_compile_config()
        names = ("run_eagerly", "steps_per_execution", "jit_compile")
        optimizers = {
            name: keras.saving.serialize_keras_object(getattr(self, name))
            for name in ("generator_optimizer", "discriminator_optimizer")
        }
        return {name: config[name] for name in names if name in config} | optimizers

    def compile_from_config(self, config):
        """Compile a trainer that was saved as it was compiled then."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    @property
    def generator_weights(self) -> list:
        """What a generators' step trains."""
        return _weights(self.generators.values())

    @property
    def discriminator_weights(self) -> list:
        """What a discriminators' step trains."""
        return _weights(self.discriminators.values())

    @property
    def metrics(self):
        """What is reset at the start of an epoch."""
        return list(self.trackers.values())

    def inference_generator(self, name: str) -> keras.Model:
        """The network to use and to export: the average, or the generator where there is none."""
        return self.averages[name].network if self.averages else self.generators[name]

    def begin(self):
        """Count a step, and set what its masks of dropout are drawn from.

        Returns:
            The number of steps before this one, int64.
        """
        step = tf.identity(self.step.value)
        self.step.value.assign_add(tf.constant(1, "int64"))
        networks = [*self.generators.values(), *self.discriminators.values()]
        states = {id(v): v for network in networks for v in network.variables}.values()
        states = [v for v in states if v.name == "seed_generator_state"]
        if states:
            context = tf.distribute.get_replica_context()
            replica = tf.cast(context.replica_id_in_sync_group, "int64")
            number = step * context.num_replicas_in_sync + replica
            seed = tf.stack([tf.constant(self.seed, "int64"), number])
            shape = (len(states), 2)
            drawn = tf.random.stateless_uniform(shape, seed, 0, 2**31 - 1, "int64", alg="philox")
            for i, state in enumerate(states):
                state.value.assign(tf.cast(drawn[i], state.value.dtype))
        return step

    def end(self) -> None:
        """Move the averages of the generators."""
        for what, average in self.averages.items():
            average.update(self.generators[what], self.step.value)

    def log(self, parts: Mapping[str, Any], where: Place) -> dict:
        """Log the means over the whole batch, the same on every replica.

        Args:
            parts: by name this replica's part of each, as `global_mean` gives it.
            where: the rows, which weigh the batch in the epoch's mean.

        Returns:
            By name the epoch's mean until now.
        """
        context = tf.distribute.get_replica_context()
        values = tf.stack([tf.cast(parts[what], "float32") for what in self.trackers])
        values = context.all_reduce(tf.distribute.ReduceOp.SUM, values)
        for value, tracker in zip(tf.unstack(values), self.trackers.values(), strict=True):
            tracker.update_state(value, tf.cast(where.total, "float32"))
        return {what: tracker.result() for what, tracker in self.trackers.items()}


def _weights(networks):
    found = [weight for network in networks for weight in network.trainable_variables]
    return list({id(weight): weight for weight in found}.values())


def _optimizer(optimizer, scaled):
    """The optimizer of a name, an object or None, with the loss scaled where that is needed."""
    found = keras.optimizers.Adam(2e-4, beta_1=0.5) if optimizer is None else optimizer
    found = keras.optimizers.get(found)
    if scaled and not isinstance(found, keras.optimizers.LossScaleOptimizer):
        return keras.optimizers.LossScaleOptimizer(found)
    return found


def _policy(networks):
    """Type policy of the trainer: float16 anywhere in a network needs the loss to be scaled."""
    layers = [layer for network in networks for layer in network._flatten_layers()]
    return "mixed_float16" if any(one.compute_dtype == "float16" for one in layers) else "float32"
