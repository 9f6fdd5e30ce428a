import numpy as np
import pytest
from pydicom.valuerep import DS

from kmed.results.dicom.rescale import rescale_of


@pytest.mark.parametrize(
    ("low", "high"), [(-1024, 3071), (0, 65535), (-32768, 32767), (-40000, 25535), (40000, 90000)]
)
@pytest.mark.parametrize("signed", [None, False, True])
def test_whole_values_come_back_exactly(low, high, signed):
    values = np.array([low, low + 1, (low + high) // 2, high], np.float64)
    slope, intercept, negative = rescale = rescale_of(values, signed=signed)
    stored = rescale.stored(values)
    assert slope == 1 and stored.dtype == ("<i2" if negative else "<u2")
    assert negative == (low < 0 if signed is None else signed)
    np.testing.assert_array_equal(stored * slope + intercept, values)


@pytest.mark.parametrize("scale", [1e-6, 0.37, 1, 4096.1, 1e9])
@pytest.mark.parametrize("signed", [None, False, True])
def test_others_to_half_a_step(scale, signed):
    values = (np.random.default_rng(0).random(5000) - 0.3) * scale
    rescale = rescale_of(values, signed=signed)
    back = rescale.stored(values) * rescale.slope + rescale.intercept
    assert np.abs(back - values).max() <= rescale.slope / 2 * (1 + 1e-6)
    assert rescale.slope <= 2.001 * np.ptp(values) / 65534
    for number in rescale[:2]:
        assert float(DS(number, auto_format=True)) == number


def test_whole_numbers_among_others_have_no_error():
    values = np.array([-1000.0, 40, 0.3, 3000])
    rescale = rescale_of(values)
    back = rescale.stored(values) * rescale.slope + rescale.intercept
    np.testing.assert_array_equal(back[[0, 1, 3]], values[[0, 1, 3]])


def test_one_value():
    rescale = rescale_of(np.full(3, 0.1))
    np.testing.assert_array_equal(rescale.stored(np.full(3, 0.1)) * 1.0 + rescale.intercept, 0.1)
