"""Bootstrap intervals against scipy and by counting every resample."""

import itertools

import numpy as np
import pytest
from scipy import stats

from kmed.metrics import bootstrap_interval


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
