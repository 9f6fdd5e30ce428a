"""A segmentation network before its training and after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras

from kmed import distribute
from kmed.metrics import MeanDice
from kmed.tasks.optimizers import scheduled_adam
from kmed.tasks.segmentation.settings import LOSSES, Settings

Builder = Callable[..., keras.Model]


def compile_network(
    network: keras.Model,
    settings: Settings,
    steps: int,
    *,
    classes: int,
    class_weights: Sequence[float] | None = None,
) -> None:
    """Compile with Adam, a warm-up and a cosine decay, the settings' loss and the mean Dice.

    Args:
        network: one output of logits, or a dictionary of them (deep supervision: the weight of
            each halves with its resolution, as in nnU-Net).
        settings: loss and learning rate.
        steps: batches of the whole training.
        classes: number of classes.
        class_weights: of the loss "median_frequency", one for each class; by default 1.
    """
    options = {"class_weights": class_weights} if settings.loss == "median_frequency" else {}

    def new_loss():
        return LOSSES[settings.loss](**options)

    loss, loss_weights = new_loss(), None
    metrics = [MeanDice(classes, empty=None, name="dice")]
    if isinstance(network.output, dict):
        names = list(network.output)
        shares = [0.5**i for i in range(len(names))]
        loss = {name: new_loss() for name in names}
        loss_weights = {n: s / sum(shares) for n, s in zip(names, shares, strict=True)}
        metrics = {"logits": metrics}
    network.compile(
        scheduled_adam(settings.learning_rate, steps),
        loss,
        loss_weights=loss_weights,
        metrics=metrics,
        jit_compile=distribute.jit_compile(),
    )


def inference_network(
    builder: Builder, trained: keras.Model, settings: Settings, channels: int, classes: int
) -> keras.Model:
    """Rebuild a trained network in float32, without auxiliary outputs, for any size of patch.

    Args:
        builder: as in `train`.
        trained: gives the weights.
        settings: size, fit and the builder's options.
        channels: channels of the image.
        classes: number of classes.

    Returns:
        A network of one output.
    """
    with distribute.precision("float32"):
        size = settings.size if settings.fit == "resize" else (None,) * settings.rank
        # The weights it began with need no second reading.
        options = settings.network | {"weights": None}
        network = builder(input_shape=(*size, channels), classes=classes, **options)
    network.set_weights(trained.get_weights())
    if isinstance(network.output, dict):
        network = keras.Model(network.input, network.output["logits"], name=network.name)
    return network
