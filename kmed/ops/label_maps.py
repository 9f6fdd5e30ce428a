"""Integer label maps against class logits: validation, soft region sums, cross-entropy.

What the segmentation losses share. On two CPU cores the time goes into short inner axes, so the
voxels become the last axis here, two classes become one sigmoid, and labels are never a float
one-hot tensor: Dice and cross-entropy of two classes, with their gradient, take a third of the time
of Keras' sparse categorical cross-entropy alone.
"""

from __future__ import annotations

from typing import NamedTuple

from keras import ops


class Voxels(NamedTuple):
    """Label maps and logits of a batch with the N voxels of each example in one last axis.

    Attributes:
        labels: `(B, N)` int32, -1 where the voxel does not count.
        logits: `(B, K, N)` float32; `(B, 1, N)` for one or two classes, where it is the logit of
            class 1 against class 0.
        valid: `(B, N)` boolean, the voxels that count, or None for all.
        classes: number of classes K of the network, 1 for a single sigmoid.
    """

    labels: object
    logits: object
    valid: object
    classes: int


class RegionSums(NamedTuple):
    """Sums over the voxels of each example, float32.

    Attributes:
        intersection: `(B, C)`, sum of p * g.
        predicted: `(B, C)`, sum of p, or of p squared.
        truth: `(B, C)`, sum of g, the class' voxels.
        volume: `(B, C)`, sum of p.
        voxels: `(B, 1)`, voxels that count.
    """

    intersection: object
    predicted: object
    truth: object
    volume: object
    voxels: object


def voxels(labels, logits, ignore_class: int | None = None) -> Voxels:
    """Checks a label map against logits and brings both into the form that losses compute in.

    Args:
        labels: `(B, H, W)` or `(B, D, H, W)` class indices, or the same with a last axis of 1.
        logits: `(B, H, W, K)` or `(B, D, H, W, K)`, any float type.
        ignore_class: label of voxels that do not count, or None.

    Returns:
        Voxels.

    Raises:
        ValueError: if the shapes do not belong together.

    Example:
        >>> import numpy as np
        >>> tuple(voxels(np.zeros((2, 4, 4, 1), "uint8"), np.zeros((2, 4, 4, 3))).logits.shape)
        (2, 3, 16)
    """
    labels, logits = ops.convert_to_tensor(labels), ops.convert_to_tensor(logits)
    _check_shapes(tuple(labels.shape), tuple(logits.shape))
    batch, classes = ops.shape(logits)[0], logits.shape[-1]
    labels = ops.cast(ops.reshape(labels, (batch, -1)), "int32")
    logits = ops.cast(logits, "float32")
    if classes == 2:
        background, foreground = ops.split(logits, 2, axis=-1)
        logits = foreground - background
    if classes > 2:
        logits = ops.transpose(ops.reshape(logits, (batch, -1, classes)), (0, 2, 1))
    else:
        logits = ops.reshape(logits, (batch, 1, -1))
    if ignore_class is None:
        return Voxels(labels, logits, None, classes)
    valid = ops.not_equal(labels, ignore_class)
    return Voxels(ops.where(valid, labels, -1), logits, valid, classes)


def nan_if_out_of_range(v: Voxels):
    """Returns `(B,)` zeros, but NaN for an example with a label that is no class.

    A compiled graph cannot raise; NaN is seen, a wrong label counted as background is not.
    """
    labels = v.labels if v.valid is None else ops.where(v.valid, v.labels, 0)
    low, high = ops.min(labels, axis=1), ops.max(labels, axis=1)
    wrong = ops.logical_or(ops.less(low, 0), ops.greater_equal(high, max(v.classes, 2)))
    return ops.where(wrong, float("nan"), 0.0)


