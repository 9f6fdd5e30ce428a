"""Which pairs and triplets of a batch an embedding learns from: each anchor, and a gallery.

Everywhere `distances`, `positive` and `negative` are `(A, G)`: of A anchors and G items of the
gallery, which matches what and what may serve as a counterexample. A pair may be neither.
"""

from __future__ import annotations

from keras import ops

_FAR = 1e30  # beyond every distance and similarity, and finite in float32


def label_pairs(labels, *, itself: bool = False) -> tuple:
    """Compare the labels of a batch with each other.

    Args:
        labels: `(B,)` or `(B, 1)`, one number per item.
        itself: whether an item matches itself.

    Returns:
        Equal and different, each `(B, B)` bool.

    Raises:
        ValueError: for labels of another shape.

    Example:
        >>> positive, negative = label_pairs([4, 7, 4])
        >>> positive.numpy().astype(int).tolist(), negative.numpy().astype(int).tolist()
        ([[0, 0, 1], [0, 0, 0], [1, 0, 0]], [[0, 1, 0], [1, 0, 1], [0, 1, 0]])
    """
    labels = ops.convert_to_tensor(labels)
    if len(labels.shape) != 1 and tuple(labels.shape[1:]) != (1,):
        raise ValueError(
            "labels must be one number per item, shape (B,) or (B, 1), not one-hot vectors; "
            f"received {tuple(labels.shape)}"
        )
    labels = ops.reshape(labels, (-1,))
    equal = labels[:, None] == labels[None, :]
    if itself:
        return equal, ~equal
    return equal & ~ops.eye(ops.shape(labels)[0], dtype="bool"), ~equal


def masked_minimum(values, mask):
    """Give the least marked value of each row, 0 where none is marked.

    Args:
        values: `(A, G)`.
        mask: `(A, G)` bool.

    Returns:
        `(A,)`.

    Example:
        >>> values, mask = [[3.0, 1.0, 2.0], [1.0, 1.0, 1.0]], [[1, 0, 1], [0, 0, 0]]
        >>> masked_minimum(values, mask).numpy().tolist()
        [2.0, 0.0]
    """
    mask = ops.cast(mask, "bool")
    least = ops.min(ops.where(mask, values, _FAR), axis=1)
    return ops.where(ops.any(mask, axis=1), least, 0.0)


def masked_maximum(values, mask):
    """Give the greatest marked value of each row, 0 where none is marked.

    Args:
        values: `(A, G)`.
        mask: `(A, G)` bool.

    Returns:
        `(A,)`.

    Example:
        >>> values, mask = [[3.0, 1.0, 2.0], [1.0, 1.0, 1.0]], [[0, 1, 1], [0, 0, 0]]
        >>> masked_maximum(values, mask).numpy().tolist()
        [2.0, 0.0]
    """
    mask = ops.cast(mask, "bool")
    greatest = ops.max(ops.where(mask, values, -_FAR), axis=1)
    return ops.where(ops.any(mask, axis=1), greatest, 0.0)


def masked_logsumexp(values, mask, axis: int = 1):
    """Give the logarithm of the sum of the exponentials of the marked values.

    Args:
        values: `(A, G)`.
        mask: `(A, G)` bool.
        axis: over which axis.

    Returns:
        `(A,)` or `(G,)`; where nothing is marked about -1e30, whose exponential is 0.

    Example:
        >>> masked_logsumexp([[0.0, 0.0, 9.0]], [[True, True, False]]).numpy().round(4).tolist()
        [0.6930999755859375]
    """
    return ops.logsumexp(ops.where(mask, values, -_FAR), axis=axis)


def masked_mean(values, mask):
    """Give the mean of the marked values, 0 if none is marked.

    Args:
        values: any shape.
        mask: of that shape.

    Returns:
        A scalar.

    Example:
        >>> float(masked_mean([1.0, 2.0, 9.0], [True, True, False]))
        1.5
    """
    values = ops.where(mask, values, 0.0)
    count = ops.sum(ops.cast(mask, values.dtype))
    return ops.sum(values) / ops.maximum(count, 1.0)


