"""The great circle against its geometry, and where its images stand."""

import numpy as np
import pytest

from kmed.results.image_grid import image_grid
from kmed.results.interpolation_sheet import interpolation_sheet, slerp


def test_a_quarter_circle_is_walked_evenly():
    a, b = np.array([2.0, 0.0, 0.0]), np.array([0.0, 2.0, 0.0])
    for t in (0.0, 0.25, 0.5, 0.9, 1.0):
        angle = t * np.pi / 2
        expected = [2 * np.cos(angle), 2 * np.sin(angle), 0.0]
        np.testing.assert_allclose(slerp(a, b, t), expected, atol=1e-12)


def test_ends_lengths_and_angles_of_many_vectors():
    a, b = np.random.default_rng(0).normal(size=(2, 50, 100)).astype("float32")
    np.testing.assert_allclose(slerp(a, b, 0.0), a, atol=1e-6)
    np.testing.assert_allclose(slerp(a, b, 1.0), b, atol=1e-6)
    unit = a / np.linalg.norm(a, axis=1, keepdims=True)
    other = b / np.linalg.norm(b, axis=1, keepdims=True)
    third = slerp(unit, other, 1 / 3)
    assert third.dtype == np.float32 and third.shape == (50, 100)
    np.testing.assert_allclose(np.linalg.norm(third, axis=1), 1, atol=1e-5)
    whole = np.arccos((unit * other).sum(axis=1))
    np.testing.assert_allclose(np.arccos((unit * third).sum(axis=1)), whole / 3, atol=1e-4)
    # The straight line would leave the shell in which normal vectors lie.
    assert (np.linalg.norm((unit + other) / 2, axis=1) < 0.85).all()


def test_vectors_of_one_direction_or_opposite_ones_go_straight():
    a = np.array([1.0, 2.0])
    np.testing.assert_allclose(slerp(a, 3 * a, 0.25), 1.5 * a)
    np.testing.assert_allclose(slerp(a, -a, 0.25), 0.5 * a)
    np.testing.assert_allclose(slerp(np.zeros(2), a, 0.5), a / 2)
    assert slerp(np.array([1, 0]), np.array([0, 1]), 0.5).dtype == np.float64


def test_rows_are_pairs_and_columns_steps():
    images = np.linspace(0, 1, 6).reshape(2, 3, 1, 1, 1) * np.ones((2, 3, 32, 32, 1))
    sheet = interpolation_sheet(images, 0, 1)
    head = sheet.shape[0] - (4 + 2 * 100)
    assert head == 20 and sheet.shape[1] == 4 + 3 * 100
    np.testing.assert_array_equal(
        sheet[head:], image_grid(images.reshape(6, 32, 32, 1), 0, 1, columns=3)
    )
    assert all((sheet[:head, 4 + i * 100 : 100 + i * 100] > 100).any() for i in range(3))
    others = interpolation_sheet(images, 0, 1, steps=(0, 0.3, 1))
    assert (others[:head] != sheet[:head]).any()
    volumes = np.repeat(images[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(interpolation_sheet(volumes, 0, 1), sheet)


def test_what_does_not_fit_is_said():
    a = np.ones(3)
    with pytest.raises(ValueError, match=r"one shape; received \(3,\) and \(2,\)"):
        slerp(a, a[:2], 0.5)
    with pytest.raises(ValueError, match=r"`t` must be in 0..1; received 1.5"):
        slerp(a, a, 1.5)
    with pytest.raises(ValueError, match=r"not empty; received shape \(3, 8, 8, 1\)"):
        interpolation_sheet(np.zeros((3, 8, 8, 1)), 0, 1)
    with pytest.raises(ValueError, match="each of 3 columns; received 2"):
        interpolation_sheet(np.zeros((1, 3, 8, 8, 1)), 0, 1, steps=(0, 1))
