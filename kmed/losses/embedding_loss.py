"""What every loss of embeddings here has in common: a batch with labels, or two modalities."""

from __future__ import annotations

from abc import ABC, abstractmethod

import keras
from keras import ops

from kmed.ops.distances import at_least_float32
from kmed.ops.mining import label_pairs


class EmbeddingLoss(keras.losses.Loss, ABC):
    """A loss of embeddings; subclasses write `between`.

    Called as Keras calls losses, it takes labels and the embeddings of one batch. `cross` takes
    anchors of one modality and a gallery of another, and which pairs match. Both are computed in
    float32, whatever the type of the embeddings.

    The value is one of the whole batch, as each item's part depends on the others. So by default
    Keras does not reduce it, and N replicas must gather their embeddings before they call it.

    Attributes:
        learnable: names and initial values of the numbers that are trained with the network.
            Whoever trains owns them, and gives them to `cross` by name.

    Args:
        reduction: how Keras joins values; a loss of the batch is a scalar already.
        name: name of the loss.
        dtype: Keras' type of the result, not of the computation. Keras brings labels to this type
            too: above 2 ** 24 float32 no longer tells them apart.
    """

    def __init__(self, *, reduction: str | None = None, name: str | None = None, dtype=None):
        """Takes the arguments that the class describes."""
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.learnable: dict[str, float] = {}

    def call(self, y_true, y_pred):
        """Returns the loss of a batch, a scalar.

        Args:
            y_true: `(B,)` or `(B, 1)` labels: items of equal label match.
            y_pred: `(B, D)` embeddings.

        Raises:
            ValueError: for labels of another shape, or another number of them.
        """
        return self.cross(y_pred, y_pred, *label_pairs(y_true))

    def cross(self, anchors, gallery, positive, negative, **learned):
        """Returns the loss of one direction, a scalar: 0 where nothing can be learnt.

        Args:
            anchors: `(A, D)` embeddings of one modality.
            gallery: `(G, D)` embeddings of the other, among them those that match.
            positive: `(A, G)` bool, which match.
            negative: `(A, G)` bool, which are counterexamples. A pair may be neither.
            **learned: values of what `learnable` names; by default the initial ones.

        Raises:
            ValueError: if shapes do not fit, or a name is not in `learnable`.
        """
        if unknown := set(learned) - set(self.learnable):
            raise ValueError(
                f"{type(self).__name__} learns {sorted(self.learnable) or 'nothing'}; "
                f"received {sorted(unknown)}"
            )
        # Distances of one tensor to itself are 0 on the diagonal: it must remain one tensor.
        itself = gallery is anchors
        anchors = at_least_float32(anchors)
        gallery = anchors if itself else ops.cast(gallery, anchors.dtype)
        positive, negative = ops.convert_to_tensor(positive), ops.convert_to_tensor(negative)
        _check_shapes(anchors, gallery, positive, negative)
        learned = {n: ops.cast(learned.get(n, v), anchors.dtype) for n, v in self.learnable.items()}
        return self.between(anchors, gallery, positive, ops.cast(negative, "bool"), **learned)

    @abstractmethod
    def between(self, anchors, gallery, positive, negative, **learned):
        """Returns the loss of checked tensors, a scalar; the arguments are those of `cross`."""


def at_least_zero(**numbers: float) -> tuple[float, ...]:
    """Check arguments that may not be negative.

    Args:
        **numbers: the arguments.

    Returns:
        The same, as floats.

    Raises:
        ValueError: for a negative one, or one that is not a number.
    """
    for name, value in numbers.items():
        if not float(value) >= 0:
            raise ValueError(f"`{name}` must be 0 or more; received {value}")
    return tuple(float(value) for value in numbers.values())


def above_zero(**numbers: float) -> tuple[float, ...]:
    """Check arguments that must be positive.

    Args:
        **numbers: the arguments.

    Returns:
        The same, as floats.

    Raises:
        ValueError: for one that is 0, negative or not a number.
    """
    for name, value in numbers.items():
        if not float(value) > 0:
            raise ValueError(f"`{name}` must be above 0; received {value}")
    return tuple(float(value) for value in numbers.values())


def _check_shapes(anchors, gallery, positive, negative):
    a, g, p, n = (tuple(x.shape) for x in (anchors, gallery, positive, negative))
    fit = len(a) == len(g) == len(p) == len(n) == 2
    # What a compiled function does not know, it cannot compare.
    pairs = fit and [(a[1], g[1]), *((m[i], s[0]) for m in (p, n) for i, s in enumerate((a, g)))]
    if not fit or any(None not in pair and pair[0] != pair[1] for pair in pairs):
        raise ValueError(
            "a loss of embeddings needs anchors (A, D), gallery (G, D), and which pairs match and "
            f"which do not, (A, G) each (or one label per item); received {a}, {g}, {p}, {n}"
        )
