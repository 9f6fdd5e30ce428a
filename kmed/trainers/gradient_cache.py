"""Gradients of a loss over a whole batch whose activations need not all be held at once.

Reference: Gao, Zhang, Han and Callan 2021, "Scaling Deep Contrastive Learning Batch Size under
Memory Limited Setup", section 3.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

# Of inputs and the chunk's number: outputs by name, and scalars to be added to the loss.
Embed = Callable[[Mapping, int], tuple[Mapping, Sequence]]
# Of the gradients at the outputs: those of the weights, None where a weight has none.
Backward = Callable[[Mapping], list]


def recorded(
    embed: Embed, x: Mapping, weights: Sequence[tf.Variable], chunk: int = 0
) -> tuple[Mapping, Backward]:
    """Run a network and hold its activations.

    Args:
        embed: the network.
        x: its inputs, by name.
        weights: what gradients are wanted of.
        chunk: number that `embed` is told.

    Returns:
        Outputs by name, and the function from the gradients there to those of the weights, with
        the added scalars' own.

    Example:
        >>> weight = tf.Variable(3.0)
        >>> double = lambda x, chunk: ({"y": weight * x["x"]}, [])
        >>> outputs, backward = recorded(double, {"x": tf.constant([2.0])}, [weight])
        >>> backward({"y": tf.constant([10.0])})[0].numpy().item()
        20.0
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(weights)
        outputs, penalties = embed(x, chunk)

    def backward(gradients):
        targets = [*outputs.values(), *penalties]
        seeds = [*(gradients[name] for name in outputs), *map(tf.ones_like, penalties)]
        found = tape.gradient(targets, weights, output_gradients=seeds)
        # The gradient of a table of words is sparse.
        return [None if g is None else tf.convert_to_tensor(g) for g in found]

    return outputs, backward


def cached(
    embed: Embed,
    x: Mapping,
    weights: Sequence[tf.Variable],
    state: Sequence[Any],
    chunks: int,
) -> tuple[Mapping, Backward]:
    """Run a network chunk by chunk, twice: for its outputs, and again for the gradients.

    Args:
        embed: the network. It gives the same outputs again for the same chunk and state.
        x: its inputs, by name, each of `chunks` rows or more.
        weights: what gradients are wanted of.
        state: variables that a run changes and that are to change once, such as the averages of
            batch normalisation.
        chunks: number of parts.

    Returns:
        As `recorded`.
    """
    before = [tf.identity(variable.value) for variable in state]
    parts, done = [], []
    for chunk, part in enumerate(_cut(x, chunks)):
        with tf.control_dependencies(done):  # else a graph may run all of them at once
            outputs, _ = embed(part, chunk)
        parts.append(outputs)
        done = list(outputs.values())
    outputs = {name: tf.concat([part[name] for part in parts], axis=0) for name in parts[0]}

    def backward(gradients):
        done = list(gradients.values())
        with tf.control_dependencies(done):
            for variable, value in zip(state, before, strict=True):
                variable.assign(value)
        total = [None] * len(weights)
        pieces = zip(_cut(x, chunks), _cut(gradients, chunks), strict=True)
        for chunk, (part, wanted) in enumerate(pieces):
            with tf.control_dependencies(done):
                found = recorded(embed, part, weights, chunk)[1](wanted)
            total = [_sum(a, b) for a, b in zip(total, found, strict=True)]
            done = [gradient for gradient in total if gradient is not None]
        return total

    return outputs, backward


def _cut(rows, chunks):
    """Dictionaries of consecutive rows, nearly equal in number."""
    parts = [{} for _ in range(chunks)]
    for name, value in rows.items():
        count = value.shape[0]
        rule = f"a replica's part of a batch must have a row for each of the {chunks} chunks"
        if count is None:
            count = tf.shape(value)[0]
            tf.debugging.assert_greater_equal(count, chunks, rule)
        elif count < chunks:
            raise ValueError(f"{rule}; received {count}. Take a larger batch or fewer chunks")
        for i in range(chunks):
            parts[i][name] = value[i * count // chunks : (i + 1) * count // chunks]
    return parts


def _sum(a, b):
    if a is None or b is None:
        return b if a is None else a
    return a + b
