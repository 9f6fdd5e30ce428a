"""The baseline by hand."""

import importlib.util
from pathlib import Path

import numpy as np

SPEC = importlib.util.spec_from_file_location(
    "translation", Path(__file__).with_name("translation.py")
)
baseline = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(baseline)


def test_a_monotonous_change_is_undone_but_for_its_background():
    rng = np.random.default_rng(0)
    source = rng.uniform(0, 1, 20000)
    target = np.exp(3 * source)
    of = baseline.quantiles([source]), baseline.quantiles([target[:9000], target[9000:]])
    np.testing.assert_allclose(baseline.matched(source, *of), target, rtol=0.01)


def test_equal_values_stay_equal():
    source = np.r_[np.zeros(5000), np.linspace(1, 2, 5000)]
    target = np.linspace(0, 1, 10000)
    of = baseline.quantiles([source]), baseline.quantiles([target])
    copied = baseline.matched(source, *of)
    assert np.ptp(copied[:5000]) == 0
    assert abs(copied[0] - 0.25) < 1e-3  # the middle of the half that they are
