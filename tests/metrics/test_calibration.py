"""Calibration against loops, closed forms and scipy's own optimiser."""

import numpy as np
import pytest
from scipy import optimize, special

from kmed.metrics import (
    brier_score,
    expected_calibration_error,
    fit_temperature,
    reliability_curve,
)


def data(rows=200, seed=0):
    rng = np.random.default_rng(seed)
    p = rng.random(rows)
    return (rng.random(rows) < p**2).astype(int), p


def by_loops(outcomes, p, edges):
    total = 0.0
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        inside = (p > low) & (p <= high)
        if inside.any():
            total += inside.sum() / len(p) * abs(outcomes[inside].mean() - p[inside].mean())
    return total


def test_bins_of_equal_width():
    outcomes, p = data()
    expected = by_loops(outcomes, p, np.linspace(0, 1, 16))
    assert expected_calibration_error(outcomes, p) == pytest.approx(expected)
    curve = reliability_curve(outcomes, p)
    gap = curve.count @ abs(curve.frequency - curve.confidence) / 200
    assert gap == pytest.approx(expected) and curve.count.sum() == 200


def test_bins_of_equal_mass():
    outcomes, p = data()
    ends = np.concatenate([[-1], np.sort(p)[19::20]])  # ten bins of twenty
    expected = by_loops(outcomes, p, ends)
    found = expected_calibration_error(outcomes, p, bins=10, binning="mass")
    assert found == pytest.approx(expected)
    assert reliability_curve(outcomes, p, bins=10, binning="mass").count.tolist() == [20] * 10
    # Equal probabilities stay together, whatever the number of bins.
    curve = reliability_curve([0, 1, 1, 0], [0.5, 0.5, 0.5, 0.9], bins=4, binning="mass")
    assert curve.count.tolist() == [3, 1]


def test_by_hand():
    # 0.9 said ten times and true nine times; 0.6 said ten times and true four times.
    outcomes, p = [1] * 9 + [0] + [1] * 4 + [0] * 6, [0.9] * 10 + [0.6] * 10
    assert expected_calibration_error(outcomes, p) == pytest.approx(0.1)
    assert expected_calibration_error([0, 1], [0.0, 1.0]) == 0
    assert expected_calibration_error([1, 0], [0.0, 1.0]) == 1


def test_weights_count_rows_several_times():
    outcomes, p = data()
    weights = np.random.default_rng(1).integers(0, 3, (5, 200))
    expected = [
        expected_calibration_error(np.repeat(outcomes, w), np.repeat(p, w)) for w in weights
    ]
    found = expected_calibration_error(outcomes, p, weights=weights)
    np.testing.assert_allclose(found, expected)
    p2 = np.stack([1 - p, p], 1)
    expected = [brier_score(np.repeat(outcomes, w), np.repeat(p2, w, 0), "binary") for w in weights]
    np.testing.assert_allclose(brier_score(outcomes, p2, "binary", weights), expected)


def test_brier():
    p = [[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]]
    assert brier_score([2, 0], p, "multiclass") == pytest.approx((0.04 + 0.09 + 0.25) / 2)
    assert brier_score([1, 1], p, "ordinal") == pytest.approx((0.04 + 0.49 + 0.25 + 2) / 2)
    truth = np.array([[1, 0, 1], [1, 0, 0]])
    expected = (0.64 + 0.09 + 0.25) / 6
    assert brier_score(truth, p, "multilabel") == pytest.approx(expected)
    assert brier_score([1, 0], [[0.3, 0.7], [0.6, 0.4]], "binary") == pytest.approx(0.125)
    with pytest.raises(ValueError, match="does not fit"):
        brier_score([[1, 0]], [[0.3, 0.7]], "binary")


def test_temperature_in_closed_form():
    # Always the odds 99 : 1, right three times in four: T = log 99 / log 3.
    logits = np.log([[0.99, 0.01]] * 8)
    expected = np.log(99) / np.log(3)
    truth = np.array([0, 0, 0, 1] * 2)
    assert fit_temperature(logits, truth, "binary") == pytest.approx(expected, rel=1e-4)
    assert fit_temperature(logits, truth, "multiclass") == pytest.approx(expected, rel=1e-4)
    one = logits[:, 1:] - logits[:, :1]
    assert fit_temperature(one, truth, "binary") == pytest.approx(expected, rel=1e-4)
    multilabel = fit_temperature(one, truth[:, None], "multilabel")
    assert multilabel == pytest.approx(expected, rel=1e-4)
    assert fit_temperature(one, truth, "ordinal") == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", ["multiclass", "multilabel", "ordinal"])
def test_temperature_is_the_one_that_the_labels_were_drawn_with(kind):
    rng = np.random.default_rng(0)
    z = rng.normal(0, 2, (20_000, 4))
    if kind == "multiclass":
        truth = (special.softmax(z, 1).cumsum(1) < rng.random((20_000, 1))).sum(1)
    else:
        passed = rng.random(z.shape) < special.expit(z)
        truth = passed.astype(int) if kind == "multilabel" else np.cumprod(passed, axis=1).sum(1)
    assert fit_temperature(2.5 * z, truth, kind) == pytest.approx(2.5, rel=0.03)
    assert fit_temperature(0.5 * z, truth, kind) == pytest.approx(0.5, rel=0.03)


def test_temperature_against_another_optimiser():
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 3, 100)
    z = 4 * rng.normal(np.eye(3)[truth], 1)

    def loss(t):
        p = np.exp(z / t) / np.exp(z / t).sum(1, keepdims=True)
        return -np.log(p[np.arange(100), truth]).mean()

    best = optimize.brute(lambda t: loss(t[0]), [(0.1, 10)], Ns=2000)[0]
    assert loss(fit_temperature(z, truth, "multiclass")) == pytest.approx(loss(best), abs=1e-7)


def test_separated_data_end_at_the_limit():
    logits = np.array([[0.5, -0.5], [-0.5, 0.5]], "float32")
    assert fit_temperature(logits, [0, 1], "binary") == pytest.approx(0.1, rel=1e-3)
    assert fit_temperature(logits, [1, 0], "binary") == pytest.approx(10, rel=1e-3)


def test_refusals():
    with pytest.raises(ValueError, match="0..1; received 1.5 to 1.5"):
        expected_calibration_error([1], [1.5])
    with pytest.raises(ValueError, match="0 or 1"):
        reliability_curve([0.5], [0.5])
    with pytest.raises(ValueError, match="binning"):
        reliability_curve([1], [0.5], binning="quantile")
    with pytest.raises(ValueError, match="equally long"):
        reliability_curve([1, 0], [0.5])
    with pytest.raises(ValueError, match="0..2"):
        fit_temperature(np.zeros((2, 3)), [0, 3], "multiclass")
    with pytest.raises(ValueError, match="shape of `logits`"):
        fit_temperature(np.zeros((2, 3)), [0, 1], "multilabel")
    with pytest.raises(ValueError, match="finite"):
        fit_temperature([[np.nan, 0]], [0], "binary")
