"""Bootstrap intervals against scipy and by counting every resample."""

import itertools

import numpy as np
import pytest
from scipy import stats

from kmed.metrics import bootstrap_interval, bootstrap_statistics


@pytest.mark.parametrize("statistic", [np.mean, np.median])
def test_one_value_per_patient_equals_scipy(statistic):
    values = np.random.default_rng(1).beta(8, 2, 25)
    expected = stats.bootstrap(
        (values,), statistic, n_resamples=2000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    interval = bootstrap_interval(values, statistic=statistic)
    assert interval.value == pytest.approx(statistic(values))
    # The drawn samples differ; 2000 of them leave the limits uncertain by a little.
    width = expected.high - expected.low
    assert interval.low == pytest.approx(expected.low, abs=0.08 * width)
    assert interval.high == pytest.approx(expected.high, abs=0.08 * width)
    assert interval.n == 25 and interval.omitted == 0


def test_patients_are_drawn_with_all_of_their_values():
    values, patients = [0.0, 0.0, 0.0, 1.0, 0.5], list("aaabc")
    groups = [[0.0] * 3, [1.0], [0.5]]
    every = [
        np.mean(np.concatenate([groups[i] for i in drawn]))
        for drawn in itertools.product(range(3), repeat=3)
    ]  # all 27 resamples, each as likely
    low, high = np.percentile(every, [10, 90], method="inverted_cdf")
    interval = bootstrap_interval(values, patients=patients, level=0.8, resamples=20_000)
    assert interval.value == pytest.approx(0.3) and interval.n == 3
    assert interval.low == pytest.approx(low) and interval.high == pytest.approx(high)
    # A statistic that is no ufunc's mean takes the general way to the same limits.
    general = bootstrap_interval(
        values, patients=patients, level=0.8, resamples=2000, statistic=lambda v: v.mean()
    )
    assert general == bootstrap_interval(values, patients=patients, level=0.8, resamples=2000)


def test_resembling_images_widen_the_interval():
    rng = np.random.default_rng(0)
    per_patient = rng.normal(size=10)
    values = np.repeat(per_patient, 20)
    clustered = bootstrap_interval(values, patients=np.repeat(np.arange(10), 20))
    naive = bootstrap_interval(values)
    assert clustered.high - clustered.low > 3 * (naive.high - naive.low)


def test_values_that_are_not_finite():
    values = [1.0, 2.0, np.inf, np.nan]
    interval = bootstrap_interval(values)
    assert (interval.value, interval.n, interval.omitted) == (1.5, 2, 2)
    assert "2 not finite" in str(interval)
    assert bootstrap_interval(values[:3], not_finite="keep").value == np.inf
    with pytest.raises(ValueError, match="must be finite"):
        bootstrap_interval(values, not_finite="refuse")


def test_one_patient_has_no_interval_and_none_no_value():
    one = bootstrap_interval([0.5, 0.7], patients=["a", "a"])
    assert one.value == pytest.approx(0.6) and np.isnan(one.low) and one.n == 1
    none = bootstrap_interval([np.inf])
    assert np.isnan(none.value) and none.n == 0 and none.omitted == 1


def test_seed_and_refusals():
    values = np.arange(10.0)
    assert bootstrap_interval(values, seed=3) == bootstrap_interval(values, seed=3)
    assert bootstrap_interval(values, seed=3) != bootstrap_interval(values, seed=4)
    with pytest.raises(ValueError, match="one patient per value"):
        bootstrap_interval(values, patients=["a"])
    with pytest.raises(ValueError, match="level"):
        bootstrap_interval(values, level=95)
    with pytest.raises(ValueError, match="not_finite"):
        bootstrap_interval(values, not_finite="drop")


def means(values):
    return lambda weights: weights @ values / weights.sum(axis=1, keepdims=True)


def test_statistics_of_tables_equal_statistics_of_columns():
    rng = np.random.default_rng(0)
    values, patients = rng.normal(size=(40, 3)), rng.integers(0, 12, 40).astype(str)
    found = bootstrap_statistics(means(values), 40, patients=patients, seed=7)
    for column, interval in zip(values.T, found, strict=True):
        expected = bootstrap_interval(column, patients=patients, seed=7)
        assert interval == pytest.approx(expected)


def test_weights_are_how_often_a_patient_was_drawn():
    seen = []

    def statistic(weights):
        seen.append(weights)
        return weights[:, :1]

    bootstrap_statistics(statistic, 4, patients=["a", "b", "b", "c"], resamples=500)
    assert seen[0].tolist() == [[1, 1, 1, 1]]
    weights = np.concatenate(seen[1:])
    assert weights.shape == (500, 4)
    assert (weights[:, 1] == weights[:, 2]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()
    # How often one of three is drawn in three draws: binomial.
    assert (
        stats.chisquare(
            np.bincount(weights[:, 0].astype(int), minlength=4),
            500 * stats.binom.pmf(range(4), 3, 1 / 3),
        ).pvalue
        > 1e-3
    )


def test_many_rows_are_resampled_in_parts():
    shapes = []

    def statistic(weights):
        shapes.append(weights.shape)
        return weights.max(axis=1, keepdims=True)

    bootstrap_statistics(statistic, 500_000, patients=np.arange(500_000) // 1000, resamples=10)
    assert shapes == [(1, 500_000), (4, 500_000), (4, 500_000), (2, 500_000)]


def test_undefined_resamples_are_left_out_until_they_are_too_many():
    def share(rows):
        def statistic(weights):
            found = weights[:, rows].sum(axis=1, keepdims=True)
            return np.where(found > 0, found, np.nan)

        return bootstrap_statistics(statistic, 20)[0]

    # Two patients of twenty are missing from 12 % of the resamples, one from 36 %.
    two, one = share([0, 1]), share([0])
    assert two.low == 1 and two.high > 3 and two.omitted == 0
    assert one.value == 1 and np.isnan([one.low, one.high]).all()


def test_statistics_of_one_patient_have_no_limits_and_of_none_no_value():
    values = np.array([[1.0], [2.0]])
    interval = bootstrap_statistics(means(values), 2, patients=["a", "a"])[0]
    assert interval.value == 1.5 and np.isnan(interval.low) and interval.n == 1
    none = bootstrap_statistics(means(values * np.nan), 2)[0]
    assert np.isnan(none.value) and none.omitted == 1
    for arguments in ({"rows": 0}, {"rows": 2, "patients": ["a"]}):
        with pytest.raises(ValueError, match="one patient for each"):
            bootstrap_statistics(means(values), **arguments)
    with pytest.raises(ValueError, match="resamples"):
        bootstrap_statistics(means(values), 2, resamples=0)
