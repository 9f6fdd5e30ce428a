"""The U-Net paper's weight map, worked by hand and by plain loops."""

import numpy as np
import pytest

from kmed.losses import border_weight_map, separate_touching


def test_two_squares_with_a_gap_of_two_pixels():
    instances = np.zeros((7, 12), "int32")
    instances[2:5, 2:5] = 1
    instances[2:5, 7:10] = 2
    weights = border_weight_map(instances, w0=10, sigma=5, class_balance=False)
    # In the gap, the nearer square is 1 away and the other 2: 1 + 10 exp(-9 / 50).
    gap = 1 + 10 * np.exp(-9 / 50)
    np.testing.assert_allclose(weights[2:5, 5:7], gap, rtol=1e-6)
    # Above the gap's left column: sqrt(1 + 1) to the corner of one, sqrt(1 + 4) of the other.
    above = 1 + 10 * np.exp(-((np.sqrt(2) + np.sqrt(5)) ** 2) / 50)
    np.testing.assert_allclose(weights[1, 5], above, rtol=1e-6)
    np.testing.assert_allclose(weights[instances > 0], 1)


def test_two_touching_squares_weigh_the_background_at_their_seam():
    instances = np.zeros((4, 8), "int32")
    instances[1:3, 2:4] = 1
    instances[1:3, 4:6] = 2
    weights = border_weight_map(instances, class_balance=False)
    # Above the seam: 1 to the square below, sqrt(2) to the other.
    np.testing.assert_allclose(
        weights[0, 3:5], 1 + 10 * np.exp(-((1 + np.sqrt(2)) ** 2) / 50), rtol=1e-6
    )
    # As one boolean mask they are one object: there is no second, and no border.
    np.testing.assert_allclose(border_weight_map(instances > 0, class_balance=False), 1)
    # Separated, the seam is a column of background between two objects, 1 from each.
    mask = separate_touching(instances)
    assert mask[1:3, 2].all() and not mask[1:3, 3].any() and mask[1:3, 4:6].all()
    weights = border_weight_map(mask, class_balance=False)
    np.testing.assert_allclose(weights[1:3, 3], 1 + 10 * np.exp(-4 / 50), rtol=1e-6)


@pytest.mark.parametrize("spacing", [None, (2.0, 0.5)])
def test_equals_plain_loops(spacing):
    rng = np.random.default_rng(0)
    instances = np.zeros((14, 18), "int32")
    for number in (1, 2, 3, 7):
        y, x = rng.integers(0, 10, 2)
        instances[y : y + 3, x : x + 4] = number
    step = spacing or (1, 1)
    expected = np.zeros(instances.shape)
    for i, j in np.ndindex(instances.shape):
        distances = []
        for number in set(instances[instances > 0]):
            ys, xs = np.nonzero(instances == number)
            squares = ((ys - i) * step[0]) ** 2 + ((xs - j) * step[1]) ** 2
            distances.append(np.sqrt(squares.min()))
        d1, d2 = sorted(distances)[:2]
        count = (instances > 0).sum()
        if instances[i, j]:
            expected[i, j] = instances.size / (2 * count)
        else:
            expected[i, j] = instances.size / (2 * (instances.size - count))
            expected[i, j] += 8 * np.exp(-((d1 + d2) ** 2) / (2 * 1.5**2))
    weights = border_weight_map(instances, w0=8, sigma=1.5, spacing=spacing)
    np.testing.assert_allclose(weights, expected, atol=1e-5)
    assert weights.dtype == np.float32


def test_class_balance_gives_both_classes_half_of_the_weight():
    mask = np.zeros((10, 10), bool)
    mask[:2] = True
    weights = border_weight_map(mask)
    assert weights[mask].sum() == pytest.approx(50)
    assert weights[~mask].sum() == pytest.approx(50)
    given = border_weight_map(mask, class_balance=(0.5, 2.0))
    assert set(np.unique(given)) == {0.5, 2.0}


@pytest.mark.parametrize("mask", [np.zeros((4, 4), bool), np.ones((3, 4, 4), "uint8")])
def test_empty_and_full_masks_weigh_one(mask):
    np.testing.assert_array_equal(border_weight_map(mask), np.ones(mask.shape))


def test_refuses_what_it_cannot_weigh():
    with pytest.raises(ValueError, match="integer or boolean"):
        border_weight_map(np.zeros((4, 4)))
    with pytest.raises(ValueError, match="sigma"):
        border_weight_map(np.zeros((4, 4), int), sigma=0)
    with pytest.raises(ValueError, match="spacing"):
        border_weight_map(np.zeros((4, 4), int), spacing=(1.0,))
    with pytest.raises(ValueError, match="0 or more"):
        border_weight_map(np.full((4, 4), -1))
