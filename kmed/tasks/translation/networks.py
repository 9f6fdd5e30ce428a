"""Generators and discriminators before their training and after it."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from kmed import distribute
from kmed.applications import patchgan
from kmed.export.graph import rebuild
from kmed.tasks.optimizers import constant_then_linear_adam
from kmed.tasks.translation.settings import Settings
from kmed.trainers.cyclegan import CycleGAN
from kmed.trainers.pix2pix import Pix2Pix

Builder = Callable[..., keras.Model]


def generator(
    builder: Builder, settings: Settings, channels: tuple[int, int], name: str
) -> keras.Model:
    """Build a generator.

    Args:
        builder: `kmed.applications.pix2pix_generator` or `cyclegan_generator`.
        settings: size or crop, and the builder's options in `network`.
        channels: of the source and of the target.
        name: of the network.

    Returns:
        The network.
    """
    return builder(
        input_shape=(*(settings.crop or settings.size), channels[0]),
        outputs=channels[1],
        name=name,
        **settings.network,
    )


def discriminator(settings: Settings, channels: int, name: str) -> keras.Model:
    """Build a discriminator of patches.

    Args:
        settings: size or crop, algorithm, and the builder's options in `discriminator`.
        channels: of what it sees.
        name: of the network.

    Returns:
        The network; of Pix2Pix with batch normalisation, of CycleGAN with instance normalisation,
        as in the papers, if the settings do not say otherwise.
    """
    kind = "batch" if settings.algorithm == "pix2pix" else "instance"
    options = {"normalization": kind} | settings.discriminator
    return patchgan(input_shape=(*(settings.crop or settings.size), channels), name=name, **options)


def build(
    builder: Builder, settings: Settings, channels: dict[str, int], replicas: int
) -> Pix2Pix | CycleGAN:
    """Build the networks and put the trainer around them.

    Args:
        builder: of generators.
        settings: everything about networks and losses.
        channels: of each modality, the source first.
        replicas: number of devices.

    Returns:
        The trainer, not compiled.
    """
    (source, target), counts = channels, tuple(channels.values())
    common = {
        "loss": settings.loss,
        "average": settings.average,
        "augmentation": settings.differentiable,
        "seed": settings.seed,
    }
    if settings.algorithm == "pix2pix":
        made = generator(builder, settings, counts, "generator")
        judged = None
        if settings.adversarial:
            judged = discriminator(settings, sum(counts), "discriminator")
        trainer = Pix2Pix(
            made,
            judged,
            l1_weight=settings.l1_weight,
            ssim_weight=settings.ssim_weight,
            gradient_difference_weight=settings.gradient_difference_weight,
            **common,
        )
        networks = [made] + ([judged] if judged is not None else [])
    else:
        there = generator(builder, settings, counts, f"to_{target}")
        back = generator(builder, settings, counts[::-1], f"to_{source}")
        judges = [
            discriminator(settings, channels[name], f"discriminator_{name}")
            for name in (source, target)
        ]
        trainer = CycleGAN(
            (there, back),
            judges,
            modalities=(source, target),
            cycle_weight=settings.cycle_weight,
            identity_weight=settings.identity_weight if counts[0] == counts[1] else 0.0,
            buffer=settings.buffer,
            **common,
        )
        networks = [there, back, *judges]
    for network in networks:
        distribute.synchronize_batch_norm(network, replicas)
    if settings.crop is not None:  # what cannot be used afterwards is said before the training
        for network in trainer.generators.values():
            whole(network, settings.size)
    return trainer


def whole(network: keras.Model, size: tuple[int | None, ...]) -> keras.Model:
    """Copy a generator, in float32, for images of another size than it was trained on.

    Args:
        network: the generator.
        size: spatial size, None for any.

    Returns:
        The copy.

    Raises:
        ValueError: if a network of such levels cannot take the size.
    """
    try:
        return rebuild(network, input_shape=(*size, network.input_shape[-1]), dtype="float32")
    except ValueError as error:
        raise ValueError(
            f"`size` {tuple(size)} does not fit a generator of parts of {network.input_shape[1:-1]}"
            f" (`crop`): {error}; give the network fewer `levels`, or a size that they divide"
        ) from error


def compiled(trainer: Pix2Pix | CycleGAN, settings: Settings, steps: int) -> Pix2Pix | CycleGAN:
    """Compile a trainer.

    Args:
        trainer: from `build`.
        settings: learning rate and its course.
        steps: batches of the whole training.

    Returns:
        The trainer.
    """
    pair = (
        constant_then_linear_adam(
            settings.learning_rate, steps, constant=settings.constant, beta_1=settings.beta_1
        )
        for _ in range(2)
    )
    trainer.compile(*pair, jit_compile=distribute.jit_compile())
    return trainer


def directions(settings: Settings, modalities: tuple[str, str]) -> list[tuple[str, str]]:
    """List the pairs of source and target that a training gives a generator for."""
    source, target = modalities
    if settings.algorithm == "pix2pix":
        return [(source, target)]
    return [(source, target), (target, source)]


def inference_generator(trainer: Pix2Pix | CycleGAN, source: str, target: str) -> keras.Model:
    """Give the network that translates after the training: the average, where there is one.

    Args:
        trainer: the trainer.
        source: modality.
        target: modality.

    Returns:
        The network; of Pix2Pix the only one.
    """
    several = isinstance(trainer, CycleGAN)
    return trainer.inference_generator(f"{source}_to_{target}" if several else "generator")


def translation(trainer: Pix2Pix | CycleGAN, source: str, target: str) -> Callable:
    """Give the function that translates images during a training.

    Args:
        trainer: the trainer.
        source: modality.
        target: modality.

    Returns:
        From images in [-1, 1] to images.
    """
    network = inference_generator(trainer, source, target)
    # A network of parts is of one size, and its copy of any: the images judged are whole.
    copy = whole(network, (None,) * (len(network.input_shape) - 2))
    traced = tf.function(lambda images: copy(images, training=False), reduce_retracing=True)
    pairs = list(zip(copy.variables, network.variables, strict=True))

    def translate(images):
        for own, trained in pairs:
            own.assign(trained)
        return traced(tf.convert_to_tensor(images))

    return translate
