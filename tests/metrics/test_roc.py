"""ROC and its area against scipy's Mann-Whitney test, and against all pairs."""

import numpy as np
import pytest
from scipy import stats

from kmed.metrics import auc, roc_curve


def data(rows=60, ties=True, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, rows)
    scores = rng.normal(truth, 1.0)
    return truth, np.round(scores, 1) if ties else scores


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_area_is_mann_whitney(ties, seed):
    truth, scores = data(ties=ties, seed=seed)
    positive, negative = scores[truth == 1], scores[truth == 0]
    u = stats.mannwhitneyu(positive, negative).statistic
    assert auc(truth, scores) == pytest.approx(u / len(positive) / len(negative))
    pairs = np.sign(positive[:, None] - negative) / 2 + 0.5
    assert auc(truth, scores) == pytest.approx(pairs.mean())


def test_the_area_is_that_of_the_curve():
    truth, scores = data()
    curve = roc_curve(truth, scores)
    area = np.trapezoid(curve.true_positive_rate, curve.false_positive_rate)
    assert auc(truth, scores) == pytest.approx(area)


def test_every_point_is_what_its_threshold_gives():
    truth, scores = data()
    for false, true, threshold in zip(*roc_curve(truth, scores), strict=True):
        called = scores >= threshold
        assert true == pytest.approx(called[truth == 1].mean())
        assert false == pytest.approx(called[truth == 0].mean())
    assert roc_curve(truth, scores).thresholds[0] == np.inf


def test_by_hand():
    # Positives 3 and 1, negatives 2 and 1: 3 > 2, 3 > 1, 1 < 2, 1 = 1.
    assert auc([1, 1, 0, 0], [3, 1, 2, 1]) == (1 + 1 + 0 + 0.5) / 4
    assert auc([1, 0], [1, 0]) == 1 and auc([1, 0], [0, 1]) == 0 and auc([1, 0], [1, 1]) == 0.5


def test_weights_count_rows_several_times():
    truth, scores = data()
    weights = np.random.default_rng(1).integers(0, 4, (7, len(truth)))
    expected = [auc(np.repeat(truth, w), np.repeat(scores, w)) for w in weights]
    np.testing.assert_allclose(auc(truth, scores, weights), expected, rtol=1e-12)
    one = roc_curve(truth, scores, weights[0])
    again = roc_curve(np.repeat(truth, weights[0]), np.repeat(scores, weights[0]))
    at = np.isin(one.thresholds, again.thresholds)
    np.testing.assert_allclose(one.true_positive_rate[at], again.true_positive_rate)


def test_a_missing_class_has_no_area():
    assert np.isnan(auc([1, 1], [0.1, 0.2])) and np.isnan(auc([0, 0], [0.1, 0.2]))
    found = auc([0, 1, 1], [0.1, 0.2, 0.3], [[1, 1, 1], [0, 1, 1], [1, 0, 0]])
    np.testing.assert_array_equal(found, [1, np.nan, np.nan])
    assert np.isnan(roc_curve([1, 1], [0.1, 0.2]).false_positive_rate).all()


def test_refusals():
    with pytest.raises(ValueError, match="equally long"):
        auc([0, 1], [0.5])
    with pytest.raises(ValueError, match="0 or 1"):
        auc([0, 2], [0.5, 0.6])
    with pytest.raises(ValueError, match="finite"):
        auc([0, 1], [0.5, np.nan])
    with pytest.raises(ValueError, match="at least one row"):
        auc([], [])
    with pytest.raises(ValueError, match=r"shape \(N,\)"):
        roc_curve([0, 1], [0.1, 0.2], [[1, 1]])
