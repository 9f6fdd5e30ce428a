"""The parts of a step that trains generators and discriminators, exact on several replicas.

References:
    Goodfellow et al. 2014, "Generative Adversarial Nets", algorithm 1.
    TensorFlow's guide "Custom training with tf.distribute.Strategy": gradients are summed over
    replicas, so that a mean is a replica's sum over the rows of all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from kmed.losses.adversarial import ADVERSARIAL
from kmed.trainers.replicas import agreed

_STREAMS = 2**16


class Place(NamedTuple):
    """Where a replica's rows are in the whole batch: first row, rows of its own, rows of all."""

    first: Any
    rows: Any
    total: Any


def place(values) -> Place:
    """Find where this replica's rows are in the batch of all replicas.

    Args:
        values: tensor `(b, ...)`, whose b may differ between replicas.

    Returns:
        Three int32 scalars.

    Example:
        >>> [int(number) for number in place(tf.zeros((3, 2)))]
        [0, 3, 3]
    """
    context = tf.distribute.get_replica_context()
    rows = tf.shape(values)[0]
    if context.num_replicas_in_sync == 1:
        return Place(tf.constant(0), rows, rows)
    replica = context.replica_id_in_sync_group
    own = tf.one_hot(replica, context.num_replicas_in_sync) * tf.cast(rows, "float32")
    counts = tf.cast(context.all_reduce(tf.distribute.ReduceOp.SUM, own), "int32")
    return Place(tf.reduce_sum(counts[:replica]), rows, tf.reduce_sum(counts))


def global_mean(values, where: Place | None = None):
    """This replica's part of the mean over the whole batch; the parts of all add up to it.

    Args:
        values: of each example, `(b,)`.
        where: `place(values)`, if it is known already.

    Returns:
        A float32 scalar.

    Example:
        >>> float(global_mean(tf.constant([1.0, 2.0])))
        1.5
    """
    total = tf.cast((where or place(values)).total, "float32")
    return tf.reduce_sum(tf.cast(values, "float32")) / tf.maximum(total, 1.0)


def global_rows(
    shape: Sequence[int], where: Place, step, *, seed: int, stream: int, draw: str = "normal"
):
    """Random numbers of this replica's rows: N replicas draw what one would for the whole batch.

    Args:
        shape: of one row.
        where: the rows, `place(images)`.
        step: int scalar, the training's step.
        seed: of the training.
        stream: in [0, 65536), which of a step's draws this is.
        draw: "normal", of mean 0 and deviation 1, or "uniform", in [0, 1).

    Returns:
        Float32 `(b, *shape)`, a function of the seed, the step, the stream and the row's place.

    Raises:
        ValueError: for an unknown distribution.

    Example:
        >>> global_rows((2,), place(tf.zeros(3)), 0, seed=0, stream=0, draw="uniform").shape
        TensorShape([3, 2])
    """
    draws = {"normal": tf.random.stateless_normal, "uniform": tf.random.stateless_uniform}
    if draw not in draws:
        raise ValueError(f"`draw` must be one of {tuple(draws)}; received {draw!r}")
    number = tf.cast(step, "int64") * _STREAMS + stream
    # Philox by name: what "auto" chooses depends on the device.
    whole = draws[draw](
        (where.total, *shape), tf.stack([tf.constant(seed, "int64"), number]), alg="philox"
    )
    return whole[where.first : where.first + where.rows]


def update(optimizer: keras.Optimizer, tape: tf.GradientTape, scaled_loss, weights: Sequence):
    """Apply a loss's gradients, summed over the replicas.

    Args:
        optimizer: built for these weights.
        tape: that recorded the loss.
        scaled_loss: `optimizer.scale_loss` of this replica's part of the loss.
        weights: what the step trains, and nothing else.
    """
    gradients = tape.gradient(scaled_loss, weights)
    # An embedding's are sparse, and classes are few.
    gradients = [None if one is None else tf.convert_to_tensor(one) for one in gradients]
    optimizer.apply_gradients(zip(agreed(gradients, optimizer), weights, strict=True))


def penalties(networks: Iterable[keras.Model]):
    """This replica's part of the networks' regularisation losses."""
    found = [tf.cast(one, "float32") for network in networks for one in network.losses]
    replicas = tf.distribute.get_replica_context().num_replicas_in_sync
    return tf.add_n(found) / replicas if found else tf.constant(0.0)


def right_share(logits, real: bool, threshold: float = 0.0):
    """Of each example the share of its logits that are on the side of what it is.

    Args:
        logits: `(b, ...)`, of a discriminator.
        real: whether the examples are real.
        threshold: above it an image is called real.

    Returns:
        Float32 `(b,)`.

    Example:
        >>> right_share(tf.constant([[1.0], [-1.0]]), real=True).numpy().tolist()
        [1.0, 0.0]
    """
    right = (logits > threshold) if real else (logits < threshold)
    return tf.reduce_mean(tf.cast(right, "float32"), axis=tuple(range(1, len(logits.shape))))


def checked_loss(loss: Any):
    """Give the loss of a name in `kmed.losses.adversarial.ADVERSARIAL`, or the given object.

    Args:
        loss: a name, or an object with `generator(fake)` and `discriminator(real, fake)`.

    Returns:
        The object.

    Raises:
        ValueError: if it is neither.
    """
    if isinstance(loss, str) and loss in ADVERSARIAL:
        return ADVERSARIAL[loss]()
    if not hasattr(loss, "generator") or not hasattr(loss, "discriminator"):
        raise ValueError(
            f"`loss` must be one of {tuple(ADVERSARIAL)}, or an object with `generator` and "
            f"`discriminator`, as those of kmed.losses.adversarial; received {loss!r}"
        )
    return loss
