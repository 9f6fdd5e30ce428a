"""A classifier before its training and after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras

from kmed import distribute
from kmed.losses import ClassificationCrossEntropy, OrdinalCrossEntropy
from kmed.metrics import LabelAccuracy
from kmed.tasks.classification.settings import Settings
from kmed.tasks.optimizers import scheduled_adam

Builder = Callable[..., keras.Model]
HEAD = "logits"  # the layer that every classifier of the catalogue ends in


def logit_count(classes: int, kind: str) -> int:
    """How many logits tell the classes apart: one less where they have an order.

    Args:
        classes: number of classes.
        kind: what the labels mean.

    Returns:
        The builder's `classes`.
    """
    return classes - 1 if kind == "ordinal" else classes


def build(
    builder: Builder, settings: Settings, channels: int, classes: int, kind: str
) -> keras.Model:
    """Build the settings' network for images of so many channels.

    Args:
        builder: such as `kmed.applications.resnet18`.
        settings: size and the builder's options.
        channels: of the image.
        classes: number of classes.
        kind: what the labels mean.

    Returns:
        The network.
    """
    shape = (*settings.size, channels)
    return builder(input_shape=shape, classes=logit_count(classes, kind), **settings.network)


def compile_network(
    network: keras.Model,
    settings: Settings,
    steps: int,
    *,
    kind: str,
    class_weights: Sequence[float] | None = None,
    learning_rate: float | None = None,
) -> None:
    """Compile with Adam, a warm-up and a cosine decay, the kind's loss and the accuracy.

    Args:
        network: gives logits `(B, K)`.
        settings: loss and learning rate.
        steps: batches of the whole training.
        kind: what the labels mean.
        class_weights: one for each class, or None.
        learning_rate: in place of the settings' own.
    """
    optimizer = scheduled_adam(
        learning_rate or settings.learning_rate, steps, weight_decay=settings.weight_decay
    )
    if kind == "ordinal":
        loss = OrdinalCrossEntropy(class_weights=class_weights)
    else:
        loss = ClassificationCrossEntropy(
            kind,
            label_smoothing=settings.label_smoothing,
            focal_gamma=settings.focal_gamma,
            class_weights=class_weights,
        )
    network.compile(
        optimizer,
        loss,
        metrics=[LabelAccuracy(kind, name="accuracy")],
        jit_compile=distribute.jit_compile(),
    )


def train_head_only(network: keras.Model, only: bool) -> None:
    """Freeze all layers but the last, or let all learn again; compile afterwards.

    A frozen batch normalisation keeps the statistics of its pretraining.

    Args:
        network: a classifier of the catalogue.
        only: whether only the last layer learns.
    """
    for layer in network.layers:
        layer.trainable = not only or layer.name == HEAD
