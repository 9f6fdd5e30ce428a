import math

import numpy as np
import pytest

from kmed.ops.default_boxes import boxes_per_cell, default_boxes, default_ratios, default_scales


def test_a_cell_has_the_papers_shapes():
    # One cell at the middle (10, 10) of an image of 20 pixels; scales 0.2 and 0.45: squares of 4
    # and of sqrt(4 * 9) = 6, and of area 16 twice and three times as wide as high.
    boxes = default_boxes((20, 20), [(1, 1)], [(2, 3)], [0.2, 0.45])
    sides = boxes[:, 2:] - boxes[:, :2]
    expected = [(4, 4), (6, 6)]
    for ratio in (2, 3):
        wide, narrow = 4 * math.sqrt(ratio), 4 / math.sqrt(ratio)
        expected += [(wide, narrow), (narrow, wide)]
    np.testing.assert_allclose(sides, expected, rtol=1e-6)
    np.testing.assert_allclose((boxes[:, 2:] + boxes[:, :2]) / 2, np.full((6, 2), 10), rtol=1e-6)


def test_cells_are_ordered_by_level_row_and_column():
    boxes = default_boxes((30, 60), [(2, 3), (1, 1)], [(), ()], [0.1, 0.2, 0.3])
    centers = (boxes[:, 2:] + boxes[:, :2]) / 2
    first = [(10, 7.5), (30, 7.5), (50, 7.5), (10, 22.5), (30, 22.5), (50, 22.5)]
    np.testing.assert_allclose(centers[::2], [*first, (30, 15)], rtol=1e-6)
    np.testing.assert_array_equal(centers[::2], centers[1::2])  # two squares in each cell
    # Squares in an image that is none: shares of its shorter side.
    np.testing.assert_allclose(boxes[0], [8.5, 6, 11.5, 9], rtol=1e-6)


def test_steps_place_the_cells():
    boxes = default_boxes((30, 30), [(2, 2)], [()], [0.1, 0.1], steps=[8])
    np.testing.assert_allclose(boxes[::2, 0] + 1.5, [4, 12, 4, 12], rtol=1e-6)


def test_no_side_is_longer_than_the_images():
    boxes = default_boxes((10, 30), [(1, 1)], [(2,)], [0.9, 1.2])
    sides = boxes[:, 2:] - boxes[:, :2]
    side = 9 * math.sqrt(2)
    np.testing.assert_allclose(sides[2:], [(side, side / 2), (side / 2, 10)], rtol=1e-6)


def test_defaults_are_the_papers():
    assert default_ratios(6) == ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,))
    assert [boxes_per_cell(level) for level in default_ratios(6)] == [4, 6, 6, 6, 4, 4]
    # s_k = 0.2 + (0.9 - 0.2) / (5 - 1) * (k - 1), k = 1 ... 5, and conv4_3 at 0.1.
    np.testing.assert_allclose(
        default_scales(6), [0.1, 0.2, 0.375, 0.55, 0.725, 0.9, 1.075], rtol=1e-6
    )
    assert default_scales(1) == (0.1, 0.2) and default_scales(3, 0.05)[0] == 0.05


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((8, 8), [(1, 1)], [()], [0.1]), "`scales` one more; received 1, 1, None and 1"),
        (((8, 8), [(1, 1)], [(), ()], [0.1, 0.2]), "received 1, 2, None and 2"),
        (((8, 8), [(1, 1)], [()], [0.1, 0.2], [1, 2]), "received 1, 1, 2 and 2"),
        (((8, 8), [(1, 1)], [(0,)], [0.1, 0.2]), r"above 0; received .*\(0,\)"),
        (((8, 8), [(1, 0)], [()], [0.1, 0.2]), r"above 0; received .*\(1, 0\)"),
    ],
)
def test_refuses_what_does_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        default_boxes(*arguments)
