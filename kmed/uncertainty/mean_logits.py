"""The logits whose probabilities are the mean of several members' probabilities."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

KINDS = ("softmax", "sigmoid")


@keras.saving.register_keras_serializable("kmed")
class MeanLogits(keras.layers.Layer):
    """Average the members' probabilities and give the mean's logits.

    Takes `(members * B, ..., K)`, one member's whole batch after the other's, and gives
    `(B, ..., K)`. Softmax: the logarithm of the mean probability. Sigmoid: the logit of the mean.
    Probabilities are averaged, not logits, as in Lakshminarayanan et al. 2017; all is done in
    logarithms, so that a certain member does not round to a probability of 1.

    Args:
        members: how many members there are.
        kind: "softmax" (K classes of which one is true) or "sigmoid" (each by itself).

    Example:
        >>> rows = ops.log(ops.array([[0.5, 0.5], [0.9, 0.1]]))
        >>> mean = ops.exp(MeanLogits(2, "softmax")(rows))
        >>> [round(float(p), 4) for p in mean[0]]
        [0.7, 0.3]
    """

    def __init__(self, members: int, kind: str, **kwargs):
        """Check the arguments."""
        # float32 under mixed precision too: heads give float32 logits.
        super().__init__(**({"dtype": "float32"} | kwargs))
        if members < 1:
            raise ValueError(f"`members` must be at least 1; received {members}")
        if kind not in KINDS:
            raise ValueError(f"`kind` must be one of {KINDS}; received {kind!r}")
        self.members, self.kind = int(members), kind

    def call(self, rows):
        """Average `rows` (members * B, ..., K)."""
        shape = (-1, *ops.shape(rows)[1:])
        if self.kind == "softmax":
            return ops.reshape(self._log_mean(ops.log_softmax(rows, axis=-1)), shape)
        true, false = self._log_mean(_log_sigmoid(rows)), self._log_mean(_log_sigmoid(-rows))
        return ops.reshape(true - false, shape)

    def _log_mean(self, logarithms):
        # Flat, (members, B * ... * K): the same few operators for every rank.
        flat = ops.reshape(logarithms, (self.members, -1))
        largest = ops.max(flat, axis=0, keepdims=True)
        mean = ops.mean(ops.exp(flat - largest), axis=0, keepdims=True)
        return largest + ops.log(mean)

    def compute_output_shape(self, input_shape):
        """Batch of one member."""
        rows = input_shape[0]
        return (None if rows is None else rows // self.members, *input_shape[1:])

    def get_config(self):
        """Arguments that rebuild the layer."""
        return super().get_config() | {"members": self.members, "kind": self.kind}


def kind_of(kind: str | None, classes: int) -> str:
    """Check a kind of probabilities, or choose it.

    Args:
        kind: "softmax", "sigmoid" or None: softmax, and sigmoid for a network of one logit.
        classes: number of logits.

    Returns:
        "softmax" or "sigmoid".

    Raises:
        ValueError: if the kind is unknown, or softmax of one logit.
    """
    if kind is None:
        return "sigmoid" if classes == 1 else "softmax"
    if kind not in KINDS:
        raise ValueError(f"`kind` must be one of {KINDS} or None; received {kind!r}")
    if kind == "softmax" and classes == 1:
        raise ValueError(
            'a softmax of one logit is always 1: use kind="sigmoid" for the network, which has '
            "one output"
        )
    return kind


def member_probabilities(
    model: keras.Model, images: np.ndarray, *, batch_size: int = 8
) -> np.ndarray:
    """Probabilities of every member of a wrapped network.

    Args:
        model: what `ensemble`, `monte_carlo_dropout` or `test_time_augmentation` gave. Of nested
            wrappers the outermost one's members are taken.
        images: `(N, [D,] H, W, C)` as the network takes them.
        batch_size: images at once.

    Returns:
        float32 `(M, N, ..., K)`; of M members.

    Raises:
        ValueError: if the model is no wrapped network.
    """
    last = model.layers[-1]
    if not isinstance(last, MeanLogits):
        raise ValueError(
            "`model` must come from `ensemble`, `monte_carlo_dropout` or "
            f'`test_time_augmentation`; received "{model.name}", which ends in a '
            f"{type(last).__name__}"
        )
    rows = keras.Model(model.inputs, last.input)
    batches = []
    for start in range(0, len(images), batch_size):
        batch = ops.convert_to_tensor(images[start : start + batch_size], "float32")
        logits = ops.cast(rows(batch, training=False), "float32")
        activate = ops.softmax if last.kind == "softmax" else ops.sigmoid
        values = ops.convert_to_numpy(activate(logits))
        batches.append(values.reshape(last.members, len(batch), *values.shape[1:]))
    return np.concatenate(batches, axis=1)


def _log_sigmoid(x):
    # Not ops.log_sigmoid: TFLite has no softplus.
    return ops.minimum(x, 0.0) - ops.log(1.0 + ops.exp(-ops.abs(x)))