def region_sums(v: Voxels, *, include_background: bool = True, squared: bool = False) -> RegionSums:
    """Sums that every overlap loss (Dice, generalised Dice, Tversky) is made of.

    One logit per voxel means sigmoid and one class, the foreground (label 1); otherwise softmax.

    Args:
        v: the voxels.
        include_background: False leaves class 0 out (one logit has no background class).
        squared: `predicted` sums p squared, as in V-Net.

    Returns:
        RegionSums with C = K, or K - 1 without background, or 1 for one logit.
    """
    first = 0 if include_background and v.classes > 1 else 1
    if v.classes > 2:
        p = ops.exp(_log_softmax(v.logits)[:, first:])
    elif first == 0:
        p = ops.sigmoid(ops.concatenate([-v.logits, v.logits], axis=1))
    else:
        p = ops.sigmoid(v.logits)
    classes = ops.arange(first, max(v.classes, 2), dtype="int32")[:, None]
    hot = ops.equal(v.labels[:, None], classes)  # (B, C, N)
    if v.valid is not None:
        p = ops.where(v.valid[:, None], p, 0.0)
    volume = ops.sum(p, axis=-1)
    return RegionSums(
        intersection=ops.sum(ops.where(hot, p, 0.0), axis=-1),
        predicted=ops.sum(ops.square(p), axis=-1) if squared else volume,
        truth=ops.sum(ops.cast(hot, "float32"), axis=-1),
        volume=volume,
        voxels=_count(v)[:, None],
    )


def voxel_cross_entropy(v: Voxels):
    """Cross-entropy of every voxel, natural logarithm: `(B, N)`, 0 where a voxel is ignored."""
    if v.classes > 2:
        hot = ops.equal(v.labels[:, None], ops.arange(v.classes, dtype="int32")[:, None])
        return -ops.sum(ops.where(hot, _log_softmax(v.logits), 0.0), axis=1)
    logit = v.logits[:, 0]
    loss = ops.softplus(ops.where(ops.equal(v.labels, 1), -logit, logit))
    return loss if v.valid is None else ops.where(v.valid, loss, 0.0)


def mean_over_voxels(losses, v: Voxels, weights=None):
    """Averages `(B, N)` over the voxels that count, after weighting: `(B,)`.

    The divisor is the number of voxels, not the sum of the weights: a weight of 2 counts twice, as
    in Keras' own reduction and in the sum of the U-Net paper.
    """
    if weights is not None:
        losses = losses * weights
    return ops.sum(losses, axis=1) / ops.maximum(_count(v), 1.0)


def _log_softmax(logits):
    """Log-softmax over axis 1; three times faster than over a short last axis on a CPU."""
    logits = logits - ops.stop_gradient(ops.max(logits, axis=1, keepdims=True))
    return logits - ops.log(ops.sum(ops.exp(logits), axis=1, keepdims=True))


def _count(v: Voxels):
    if v.valid is not None:
        return ops.sum(ops.cast(v.valid, "float32"), axis=1)
    shape = ops.shape(v.labels)
    return ops.ones((shape[0],), "float32") * ops.cast(shape[1], "float32")


def _check_shapes(truth: tuple, prediction: tuple) -> None:
    if len(prediction) not in (4, 5) or prediction[-1] is None:
        raise ValueError(
            "`y_pred` must be logits of shape (B, H, W, K) or (B, D, H, W, K) with a known number "
            f"of classes K; received {prediction}"
        )
    if len(truth) == len(prediction) and truth[-1] == 1:
        truth = truth[:-1]
    if len(truth) == len(prediction) and truth[-1] == prediction[-1]:
        raise ValueError(
            "`y_true` must hold integer class indices, not one-hot vectors: pass "
            f"numpy.argmax(y_true, -1); received y_true {truth}, y_pred {prediction}"
        )
    if len(truth) != len(prediction) - 1 or any(
        t is not None and p is not None and t != p
        for t, p in zip(truth, prediction[:-1], strict=True)
    ):
        raise ValueError(
            "`y_true` must have the shape of `y_pred` without its last axis (or with 1 there); "
            f"received y_true {truth}, y_pred {prediction}"
        )
