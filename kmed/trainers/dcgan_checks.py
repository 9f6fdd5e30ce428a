"""What the training of a DCGAN can be given, and the errors for everything else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from kmed.ops.differentiable_augmentation import check_policy


def check_settings(
    gradient_penalty: float, discriminator_steps: int, augmentation: Sequence[str]
) -> None:
    """Refuse settings outside of their range.

    Args:
        gradient_penalty: 0 or more.
        discriminator_steps: 1 or more.
        augmentation: names of `kmed.ops.differentiable_augmentation`.

    Raises:
        ValueError: naming the setting.
    """
    if not gradient_penalty >= 0 or discriminator_steps < 1:
        raise ValueError(
            "`gradient_penalty` must be at least 0 and `discriminator_steps` at least 1; received "
            f"{gradient_penalty} and {discriminator_steps}"
        )
    check_policy(augmentation)


def check_networks(generator: keras.Model, discriminator: keras.Model) -> bool:
    """Refuse networks that do not fit each other.

    Args:
        generator: of latent numbers, and of labels where there are classes.
        discriminator: of its images, and of labels where there are classes.

    Returns:
        Whether they have classes.

    Raises:
        ValueError: saying what does not fit.
    """
    names = [_names(network) for network in (generator, discriminator)]
    if names not in ([None, None], [["labels", "latent"], ["image", "labels"]]):
        raise ValueError(
            "the generator must have one input or `latent` and `labels`, and the discriminator one "
            f"input or `image` and `labels`, both with classes or both without; received {names}"
        )
    conditional = names[0] is not None
    image = discriminator.input["image"] if conditional else discriminator.input
    given, seen = tuple(generator.output_shape[1:]), tuple(image.shape[1:])
    if given != seen or tuple(discriminator.output_shape[1:]) != (1,):
        raise ValueError(
            "the discriminator must take the generator's images and give logits (B, 1); received "
            f"images {given} for {seen} and logits {discriminator.output_shape}"
        )
    return conditional


def check_penalty(gradient_penalty: float, discriminator: keras.Model) -> None:
    """Refuse a gradient's penalty where one image changes another's logit.

    Args:
        gradient_penalty: its weight.
        discriminator: the network.

    Raises:
        ValueError: if the network normalises batches.
    """
    kind = keras.layers.BatchNormalization
    if any(isinstance(layer, kind) for layer in discriminator._flatten_layers()):
        raise ValueError(
            "`gradient_penalty` is of each image alone and needs a discriminator without batch "
            f"normalisation; received {gradient_penalty:g} and {discriminator.name!r} with "
            "BatchNormalization. Build it with normalization=None"
        )


def checked_batch(images: Any, labels: Any, shape: tuple, conditional: bool) -> tuple:
    """Give the images and labels of a batch in the types that the networks take.

    Args:
        images: `(B, *shape)`, float.
        labels: `(B,)` int, or None.
        shape: of an image of the generator.
        conditional: whether the networks have classes.

    Returns:
        Float32 images, and int32 labels or None.

    Raises:
        ValueError: if they do not fit the networks.
    """
    images = tf.convert_to_tensor(images)
    if not images.dtype.is_floating or tuple(images.shape[1:]) != shape:
        raise ValueError(
            f"images must be float32 in [-1, 1], (B, {', '.join(map(str, shape))}), as the "
            f"generator gives them; received {images.dtype.name} {tuple(images.shape)}"
        )
    _check_labels(labels, conditional)
    return tf.cast(images, "float32"), None if labels is None else tf.cast(labels, "int32")


def checked_count(latent: Any, labels: Any, count: int | None, conditional: bool) -> int:
    """Give the number of images that are to be generated.

    Args:
        latent: `(N, latent)`, or None.
        labels: `(N,)`, or None.
        count: N, or None.
        conditional: whether the networks have classes.

    Returns:
        N.

    Raises:
        ValueError: if it is not said, or said twice differently, or if labels are missing or have
            no use.
    """
    _check_labels(labels, conditional)
    counts = {len(one) for one in (latent, labels) if one is not None} | ({count} - {None})
    if len(counts) != 1 or min(counts) < 1:
        raise ValueError(
            "`latent`, `labels` and `count` must say one number of images, at least 1; received "
            f"{sorted(counts) or None}"
        )
    return counts.pop()


def _check_labels(labels, conditional):
    if conditional and labels is None:
        raise ValueError(
            "networks with classes need `labels` (B,), one integer for each image; received none"
        )
    if labels is not None and not conditional:
        raise ValueError(
            "networks without classes take no `labels`; received some. Build both networks with "
            "`classes`, or leave the labels out"
        )


def _names(network):
    return sorted(network.input) if isinstance(network.input, dict) else None
