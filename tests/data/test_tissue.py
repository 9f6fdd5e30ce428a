import numpy as np
import pytest

from kmed.data import tissue
from kmed.data.tissue import tissue_shares, tissue_threshold


def brute_force(values):
    """Every value as threshold: the one with the largest variance between both sides."""
    best = (-1.0, None)
    for value in np.unique(values)[:-1]:
        low, high = values[values <= value], values[values > value]
        between = len(low) * len(high) * (low.mean() - high.mean()) ** 2
        best = max(best, (between, value))
    return best[1]


def test_threshold_is_that_of_all_thresholds_tried():
    random = np.random.default_rng(0)
    values = np.concatenate([random.normal(-900, 40, 700), random.normal(40, 60, 300)])
    bin_width = (values.max() - values.min()) / 256
    assert tissue_threshold(values) == pytest.approx(brute_force(values), abs=bin_width)


def test_metal_does_not_move_the_threshold():
    random = np.random.default_rng(0)
    values = np.concatenate([np.full(7000, -1000), random.normal(40, 60, 3000)])
    assert -1000 <= tissue_threshold(np.append(values, [30000] * 5)) < -100


def test_shares_of_slices():
    volume = np.full((3, 4, 5, 2), -1000, np.int16)
    volume[1, :2, :, 0] = 50
    volume[2, ..., 0] = 60
    volume[0, ..., 1] = 500  # the second channel does not count
    np.testing.assert_array_equal(tissue_shares(volume), [0, 0.5, 1])


def test_an_image_of_one_value_shows_nothing():
    assert tissue_shares(np.full((2, 4, 4), 7)).tolist() == [0, 0]


def test_large_volumes_are_thinned_for_the_threshold(monkeypatch):
    volume = np.zeros((4, 40, 40))
    volume[1:3, 10:30, 10:30] = 100
    expected = tissue_shares(volume)
    monkeypatch.setattr(tissue, "_VOXELS", 500)
    np.testing.assert_array_equal(tissue_shares(volume), expected)
