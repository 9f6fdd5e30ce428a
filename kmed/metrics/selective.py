"""Selective prediction: how the error falls when the least sure examples go to a person."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class RiskCoverageCurve(NamedTuple):
    """The mean loss of the examples that are kept, for every number kept.

    Attributes:
        coverage: `(N,)` share kept, from 1 / N to 1.
        risk: `(N,)` their mean loss.
    """

    coverage: np.ndarray
    risk: np.ndarray


def risk_coverage_curve(losses: np.ndarray, confidence: np.ndarray) -> RiskCoverageCurve:
    """Returns the mean loss of the surest n examples, for n = 1..N.

    Of examples that are equally sure, any may be the next: each step takes their mean loss, the
    expectation over their orders.

    Reference:
        El-Yaniv, Wiener: On the foundations of noise-free selective classification, JMLR 11 (2010).
        Geifman, El-Yaniv: Selective classification for deep neural networks, NeurIPS 2017.

    Args:
        losses: `(N,)`, 0 for a right decision and 1 for a wrong one, or any other loss.
        confidence: `(N,)`, larger for surer: `kmed.metrics.decision_confidence`, or an
            uncertainty with its sign changed.

    Returns:
        RiskCoverageCurve; its last risk is the mean loss of all.

    Raises:
        ValueError: for shapes that differ, no example, or values that are not finite.

    Example:
        >>> curve = risk_coverage_curve([0, 1, 0, 1], [0.9, 0.6, 0.8, 0.7])
        >>> curve.coverage.tolist(), curve.risk.round(3).tolist()
        ([0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 0.333, 0.5])
    """
    losses, confidence = np.asarray(losses, "float64"), np.asarray(confidence, "float64")
    if losses.ndim != 1 or losses.shape != confidence.shape or not len(losses):
        raise ValueError(
            "`losses` and `confidence` must be one-dimensional, equally long and not empty; "
            f"received shapes {losses.shape} and {confidence.shape}"
        )
    if not (np.isfinite(losses).all() and np.isfinite(confidence).all()):
        raise ValueError("`losses` and `confidence` must be finite")
    _, group = np.unique(-confidence, return_inverse=True)  # 0 for the surest
    mean = np.bincount(group, losses) / np.bincount(group)
    kept = np.arange(1, len(losses) + 1)
    risk = np.cumsum(mean[np.sort(group)]) / kept
    return RiskCoverageCurve(kept / len(losses), risk)


def risk_coverage_area(losses: np.ndarray, confidence: np.ndarray) -> float:
    """Returns the area under the risk-coverage curve (AURC), the mean risk over all coverages.

    It judges the decisions and how they are ranked by confidence together; a confidence that says
    nothing gives the mean loss itself.

    Reference:
        Geifman, Uziel, El-Yaniv: Bias-reduced uncertainty estimation for deep neural classifiers,
        ICLR 2019, section 2.

    Args:
        losses: `(N,)`.
        confidence: `(N,)`, larger for surer.

    Returns:
        A float; lower is better, 0 if all losses are.

    Raises:
        ValueError: as `risk_coverage_curve`.

    Example:
        >>> round(risk_coverage_area([0, 1, 0, 1], [0.9, 0.6, 0.8, 0.7]), 4)
        0.2083
        >>> risk_coverage_area([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5])
        0.5
    """
    return float(risk_coverage_curve(losses, confidence).risk.mean())
