"""What a replica needs of the others: their rows, and whether their gradients overflowed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf


def gathered(values: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Put the rows of all replicas behind each other, in the order of the whole batch.

    Args:
        values: structure of tensors `(N, ...)`, whose N may differ between replicas.

    Returns:
        The structure with the rows of all replicas, the same on each, and a function that finds
        this replica's rows in such a structure. Gradients do not pass.

    Example:
        >>> rows, own = gathered({"a": tf.constant([[1.0], [2.0]])})
        >>> own(rows)["a"].numpy().tolist()
        [[1.0], [2.0]]
    """
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return values, lambda whole: whole
    replica = context.replica_id_in_sync_group
    counts = tf.nest.map_structure(lambda value: tf.shape(value)[:1], values)
    rows, counts = context.all_gather((values, counts), axis=0)

    def cut(whole, count):
        begin = tf.reduce_sum(count[:replica])
        return whole[begin : begin + count[replica]]

    return rows, lambda whole: tf.nest.map_structure(cut, whole, counts)


def agreed(gradients: Sequence, optimizer: keras.Optimizer) -> list:
    """Let all replicas see that the gradients of one have overflowed.

    A loss's scale is kept or halved on what each replica finds in its own gradients, before they
    are summed: without this, one would apply what another refuses.

    Args:
        gradients: of this replica; None where a weight has none.
        optimizer: what applies them.

    Returns:
        The gradients; where the loss is scaled, not a number on all replicas if any value on any
        is not finite.

    Example:
        >>> agreed([tf.constant(1.0), None], keras.optimizers.SGD())[0].numpy().item()
        1.0
    """
    context = tf.distribute.get_replica_context()
    scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    if not scaled or context.num_replicas_in_sync == 1:
        return list(gradients)
    finite = [tf.reduce_all(tf.math.is_finite(g)) for g in gradients if g is not None]
    overflowed = tf.cast(~tf.reduce_all(tf.stack(finite)), "float32")
    overflowed = context.all_reduce(tf.distribute.ReduceOp.SUM, overflowed)
    poison = tf.where(overflowed > 0, float("nan"), 0.0)
    return [None if g is None else g + tf.cast(poison, g.dtype) for g in gradients]
