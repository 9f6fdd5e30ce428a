"""Generator and discriminator before their training and after it."""

from __future__ import annotations

from collections.abc import Callable

import keras

from kmed import distribute
from kmed.applications import dcgan_discriminator
from kmed.tasks.optimizers import constant_then_linear_adam
from kmed.tasks.synthesis.settings import Settings
from kmed.trainers.dcgan import DCGAN

Builder = Callable[..., keras.Model]


def generator(builder: Builder, settings: Settings, channels: int, classes: int) -> keras.Model:
    """Build the generator.

    Args:
        builder: function such as `kmed.applications.dcgan_generator`.
        settings: size, latent, and the builder's options in `network`.
        channels: of the images.
        classes: number of classes, 0 for none.

    Returns:
        The network.
    """
    return builder(
        input_shape=(*settings.size, channels),
        classes=classes or None,
        latent=settings.latent,
        **settings.network,
    )


def discriminator(settings: Settings, channels: int, classes: int) -> keras.Model:
    """Build the discriminator.

    Args:
        settings: size, and the builder's options in `discriminator`.
        channels: of the images.
        classes: number of classes, 0 for none.

    Returns:
        The network.
    """
    return dcgan_discriminator(
        input_shape=(*settings.size, channels), classes=classes or None, **settings.discriminator
    )


def compiled(made: keras.Model, judged: keras.Model, settings: Settings, steps: int) -> DCGAN:
    """Put the trainer around both networks and compile it.

    Args:
        made: the generator.
        judged: the discriminator.
        settings: loss, penalty, average, learning rate.
        steps: batches of the whole training.

    Returns:
        What is fitted.
    """
    trainer = DCGAN(
        made,
        judged,
        loss=settings.loss,
        gradient_penalty=settings.gradient_penalty,
        discriminator_steps=settings.discriminator_steps,
        average=settings.average,
        augmentation=settings.differentiable,
        seed=settings.seed,
    )
    pair = (
        constant_then_linear_adam(
            settings.learning_rate, count, constant=settings.constant, beta_1=settings.beta_1
        )
        for count in (steps, steps * settings.discriminator_steps)
    )
    trainer.compile(*pair, jit_compile=distribute.jit_compile())
    return trainer
