import numpy as np
import pytest

from kmed.metrics.weighting import plain, ratio, row_weights


def test_weights_are_one_row_or_many():
    assert row_weights([1, 2], 2).dtype == np.float64
    assert row_weights(np.ones((5, 2)), 2).shape == (5, 2)
    with pytest.raises(ValueError, match=r"\(N,\) or \(R, N\)"):
        row_weights([1, 2, 3], 2)
    with pytest.raises(ValueError, match="0 or more"):
        row_weights([1, -1], 2)
    with pytest.raises(ValueError, match="at least one row"):
        row_weights(None, 0)


def test_nothing_of_nothing_is_not_a_number():
    np.testing.assert_array_equal(ratio([1, 0, 2], [2, 0, 1]), [0.5, np.nan, 2])
    assert np.isnan(ratio(np.float64(0), 0)) and ratio(3.0, 4) == 0.75


def test_one_sample_is_a_float():
    assert type(plain(np.float64(0.5))) is float
    assert plain(np.ones(3)).shape == (3,)
