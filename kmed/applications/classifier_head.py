"""What AlexNet, VGG and ResNet share: their arguments' rules, dense layers, and logits."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from kmed.layers.adaptive_pooling import AdaptiveAveragePooling


def check_arguments(
    input_shape: tuple[int | None, ...],
    classes: int,
    dropout: float,
    *,
    smallest: int = 1,
    ranks: tuple[int, ...] = (2, 3),
) -> None:
    """Refuse what no classifier takes.

    Args:
        input_shape: the builder's argument.
        classes: the builder's argument.
        dropout: the builder's argument.
        smallest: smallest size of a spatial axis that leaves a pixel at the network's end.
        ranks: numbers of spatial axes that the network is defined for.

    Raises:
        ValueError: which names the argument, the value received and the rule.
    """
    wanted = {2: "(height, width, channels)", 3: "(depth, height, width, channels)"}
    if len(input_shape) - 1 not in ranks or input_shape[-1] is None or input_shape[-1] < 1:
        raise ValueError(
            f"`input_shape` must be {' or '.join(wanted[rank] for rank in ranks)} with a known "
            f"number of channels; received {tuple(input_shape)}"
        )
    if any(size is not None and size < smallest for size in input_shape[:-1]):
        raise ValueError(
            f"`input_shape` must be at least {smallest} along every spatial axis for this network; "
            f"received {tuple(input_shape)}"
        )
    if classes < 1:
        raise ValueError(f"`classes` must be at least 1; received {classes}")
    if not 0 <= dropout < 1:
        raise ValueError(f"`dropout` must be in [0, 1); received {dropout}")


def dense_layers(
    x,
    units: Sequence[int],
    names: Sequence[str],
    *,
    pooled_size: int,
    dropout: float,
    dropout_in_front: bool = False,
):
    """Pool to a fixed size, flatten (row, column, channel) and apply dense layers with ReLU.

    Args:
        x: tensor `(B, H, W, C)` or `(B, D, H, W, C)`.
        units: outputs of each dense layer.
        names: name of each dense layer, part of the checkpoint's contract.
        pooled_size: size along every spatial axis after the pooling, in pixels.
        dropout: rate of dropout at each dense layer, in [0, 1).
        dropout_in_front: the dropout stands in front of each dense layer, not behind it.

    Returns:
        A tensor `(B, units[-1])`.

    Raises:
        ValueError: if `pooled_size` or a number of `units` is below 1, or their number is wrong.
    """
    if pooled_size < 1 or len(units) != len(names) or min(units) < 1:
        raise ValueError(
            f"`dense_units` must be {len(names)} positive numbers and `pooled_size` at least 1; "
            f"received {tuple(units)} and {pooled_size}"
        )
    size = (pooled_size,) * (len(x.shape) - 2)
    x = AdaptiveAveragePooling(size, name="adaptive_pool")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    for count, name in zip(units, names, strict=True):
        if dropout_in_front:
            x = drop(x, dropout, name=f"{name}_dropout")
        x = keras.layers.Dense(count, kernel_initializer="he_normal", name=name)(x)
        x = keras.layers.Activation("relu", name=f"{name}_relu")(x)
        if not dropout_in_front:
            x = drop(x, dropout, name=f"{name}_dropout")
    return x


def drop(x, rate: float, *, name: str):
    """Dropout; nothing where the rate is 0."""
    return keras.layers.Dropout(rate, name=name)(x) if rate else x


def logits(x, classes: int):
    """Give the last layer's float32 scores `(B, classes)`, before any softmax or sigmoid."""
    # float32 under mixed precision too: a softmax of half-precision logits loses small classes.
    return keras.layers.Dense(classes, dtype="float32", name="logits")(x)
