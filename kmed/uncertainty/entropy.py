"""How much the members of an ensemble disagree, in nats, from their probabilities."""

from __future__ import annotations

import numpy as np

from kmed.uncertainty.mean_logits import KINDS


def predictive_entropy(probabilities: np.ndarray, kind: str = "softmax") -> np.ndarray:
    """Entropy of the mean prediction: how unsure the ensemble is, for whatever reason.

    Reference: Gal 2016, "Uncertainty in Deep Learning", section 3.3.1.

    Args:
        probabilities: `(M, N, ..., K)` of M members, N examples (and their voxels) and K classes.
        kind: "softmax" (one class of K is true) or "sigmoid" (each label by itself; the entropies
            of the labels are summed).

    Returns:
        `(N, ...)` float64 in nats: 0 to log K, or to K log 2 for sigmoid.

    Raises:
        ValueError: if the probabilities have no member and class axis, lie outside of [0, 1], or
            do not add up to 1 where they should.

    Example:
        >>> members = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
        >>> predictive_entropy(members).round(4).tolist()
        [0.6931]
    """
    return _entropy(_checked(probabilities, kind).mean(axis=0), kind)


def expected_entropy(probabilities: np.ndarray, kind: str = "softmax") -> np.ndarray:
    """Mean entropy of the members' predictions: what is unsure in the data.

    Reference: Depeweg et al. 2018, "Decomposition of Uncertainty in Bayesian Deep Learning".

    Args:
        probabilities: `(M, N, ..., K)`, see `predictive_entropy`.
        kind: "softmax" or "sigmoid".

    Returns:
        `(N, ...)` float64 in nats; never more than the predictive entropy.

    Raises:
        ValueError: as `predictive_entropy`.
    """
    return _entropy(_checked(probabilities, kind), kind).mean(axis=0)


def mutual_information(probabilities: np.ndarray, kind: str = "softmax") -> np.ndarray:
    """Predictive less expected entropy: what the members disagree about.

    Reference: Houlsby et al. 2011, "Bayesian Active Learning for Classification and Preference
    Learning" (BALD).

    Args:
        probabilities: `(M, N, ..., K)`, see `predictive_entropy`.
        kind: "softmax" or "sigmoid".

    Returns:
        `(N, ...)` float64 in nats, 0 where all members agree.

    Raises:
        ValueError: as `predictive_entropy`.

    Example:
        >>> sure = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])  # each sure, of different classes
        >>> unsure = np.array([[[0.5, 0.5]], [[0.5, 0.5]]])  # both unsure
        >>> mutual_information(sure).round(4).tolist(), mutual_information(unsure).tolist()
        ([0.6931], [0.0])
    """
    difference = predictive_entropy(probabilities, kind) - expected_entropy(probabilities, kind)
    return np.maximum(difference, 0.0)  # below 0 by rounding only (Jensen's inequality)


def _entropy(p, kind):
    if kind == "sigmoid":
        return (_information(p) + _information(1 - p)).sum(axis=-1)
    return _information(p).sum(axis=-1)


def _information(p):
    return -p * np.log(np.where(p > 0, p, 1.0))


def _checked(probabilities, kind):
    p = np.asarray(probabilities, "float64")
    if kind not in KINDS:
        raise ValueError(f"`kind` must be one of {KINDS}; received {kind!r}")
    if p.ndim < 3 or not p.shape[0]:
        raise ValueError(
            "`probabilities` must be (members, examples, ..., classes), with one member or more; "
            f"received shape {p.shape}"
        )
    if p.size and not (p.min() >= 0 and p.max() <= 1):
        raise ValueError(
            f"`probabilities` must lie in [0, 1]; received {p.min():.3g} to {p.max():.3g}"
        )
    if kind == "softmax" and p.size and np.abs(p.sum(axis=-1) - 1).max() > 1e-3:
        raise ValueError(
            "`probabilities` of one example must add up to 1 over the classes; received sums of "
            f"{p.sum(axis=-1).min():.4g} to {p.sum(axis=-1).max():.4g}. For labels that may hold "
            'together use kind="sigmoid"'
        )
    return p
