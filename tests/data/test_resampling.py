import numpy as np
import pytest

from kmed.data.resampling import resample, resampled_shape


def test_linear_keeps_positions_in_millimetres():
    # A ramp of millimetres stays the ramp of millimetres on the finer grid.
    coarse = (np.arange(6) + 0.5) * 2.0
    fine = resample(coarse, (12,), order=1)
    np.testing.assert_allclose(fine[1:-1], np.arange(12)[1:-1] + 0.5, atol=1e-5)


def test_coarser_grid_averages():
    values = np.tile([0.0, 10.0], 32)
    assert abs(resample(values, (16,), order=1)[4:-4] - 5).max() < 1.5  # no aliasing to 0 or 10


def test_nearest_keeps_labels_and_type():
    mask = np.random.default_rng(0).integers(0, 4, (5, 6, 7)).astype("uint8")
    there = resample(mask, (10, 12, 14), order=0)
    assert there.dtype == np.uint8
    np.testing.assert_array_equal(there[::2, ::2, ::2], mask)


def test_channels_are_resampled_each_for_itself():
    image = np.random.default_rng(0).normal(size=(4, 5, 2))
    both = resample(image, (8, 5), order=1)
    np.testing.assert_array_equal(both[..., 1], resample(image[..., 1], (8, 5), order=1))


def test_shape_covers_the_extent():
    assert resampled_shape((30, 100, 100), (5.0, 0.7, 0.7), (2.5, 1.4, 0.7)) == (60, 50, 100)
    assert resampled_shape((1, 1), (0.1, 0.1), (9.0, 9.0)) == (1, 1)


def test_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="one distance per spatial axis"):
        resampled_shape((1, 2, 3), (1.0, 1.0), (1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="positive"):
        resample(np.zeros((3, 3)), (0, 3), order=1)
