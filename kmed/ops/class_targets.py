"""Targets of whole images: class indices, or soft targets, as one probability per class."""

from __future__ import annotations

from keras import ops

#: What the label of a whole image can be. binary: one of two classes; multiclass: one of several;
#: multilabel: any number of several; ordinal: one of several that have an order, such as grades.
KINDS = ("binary", "multiclass", "multilabel", "ordinal")


def class_targets(targets, classes: int, *, exclusive: bool = True):
    """Turns class indices or soft targets into `(B, K)` float32, NaN where they are neither.

    A compiled graph cannot raise; NaN is seen, a label -1 that is silently no class is not.

    Args:
        targets: `(B,)` or `(B, 1)` class indices; or `(B, K)` soft targets, as mixup and cutmix
            give them, and for classes that do not exclude each other 0 or 1 of each.
        classes: number of classes K.
        exclusive: whether an example has one class, so that its targets sum to 1.

    Returns:
        `(B, K)` float32. The row of an index that is no class, of targets outside 0..1 and of
        exclusive ones that do not sum to 1 is NaN.

    Raises:
        ValueError: if the shape is none of these.

    Example:
        >>> class_targets([0, 2], 3).numpy().tolist()
        [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    targets = ops.cast(ops.convert_to_tensor(targets), "float32")
    shape = tuple(targets.shape)
    if len(shape) == 2 and shape[-1] == classes:
        wrong = ops.any((targets < 0) | (targets > 1), axis=-1)
        if exclusive:
            # 1e-2 leaves room for targets mixed in half precision.
            wrong = wrong | (ops.abs(ops.sum(targets, axis=-1) - 1) > 1e-2)
        return ops.where(wrong[:, None], float("nan"), targets)
    if not exclusive or len(shape) not in (1, 2) or (len(shape) == 2 and shape[-1] != 1):
        indices = "(B,) or (B, 1) class indices or " if exclusive else ""
        raise ValueError(
            f"`y_true` must be {indices}(B, {classes}) targets for {classes} classes; "
            f"received shape {shape}"
        )
    targets = ops.reshape(targets, (-1, 1))
    known = ops.equal(targets, ops.arange(classes, dtype="float32"))  # (B, K)
    hot = ops.cast(known, "float32")
    return ops.where(ops.any(known, axis=-1, keepdims=True), hot, float("nan"))