def hard_triplets(distances, positive, negative) -> tuple:
    """Take of each anchor the farthest match and the nearest counterexample.

    Reference: Hermans, Beyer and Leibe 2017, "In defense of the triplet loss", equation 5.

    Args:
        distances: `(A, G)`.
        positive: `(A, G)` bool.
        negative: `(A, G)` bool.

    Returns:
        Distances to the match and to the counterexample, and whether the anchor has both: `(A,)`.

    Example:
        >>> near, far, valid = hard_triplets([[1.0, 2.0, 3.0]], [[1, 1, 0]], [[0, 0, 1]])
        >>> near.numpy().tolist(), far.numpy().tolist(), valid.numpy().tolist()
        ([2.0], [3.0], [True])
    """
    positive, negative = ops.cast(positive, "bool"), ops.cast(negative, "bool")
    valid = ops.any(positive, axis=1) & ops.any(negative, axis=1)
    return masked_maximum(distances, positive), masked_minimum(distances, negative), valid


def semi_hard_triplets(distances, positive, negative) -> tuple:
    """Take for each match the nearest counterexample that is farther than it.

    Where none is farther, the farthest there is, as in TensorFlow Addons. Found by sorting, so
    that A x G numbers are enough.

    Reference: Schroff, Kalenichenko and Philbin 2015, "FaceNet", section 3.2.

    Args:
        distances: `(A, G)`.
        positive: `(A, G)` bool.
        negative: `(A, G)` bool.

    Returns:
        Distances to the match and to its counterexample, and whether both exist: `(A, G)`.

    Example:
        >>> distances = [[2.0, 1.0, 4.0, 3.0]]
        >>> near, far, valid = semi_hard_triplets(distances, [[1, 0, 0, 0]], [[0, 1, 1, 1]])
        >>> far.numpy()[valid].tolist()
        [3.0]
    """
    distances = ops.convert_to_tensor(distances)
    positive, negative = ops.cast(positive, "bool"), ops.cast(negative, "bool")
    found = ops.stop_gradient(distances)
    # Sorted by distance; of equal ones the counterexamples first, as they are not farther.
    order = ops.argsort(~negative, axis=1)
    order = _take(order, ops.argsort(_take(found, order), axis=1))
    no_farther = ops.cumsum(ops.cast(_take(negative, order), "int32"), axis=1)
    no_farther = _take(no_farther, ops.argsort(order, axis=1))  # counterexamples, of each match
    nearest_first = ops.argsort(ops.where(negative, found, _FAR), axis=1)
    last = ops.sum(ops.cast(negative, "int32"), axis=1, keepdims=True) - 1
    rank = ops.maximum(ops.minimum(no_farther, last), 0)
    farther = _take(distances, _take(nearest_first, rank))
    return distances, farther, positive & (last >= 0)


def all_triplets(distances, positive, negative) -> tuple:
    """Take every match with every counterexample of its anchor.

    How many matches there are is known only when it runs, which a compiled function of Keras' JAX
    backend cannot have.

    Reference: Hermans, Beyer and Leibe 2017, "In defense of the triplet loss", equation 6.

    Args:
        distances: `(A, G)`.
        positive: `(A, G)` bool.
        negative: `(A, G)` bool.

    Returns:
        Of M matches the distances to the match `(M, 1)` and to the counterexamples `(M, G)`, and
        which are counterexamples `(M, G)`.

    Example:
        >>> near, far, valid = all_triplets([[1.0, 2.0, 3.0]], [[1, 1, 0]], [[0, 0, 1]])
        >>> near.numpy().tolist(), far.numpy()[valid].tolist()
        ([[1.0], [2.0]], [3.0, 3.0])
    """
    distances = ops.convert_to_tensor(distances)
    anchors, matches = ops.nonzero(positive)
    far = ops.take(distances, anchors, axis=0)
    near = _take(far, matches[:, None])
    return near, far, ops.take(ops.cast(negative, "bool"), anchors, axis=0)


def _take(values, indices):
    return ops.take_along_axis(values, indices, axis=1)
