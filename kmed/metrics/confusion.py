"""Confusion matrix and the measures that follow from it.

They take a matrix `(..., K, K)`, rows the truth, and so serve one matrix, one per class against the
rest, and one per bootstrap sample.
"""

from __future__ import annotations

import numpy as np

from kmed.metrics.weighting import plain, ratio, row_weights


def confusion_matrix(
    truth: np.ndarray,
    prediction: np.ndarray,
    classes: int,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Counts the examples of each true class (row) by predicted class (column).

    Args:
        truth: `(N,)` class indices.
        prediction: `(N,)` class indices.
        classes: number of classes K.
        weights: how often each example counts: None for once, `(N,)`, or `(R, N)` for R samples.

    Returns:
        `(K, K)` or `(R, K, K)`; int64 without weights, otherwise float64.

    Raises:
        ValueError: for shapes that differ, or an index that is no class.

    Example:
        >>> confusion_matrix([0, 0, 1], [0, 1, 1], 2).tolist()
        [[1, 1], [0, 1]]
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if truth.ndim != 1 or truth.shape != prediction.shape:
        raise ValueError(
            "`truth` and `prediction` must be one-dimensional and equally long; received shapes "
            f"{truth.shape} and {prediction.shape}"
        )
    for name, values in (("truth", truth), ("prediction", prediction)):
        outside = ~np.isin(values, np.arange(classes))
        if outside.any():
            raise ValueError(
                f"`{name}` must hold class indices 0..{classes - 1}; received {values[outside][0]}"
            )
    cells = truth.astype("int64") * classes + prediction.astype("int64")
    if weights is None:
        return np.bincount(cells, minlength=classes**2).reshape(classes, classes)
    weights = row_weights(weights, len(truth))
    order = np.argsort(cells, kind="stable")
    ranked = cells[order]
    first = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))
    matrix = np.zeros((*weights.shape[:-1], classes**2))
    matrix[..., ranked[first]] = np.add.reduceat(weights[..., order], first, axis=-1)
    return matrix.reshape(*weights.shape[:-1], classes, classes)


def one_against_rest(matrix: np.ndarray) -> np.ndarray:
    """Turns a matrix of K classes into K matrices of two: the rest (0) and the class (1).

    Args:
        matrix: `(..., K, K)`, rows the truth.

    Returns:
        `(..., K, 2, 2)`.

    Raises:
        ValueError: if the matrix is not square.

    Example:
        >>> one_against_rest([[2, 0, 1], [0, 3, 0], [1, 1, 4]])[2].tolist()
        [[5, 1], [2, 4]]
    """
    matrix = _square(matrix)
    hit = np.diagonal(matrix, axis1=-2, axis2=-1)
    missed = matrix.sum(axis=-1) - hit
    wrong = matrix.sum(axis=-2) - hit
    rest = matrix.sum(axis=(-2, -1))[..., None] - hit - missed - wrong
    return np.stack([np.stack([rest, wrong], -1), np.stack([missed, hit], -1)], -2)


def accuracy(matrix: np.ndarray) -> float | np.ndarray:
    """Returns the share of examples whose class was found.

    Args:
        matrix: `(..., K, K)`, rows the truth.

    Returns:
        A float or `(...,)`.

    Example:
        >>> accuracy([[8, 2], [0, 10]])
        0.9
    """
    matrix = _square(matrix)
    return plain(ratio(np.trace(matrix, axis1=-2, axis2=-1), matrix.sum(axis=(-2, -1))))


def sensitivity(matrix: np.ndarray) -> np.ndarray:
    """Returns the share of each class' examples that was found (recall, true positive rate).

    Args:
        matrix: `(..., K, K)`, rows the truth.

    Returns:
        `(..., K)`; NaN for a class without examples. Of a matrix of two, `[..., 1]` is the
        positives' and `[..., 0]` the specificity.

    Example:
        >>> sensitivity([[8, 2], [0, 10]]).tolist()
        [0.8, 1.0]
    """
    matrix = _square(matrix)
    return ratio(np.diagonal(matrix, axis1=-2, axis2=-1), matrix.sum(axis=-1))


def specificity(matrix: np.ndarray) -> np.ndarray:
    """Returns the share of the other classes' examples that was not taken for each class.

    Args:
        matrix: `(..., K, K)`, rows the truth.

    Returns:
        `(..., K)`; NaN for a class that all examples have.

    Example:
        >>> specificity([[8, 2], [0, 10]]).tolist()
        [1.0, 0.8]
    """
    binary = one_against_rest(matrix)
    return ratio(binary[..., 0, 0], binary[..., 0, :].sum(axis=-1))


def f1(matrix: np.ndarray) -> np.ndarray:
    """Returns F1, the harmonic mean of precision and sensitivity, of each class.

    2 TP / (2 TP + FP + FN), which is the Dice coefficient of the two sets of examples. The macro F1
    is its mean over the classes.

    Args:
        matrix: `(..., K, K)`, rows the truth.

    Returns:
        `(..., K)`; 0 for a class that was never found, NaN for one without examples, whose
        sensitivity is not known.

    Example:
        >>> f1([[8, 2], [0, 10]]).round(4).tolist()
        [0.8889, 0.9091]
    """
    matrix = _square(matrix)
    hit, true = np.diagonal(matrix, axis1=-2, axis2=-1), matrix.sum(axis=-1)
    return np.where(true > 0, ratio(2 * hit, true + matrix.sum(axis=-2)), np.nan)


def balanced_accuracy(matrix: np.ndarray) -> float | np.ndarray:
    """Returns the mean sensitivity of the classes, however rare each is.

    Args:
        matrix: `(..., K, K)`, rows the truth.

    Returns:
        A float or `(...,)`; NaN if a class has no example.

    Example:
        >>> balanced_accuracy([[8, 2], [0, 10]])
        0.9
    """
    return plain(sensitivity(matrix).mean(axis=-1))


def _square(matrix):
    matrix = np.asarray(matrix)
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2]:
        raise ValueError(f"a confusion matrix must have shape (..., K, K); received {matrix.shape}")
    return matrix
