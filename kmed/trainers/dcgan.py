"""Training of a generator of images from random numbers, with or without classes.

References:
    Radford, Metz and Chintala 2016, "Unsupervised Representation Learning with Deep Convolutional
    Generative Adversarial Networks".
    Goodfellow et al. 2014, "Generative Adversarial Nets", algorithm 1.
    Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", algorithm 1.
    Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training".
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kmed.ops.differentiable_augmentation import DRAWS, differentiable_augmentation
from kmed.trainers.adversarial import (
    global_mean,
    global_rows,
    penalties,
    place,
    right_share,
    update,
)
from kmed.trainers.adversarial_trainer import AdversarialTrainer
from kmed.trainers.dcgan_checks import (
    check_networks,
    check_penalty,
    check_settings,
    checked_batch,
    checked_count,
)

_LOGGED = ("generator_loss", "discriminator_loss", "real_accuracy", "fake_accuracy")
# Which of a turn's draws it is.
_LATENT, _REAL, _FAKE, _JUDGED, _BETWEEN = range(5)
_STREAMS = 8  # of a turn


@keras.saving.register_keras_serializable("kmed")
class DCGAN(AdversarialTrainer):
    """Trains a generator against a discriminator, whose weights it shares.

    A step first trains the discriminator on the real batch and on the generated batch, each in a
    call of its own, so that batch normalisation never mixes them; and then the generator on the
    same generated images, judged anew. The discriminator's step does not change the generator's
    weights, nor the other way round. Both networks run in training mode throughout, as in the
    reference programs: averages of batch normalisation move with every call, the discriminator's
    in the generator's step too.

    The loss is that of the whole batch, so that N replicas draw, compute, change and log what one
    would with N times the batch, where `BatchNormalization(synchronized=True)` or none is used.

    `fit` takes float32 images in [-1, 1], `(B, [D,] H, W, C)`, or (images, labels `(B,)` int) for
    networks with classes; generated images take the labels of their batch. Logged are both losses
    and "real_accuracy" and "fake_accuracy", the share of real images whose logits are above, and
    of generated ones whose logits are below what lies between the loss's two targets: 0.5 for
    least squares, else 0. For Wasserstein, which has none, 0 is as good as any other number.

    Reference: Radford et al. 2016, section 4; PyTorch's `examples/dcgan`, which sums the two
    terms of the discriminator's loss.

    Args:
        generator: network from `(B, latent)`, or from {"latent", "labels"}, to images.
        discriminator: network from images, or from {"image", "labels"}, to logits `(B, 1)`.
        loss: "cross_entropy", "least_squares", "wasserstein", "hinge", or an object of
            `kmed.losses.adversarial`.
        gradient_penalty: weight of the penalty of Gulrajani et al., 10 there; 0: none.
        discriminator_steps: turns of the discriminator for one of the generator, 5 in Gulrajani
            et al.: the batch is cut into as many parts, so that each turn has new real images.
            Every replica needs as many images at least.
        average: decay of the average of the generator, which is what `generate` draws with and
            what is exported; None: the generator itself.
        augmentation: of what the discriminator sees, names of
                `kmed.ops.differentiable_augmentation`.
        seed: of the latent numbers, the augmentation and dropout.
        name: name of the model.

    Raises:
        ValueError: if an argument is outside of what is said above, or if the networks do not fit.
    """

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        *,
        loss: Any = "cross_entropy",
        gradient_penalty: float = 0.0,
        discriminator_steps: int = 1,
        average: float | None = 0.999,
        augmentation: Sequence[str] = (),
        seed: int = 0,
        name: str = "dcgan",
    ):
        """Check that the networks fit."""
        check_settings(gradient_penalty, discriminator_steps, augmentation)
        conditional = check_networks(generator, discriminator)
        if gradient_penalty:
            check_penalty(gradient_penalty, discriminator)
        super().__init__(
            {"generator": generator},
            {"discriminator": discriminator},
            loss=loss,
            logged=(*_LOGGED, "gradient_penalty") if gradient_penalty else _LOGGED,
            average=average,
            seed=seed,
            name=name,
        )
        self.generator, self.discriminator = generator, discriminator
        self.conditional = conditional
        self.gradient_penalty = float(gradient_penalty)
        self.discriminator_steps = int(discriminator_steps)
        self.augmentation = tuple(augmentation)
        latent = generator.input["latent"] if self.conditional else generator.input
        self.latent, self.image_shape = latent.shape[-1], tuple(generator.output_shape[1:])
        self.threshold = float(getattr(self.objective, "threshold", 0.0))

    def call(self, x, training=False):
        """Give images of latent numbers, or of {"latent", "labels"}."""
        return self.inference_generator("generator")(x, training=training)

    def train_step(self, data):
        """Turns of the discriminator, then one of the generator."""
        images, labels, _ = keras.utils.unpack_x_y_sample_weight(data)
        images, labels = checked_batch(images, labels, self.image_shape, self.conditional)
        step, whole, logs = self.begin(), place(images), []
        for turn in range(self.discriminator_steps):
            real, classes = self._part(images, whole, turn), self._part(labels, whole, turn)
            where = place(real)
            draw = functools.partial(self._draw, where, step, turn)
            latent = draw(_LATENT, (self.latent,), "normal")
            with tf.GradientTape() as tape:
                fake = self._generate(self.generator, latent, classes, training=True)
            detached = tf.stop_gradient(fake)
            logs.append(self._train_discriminator(real, detached, classes, where, draw))
        with tape:  # goes on from `fake`
            logits = self._judge(fake, classes, draw, _JUDGED)
            loss = global_mean(self.objective.generator(logits), where)
            loss += penalties([self.generator])
            scaled = self.generator_optimizer.scale_loss(loss)
        update(self.generator_optimizer, tape, scaled, self.generator_weights)
        self.end()
        parts = {what: tf.add_n([one[what] for one in logs]) / len(logs) for what in logs[0]}
        return self.log(parts | {"generator_loss": loss}, whole)

    def _part(self, rows, whole, turn):
        """A turn's rows: every so manieth of the whole batch, on however many replicas."""
        if rows is None or self.discriminator_steps == 1:
            return rows
        return rows[(turn - whole.first) % self.discriminator_steps :: self.discriminator_steps]

    def _draw(self, where, step, turn, what, shape, kind="uniform"):
        stream = turn * _STREAMS + what
        return global_rows(shape, where, step, seed=self.seed, stream=stream, draw=kind)

    def _train_discriminator(self, real, fake, classes, where, draw):
        """One turn on real images and on generated ones, which are constants here."""
        penalty = tf.constant(0.0)
        with tf.GradientTape() as tape:
            on_real = self._judge(real, classes, draw, _REAL)
            on_fake = self._judge(fake, classes, draw, _FAKE)
            losses = self.objective.discriminator(on_real, on_fake)
            loss = tf.add_n([global_mean(one, where) for one in losses])
            if self.gradient_penalty:
                penalty = global_mean(self._penalty(real, fake, classes, draw), where)
            loss += self.gradient_penalty * penalty + penalties([self.discriminator])
            scaled = self.discriminator_optimizer.scale_loss(loss)
        update(self.discriminator_optimizer, tape, scaled, self.discriminator_weights)
        return {
            "discriminator_loss": loss,
            "real_accuracy": global_mean(right_share(on_real, True, self.threshold), where),
            "fake_accuracy": global_mean(right_share(on_fake, False, self.threshold), where),
            "gradient_penalty": penalty,
        }

    def _penalty(self, real, fake, classes, draw):
        """Squared distance from 1 of the gradient's length, at a random place between the two."""
        portion = draw(_BETWEEN, (1,) * len(self.image_shape))
        between = portion * real + (1.0 - portion) * fake
        with tf.GradientTape() as tape:
            tape.watch(between)
            logits = self._discriminate(between, classes)
        gradient = tape.gradient(logits, between)
        axes = tuple(range(1, len(gradient.shape)))
        # At a gradient of zero the root's own gradient would not be a number.
        length = tf.sqrt(tf.reduce_sum(tf.square(gradient), axes) + 1e-12)
        return tf.square(length - 1.0)

    def _generate(self, network, latent, labels, *, training):
        x = {"latent": latent, "labels": labels} if self.conditional else latent
        return tf.cast(network(x, training=training), "float32")

    def _judge(self, images, labels, draw, what):
        """Logits of images, changed as the discriminator sees them."""
        if self.augmentation:
            numbers = draw(what, (DRAWS,))
            images = differentiable_augmentation(images, numbers, policy=self.augmentation)
        return self._discriminate(images, labels)

    def _discriminate(self, images, labels):
        x = {"image": images, "labels": labels} if self.conditional else images
        return tf.cast(self.discriminator(x, training=True), "float32")

    def generate(
        self,
        latent: np.ndarray | None = None,
        labels: Sequence[int] | None = None,
        *,
        count: int | None = None,
        seed: int = 0,
        batch_size: int = 64,
    ) -> np.ndarray:
        """Generate images with the averaged generator in inference mode.

        Args:
            latent: `(N, latent)`; None draws them.
            labels: classes of the images, for networks with classes.
            count: number of images, where neither of these says it.
            seed: of the latent numbers; the first of them do not depend on how many are drawn.
            batch_size: images generated at once.

        Returns:
            Float32 images in [-1, 1].

        Raises:
            ValueError: if the number of images is not said, or said twice differently, or if
                labels are missing or have no use.
        """
        count = checked_count(latent, labels, count, self.conditional)
        if latent is None:
            latent = np.random.default_rng(seed).standard_normal((count, self.latent))
        latent = np.asarray(latent, "float32")
        labels = None if labels is None else np.asarray(labels, "int32")
        network, images = self.inference_generator("generator"), []
        for begin in range(0, count, batch_size):
            rows = slice(begin, begin + batch_size)
            some = None if labels is None else labels[rows]
            images.append(self._generate(network, latent[rows], some, training=False))
        return np.concatenate([np.asarray(some) for some in images])

    def get_config(self):
        """Arguments that rebuild the trainer, its networks among them."""
        names = (
            "gradient_penalty",
            "discriminator_steps",
            "average",
            "augmentation",
            "seed",
            "name",
        )
        parts = {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "loss": self.objective,
        }
        serialize = keras.saving.serialize_keras_object
        config = {what: serialize(part) for what, part in parts.items()}
        return config | {name: getattr(self, name) for name in (*names, "name")}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Rebuild the trainer and its networks."""
        load = keras.saving.deserialize_keras_object
        parts = ("generator", "discriminator", "loss")
        return cls(**config | {what: load(config[what], custom_objects) for what in parts})
