"""Operating points against a search over all thresholds."""

import numpy as np
import pytest

from kmed.metrics import (
    auc,
    choose_threshold,
    decisions,
    sensitivity_at_specificity,
    specificity_at_sensitivity,
)


def data(seed=0, rows=40):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, rows)
    return truth, np.round(1 / (1 + np.exp(-rng.normal(2 * truth - 1, 1.5))), 2)


def rates(truth, scores):
    """(sensitivity, specificity, F1) of every threshold, the highest first, and of none."""
    yield 0.0, 1.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        called = scores >= threshold
        hit, wrong = (called & (truth == 1)).sum(), (called & (truth == 0)).sum()
        f1 = 2 * hit / (2 * hit + wrong + ((truth == 1) & ~called).sum())
        yield called[truth == 1].mean(), 1 - called[truth == 0].mean(), f1


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("at", [0.0, 0.5, 0.9, 1.0])
def test_against_all_thresholds(seed, at):
    truth, scores = data(seed)
    every = list(rates(truth, scores))
    best = max(sens for sens, spec, _ in every if spec >= at - 1e-12)
    assert sensitivity_at_specificity(truth, scores, at) == pytest.approx(best)
    best = max(spec for sens, spec, _ in every if sens >= at - 1e-12)
    assert specificity_at_sensitivity(truth, scores, at) == pytest.approx(best)


def test_one_of_ten_is_ninety_percent():
    # 1 - 0.9 is 0.0999..98 in floating point, and 1 / 10 is more than that.
    truth, scores = [0] * 10 + [1] * 10, [*range(10), *range(9, 19)]
    assert sensitivity_at_specificity(truth, scores, 0.9) == 1.0
    truth, scores = [1] * 10 + [0] * 10, [*range(19, 9, -1), *range(10, 0, -1)]
    assert specificity_at_sensitivity(truth, scores, 0.9) == 1.0


def test_weights_count_rows_several_times():
    truth, scores = data()
    weights = np.random.default_rng(1).integers(0, 3, (9, len(truth)))
    for measure in (sensitivity_at_specificity, specificity_at_sensitivity):
        expected = [measure(np.repeat(truth, w), np.repeat(scores, w), 0.8) for w in weights]
        np.testing.assert_allclose(measure(truth, scores, 0.8, weights), expected, rtol=1e-12)


def test_a_missing_class_is_not_a_number():
    for truth in ([1, 1], [0, 0]):
        assert np.isnan(sensitivity_at_specificity(truth, [0.1, 0.9], 0.9))
        assert np.isnan(specificity_at_sensitivity(truth, [0.1, 0.9], 0.9))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rule", ["youden", "sensitivity", "specificity", "f1"])
def test_a_chosen_threshold_reaches_what_its_rule_asks(seed, rule):
    truth, scores = data(seed)
    threshold = choose_threshold(truth, scores, rule=rule, at=0.8)
    assert threshold not in scores
    called = decisions(np.stack([1 - scores, scores], 1), "binary", threshold)
    sens, spec = called[truth == 1].mean(), 1 - called[truth == 0].mean()
    f1 = 2 * (called & truth).sum() / (called.sum() + truth.sum())
    every = list(rates(truth, scores))
    expected = {
        "youden": (sens + spec, max(a + b for a, b, _ in every)),
        "sensitivity": (spec, max(b for a, b, _ in every if a >= 0.8 - 1e-12)),
        "specificity": (sens, max(a for a, b, _ in every if b >= 0.8 - 1e-12)),
        "f1": (f1, max(f for *_, f in every)),
    }[rule]
    assert expected[0] == pytest.approx(expected[1])


def test_thresholds_by_hand():
    truth, scores = [0, 0, 1, 0, 1, 1], [0.1, 0.2, 0.3, 0.5, 0.7, 0.9]
    assert auc(truth, scores) == pytest.approx(8 / 9)
    # 0.6 keeps 2 of 3 and all negatives, 0.25 all positives and 2 of 3: the higher one.
    assert choose_threshold(truth, scores) == pytest.approx(0.6)
    assert choose_threshold(truth, scores, rule="sensitivity") == pytest.approx(0.25)
    assert choose_threshold(truth, scores, rule="specificity", at=1) == pytest.approx(0.6)
    assert choose_threshold(truth, scores, rule="f1") == pytest.approx(0.25)  # 6/7 over 4/5
    assert choose_threshold([1, 0], [0.2, 0.2]) == pytest.approx(0.1)
    assert choose_threshold([1, 0], [0.2, 0.9], rule="specificity") == 2.0


def test_refusals():
    with pytest.raises(ValueError, match="rule"):
        choose_threshold([0, 1], [0.1, 0.9], rule="best")
    with pytest.raises(ValueError, match="both classes; received 2 positive and 0"):
        choose_threshold([1, 1], [0.1, 0.9])
    with pytest.raises(ValueError, match="probabilities"):
        choose_threshold([0, 1], [-3.0, 4.0])
    with pytest.raises(ValueError, match="`specificity` must lie in 0..1; received 90"):
        sensitivity_at_specificity([0, 1], [0.1, 0.9], 90)
