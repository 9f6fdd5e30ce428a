"""Risk and coverage against sorting by hand and against all orders of ties."""

import itertools

import numpy as np
import pytest

from kmed.metrics import risk_coverage_area, risk_coverage_curve


def test_by_sorting():
    rng = np.random.default_rng(0)
    losses, confidence = rng.integers(0, 2, 30), rng.random(30)
    curve = risk_coverage_curve(losses, confidence)
    for n in range(1, 31):
        kept = np.argsort(-confidence)[:n]
        assert curve.risk[n - 1] == pytest.approx(losses[kept].mean())
        assert curve.coverage[n - 1] == pytest.approx(n / 30)
    assert risk_coverage_area(losses, confidence) == pytest.approx(curve.risk.mean())


def test_ties_are_averaged_over_their_orders():
    losses, confidence = np.array([0, 1, 0, 1, 1]), np.array([0.9, 0.5, 0.5, 0.5, 0.1])
    orders = [[0, *middle, 4] for middle in itertools.permutations([1, 2, 3])]
    expected = np.mean([losses[order].cumsum() / np.arange(1, 6) for order in orders], axis=0)
    np.testing.assert_allclose(risk_coverage_curve(losses, confidence).risk, expected)


def test_its_ends():
    # One error of four, rejected first or last.
    assert risk_coverage_area([0, 0, 0, 1], [4, 3, 2, 1]) == pytest.approx(0.25 / 4)
    worst = (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4
    assert risk_coverage_area([0, 0, 0, 1], [1, 2, 3, 4]) == pytest.approx(worst)
    assert risk_coverage_area([0, 0], [1, 2]) == 0


def test_refusals():
    with pytest.raises(ValueError, match="equally long"):
        risk_coverage_curve([0], [0.1, 0.2])
    with pytest.raises(ValueError, match="not empty"):
        risk_coverage_curve([], [])
    with pytest.raises(ValueError, match="finite"):
        risk_coverage_curve([0], [np.nan])
