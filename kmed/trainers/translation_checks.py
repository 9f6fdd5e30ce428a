"""What the trainings of translating networks can be given, and the errors for everything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf


def checked_modalities(modalities: Sequence[str]) -> tuple[str, str]:
    """Give the names of two modalities.

    Args:
        modalities: two different names.

    Returns:
        The names.

    Raises:
        ValueError: if they are not two.

    Example:
        >>> checked_modalities(["ct", "t2"])
        ('ct', 't2')
    """
    names = () if isinstance(modalities, str) else tuple(modalities)
    if len(names) != 2 or len(set(names)) != 2:
        raise ValueError(f"`modalities` must be two different names; received {modalities!r}")
    return names


def named_networks(networks: Any, names: Sequence[str], argument: str) -> dict[str, keras.Model]:
    """Give networks by name.

    Args:
        networks: by name, or in the order of the names.
        names: of two networks.
        argument: what the caller knows them as.

    Returns:
        The networks by name, in the order of `names`.

    Raises:
        ValueError: if there are not as many, or not of these names, or one of them twice.
    """
    names = list(names)
    if not isinstance(networks, Mapping):
        received = list(networks) if isinstance(networks, Sequence) else [networks]
        if len(received) != len(names):
            raise ValueError(
                f"`{argument}` must be two networks, {names[0]!r} and {names[1]!r}; received "
                f"{len(received)}"
            )
        networks = dict(zip(names, received, strict=True))
    if set(networks) != set(names):
        raise ValueError(f"`{argument}` must be of {names}; received those of {sorted(networks)}")
    if len({id(network) for network in networks.values()}) < len(names):
        raise ValueError(f"`{argument}` must be two networks; received the same one twice")
    return {name: networks[name] for name in names}


def check_cycle(
    generators: Mapping[str, keras.Model],
    discriminators: Mapping[str, keras.Model],
    ways: Mapping[str, tuple[str, str]],
    identity: bool,
) -> None:
    """Refuse networks of two modalities that do not fit each other.

    Args:
        generators: by direction.
        discriminators: by modality.
        ways: by direction the modality that it starts from and the one that it makes.
        identity: whether a generator takes images of the modality that it makes, too.

    Raises:
        ValueError: saying what does not fit.
    """
    channels = {modality: net.input_shape[-1] for modality, net in discriminators.items()}
    for way, (a, b) in ways.items():
        found = generators[way].input_shape[-1], generators[way].output_shape[-1]
        if found != (channels[a], channels[b]):
            raise ValueError(
                f"the generator {way!r} must go from {channels[a]} to {channels[b]} channels, as "
                f"the discriminators have; received one from {found[0]} to {found[1]}"
            )
    if identity and len(set(channels.values())) > 1:
        raise ValueError(
            "`identity_weight` needs modalities of as many channels, since each generator is also "
            f"given what it should make; received {channels}. Set it to 0"
        )


def check_pair(generator: keras.Model, discriminator: keras.Model | None) -> None:
    """Refuse a discriminator that does not take a source and an image together.

    Args:
        generator: from source to image.
        discriminator: or None.

    Raises:
        ValueError: if its channels are not those of both.
    """
    if discriminator is None:
        return
    source, image = generator.input_shape[-1], generator.output_shape[-1]
    if discriminator.input_shape[-1] != source + image:
        raise ValueError(
            f"`discriminator` sees source and image together and must take {source} + {image} "
            f"channels, as the generator has; received one of {discriminator.input_shape[-1]}"
        )


def check_weights(weights: Mapping[str, float]) -> None:
    """Refuse negative weights of a loss.

    Args:
        weights: by the argument's name.

    Raises:
        ValueError: naming the argument.
    """
    for name, value in weights.items():
        if not value >= 0:
            raise ValueError(f"`{name}` must be at least 0; received {value}")


def checked_images(first: Any, second: Any, shapes: Mapping[str, tuple]) -> tuple:
    """Give the two sides of a batch in the type that the networks take.

    Args:
        first: float images `(B, [D,] H, W, C)`.
        second: as many, or None if the batch has no second side.
        shapes: by the sides' names the shape of an image, None where any size will do.

    Returns:
        Both in float32.

    Raises:
        ValueError: if one is missing, is not float, or has another shape or number of images.
    """
    sides = [None if side is None else tf.convert_to_tensor(side) for side in (first, second)]
    fits = [
        side is not None and side.dtype.is_floating and side.shape[1:].is_compatible_with(shape)
        for side, shape in zip(sides, shapes.values(), strict=True)
    ]
    if not all(fits) or not sides[0].shape[:1].is_compatible_with(sides[1].shape[:1]):
        wanted = [f"{name} (B, {', '.join(map(str, shape))})" for name, shape in shapes.items()]
        received = [side if side is None else f"{side.dtype.name} {side.shape}" for side in sides]
        raise ValueError(
            f"a batch must be ({', '.join(wanted)}), as many float32 images in [-1, 1] of each; "
            f"received {received[0]} and {received[1]}"
        )
    return tuple(tf.cast(side, "float32") for side in sides)
