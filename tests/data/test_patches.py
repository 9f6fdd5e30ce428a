import numpy as np
import pytest

from kmed.data.patches import cut


@pytest.mark.parametrize("mirror", [False, True])
def test_equals_numpys_padding(mirror):
    array = np.random.default_rng(0).normal(size=(7, 9, 2))
    padded = np.pad(array, ((5, 5), (5, 5), (0, 0)), "reflect" if mirror else "edge")
    for start in [(-5, -2), (0, 0), (3, 4), (-1, 6)]:
        expected = padded[start[0] + 5 :, start[1] + 5 :][:6, :7]
        np.testing.assert_array_equal(cut(array, start, (6, 7), mirror=mirror), expected)


def test_inside_is_a_view():
    array = np.zeros((8, 8))
    assert np.shares_memory(cut(array, (2, 2), (4, 4)), array)


def test_single_row_is_repeated():
    assert cut(np.ones((1, 3)), (-1, 0), (3, 3), mirror=True).shape == (3, 3)
