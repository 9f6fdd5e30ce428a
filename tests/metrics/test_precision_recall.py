"""Precision and recall, threshold by threshold in loops."""

import numpy as np
import pytest

from kmed.metrics import average_precision, precision_recall_curve


def data(seed=0, rows=50):
    rng = np.random.default_rng(seed)
    truth = (rng.random(rows) < 0.3).astype(int)
    return truth, np.round(rng.normal(truth, 1.0), 1)


def by_loops(truth, scores):
    total, before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        called = scores >= threshold
        precision = truth[called].mean()
        recall = called[truth == 1].mean()
        total, before = total + (recall - before) * precision, recall
    return total


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_against_loops(seed):
    truth, scores = data(seed)
    assert average_precision(truth, scores) == pytest.approx(by_loops(truth, scores))


def test_by_hand():
    # In falling order: positive, negative, positive: precision 1 at the first, 2/3 at the second.
    assert average_precision([1, 0, 1], [3, 2, 1]) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision([1, 1, 0], [3, 2, 1]) == 1
    assert average_precision([0, 1, 0, 0], [1, 1, 1, 1]) == 0.25  # no ranking: the prevalence


def test_every_point_is_what_its_threshold_gives():
    truth, scores = data()
    curve = precision_recall_curve(truth, scores)
    assert (curve.recall[0], curve.precision[0], curve.thresholds[0]) == (0, 1, np.inf)
    for recall, precision, threshold in list(zip(*curve, strict=True))[1:]:
        called = scores >= threshold
        assert recall == pytest.approx(called[truth == 1].mean())
        assert precision == pytest.approx(truth[called].mean())


def test_weights_count_rows_several_times():
    truth, scores = data()
    weights = np.random.default_rng(1).integers(0, 3, (6, len(truth)))
    expected = [average_precision(np.repeat(truth, w), np.repeat(scores, w)) for w in weights]
    np.testing.assert_allclose(average_precision(truth, scores, weights), expected, rtol=1e-12)


def test_without_positives_there_is_no_recall():
    assert np.isnan(average_precision([0, 0], [0.1, 0.2]))
    assert np.isnan(precision_recall_curve([0, 0], [0.1, 0.2]).recall).all()
    assert average_precision([1, 1], [0.1, 0.2]) == 1
    with pytest.raises(ValueError, match=r"shape \(N,\)"):
        precision_recall_curve([0, 1], [0.1, 0.2], [[1, 1]])
