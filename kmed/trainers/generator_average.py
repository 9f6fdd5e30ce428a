"""The exponential moving average of a generator's weights."""

from __future__ import annotations

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("kmed")
class GeneratorAverage(keras.layers.Layer):
    """A copy of a generator whose weights follow its weights slowly; it is what is exported.

    The decay starts low, so that the first steps' weights are soon forgotten:
    `min(decay, (1 + t) / (10 + t))` at step t. Batch normalisation's averages are averaged in the
    same way as the weights that they belong to. A step that a loss's scale refused changes no
    weight of the generator and moves the average towards what it was. The copy is part of the
    trainer's weights, so that a checkpoint has it.

    Reference: Yazici et al. 2019, "The Unusual Effectiveness of Averaging in GAN Training";
    `tf.train.ExponentialMovingAverage` for the decay of the first steps.

    Args:
        generator: built, functional; it is copied, not changed.
        decay: in [0, 1).
        name: name of the layer.

    Raises:
        ValueError: if the decay is not in [0, 1).

    Example:
        >>> generator = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> average = GeneratorAverage(generator, 0.5)
        >>> before = generator.layers[0].kernel.numpy().item()
        >>> _ = generator.layers[0].kernel.assign([[before + 11.0]])
        >>> average.update(generator, step=1)  # its share is 9 / 11
        >>> round(average.network.layers[0].kernel.numpy().item() - before, 4)
        9.0
    """

    def __init__(self, generator: keras.Model, decay: float = 0.999, *, name: str = "average"):
        """Copy the generator as it is now."""
        super().__init__(name=name, trainable=False, autocast=False)
        if not 0 <= decay < 1:
            raise ValueError(f"`decay` must be in [0, 1); received {decay}")
        self.decay = float(decay)
        self.network = keras.models.clone_model(generator)
        self.network.trainable = False
        self.network.set_weights(generator.get_weights())
        self.built = True

    def call(self, x, training=False):
        """Give the images of the averaged generator, in inference mode."""
        return self.network(x, training=False)

    def update(self, generator: keras.Model, step) -> None:
        """Move the average towards the generator's weights; for a replica's context too.

        Args:
            generator: the one that was copied.
            step: int scalar, 1 at the first update.
        """
        step = tf.cast(step, "float32")
        share = 1.0 - tf.minimum(self.decay, (1.0 + step) / (10.0 + step))
        for average, weight in zip(self.network.weights, generator.weights, strict=True):
            # Replicas hold equal weights, and each moves its own copy: nothing is sent.
            if average.dtype.startswith("float"):
                change = tf.cast(weight.value, "float32") - tf.cast(average.value, "float32")
                average.value.assign_add(tf.cast(share * change, average.dtype))
            else:
                average.value.assign(weight.value)

    def get_config(self):
        """Arguments that rebuild the layer around a copy of its generator."""
        generator = keras.saving.serialize_keras_object(self.network)
        return {"generator": generator, "decay": self.decay, "name": self.name}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Rebuild the layer."""
        load = keras.saving.deserialize_keras_object
        return cls(**config | {"generator": load(config["generator"], custom_objects)})
