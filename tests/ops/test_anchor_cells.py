import numpy as np
import pytest
import tensorflow as tf

from kmed.ops.anchor_cells import (
    anchor_masks,
    best_anchor,
    cell_grid,
    cell_matches,
    interpolate_anchors,
    square_size,
)


def test_boxes_go_by_level_row_column_and_anchor():
    sides = [[(1, 2), (3, 4)], [(5, 6), (7, 8)]]
    rows = []
    for stride, anchors in zip((32, 16), sides, strict=True):
        for y in range(64 // stride):
            for x in range(32 // stride):
                rows += [(x, y, stride, *anchor) for anchor in anchors]
    grid = np.concatenate(cell_grid((64, 32), (32, 16), sides), axis=1)
    np.testing.assert_array_equal(grid, rows)


def test_a_size_known_at_run_time_gives_the_same():
    sides = [[(1, 2)], [(5, 6)]]

    @tf.function(input_signature=[tf.TensorSpec((), "int32")] * 2)
    def dynamic(height, width):
        return cell_grid((height, width), (32, 16), sides)

    for found, wanted in zip(dynamic(64, 96), cell_grid((64, 96), (32, 16), sides), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_best_anchor_is_that_of_the_largest_shape_overlap():
    rng = np.random.default_rng(0)
    sides, anchors = rng.uniform(1, 50, (20, 2)), rng.uniform(1, 50, (6, 2))
    wanted = []
    for w, h in sides:
        common = [min(w, a) * min(h, b) for a, b in anchors]
        ious = [c / (w * h + a * b - c) for c, (a, b) in zip(common, anchors, strict=True)]
        wanted.append(int(np.argmax(ious)))
    found = best_anchor(sides.astype("float32"), anchors.astype("float32"))
    assert found.numpy().tolist() == wanted


def test_an_object_belongs_to_the_cell_of_its_centre():
    # Levels of 1 x 2 and 2 x 4 cells; the last object leaves the image, the one before is none.
    centers = np.array([[(63.0, 31), (17, 16), (64, 32), (5, 5), (65, 3)]], "float32")
    anchors = np.array([[1, 0, 0, -1, 1]], "int32")
    matches = cell_matches(centers, anchors, (32, 64), (32, 16), [(1,), (0,)]).numpy()[0]
    assert matches.shape == (5, 2 + 8)
    found = [np.flatnonzero(row).tolist() for row in matches]
    assert found == [[1], [2 + 5], [2 + 7], [], []]


def test_an_anchor_of_two_levels_has_a_box_in_both():
    matches = cell_matches(
        np.array([[(40.0, 10)]], "float32"), np.array([[0]]), (32, 64), (32, 16), [(0,), (0,)]
    )
    assert np.flatnonzero(matches.numpy()).tolist() == [1, 2 + 2]


def test_the_number_of_boxes_tells_the_size_of_a_square():
    assert square_size(22743, (32, 16, 8), 3) == (608, 608)
    assert square_size(2535, (32, 16), 3) == (416, 416)
    assert [int(n) for n in square_size(tf.constant(10647), (32, 16, 8), 3)] == [416, 416]
    with pytest.raises(ValueError, match="10646 boxes are not those of a square image"):
        square_size(10646, (32, 16, 8), 3)


def test_masks_are_checked():
    assert anchor_masks(None, 9, 3) == ((6, 7, 8), (3, 4, 5), (0, 1, 2))
    assert anchor_masks([[3, 4], [1, 3]], 5, 2) == ((3, 4), (1, 3))
    for masks in ([[0]], [[0], [1, 2]], [[0, 0], [1, 2]], [[5], [0]], [[], []]):
        with pytest.raises(ValueError, match="`masks` must be 2 lists of equal length"):
            anchor_masks(masks, 5, 2)
    with pytest.raises(ValueError, match="`anchors` must be as many for each of 2 levels"):
        anchor_masks(None, 5, 2)


def test_interpolated_anchors_keep_the_given_ones():
    given = [(10, 13), (16, 30), (33, 23)]
    assert interpolate_anchors(given, 3) == given
    assert interpolate_anchors(given, 5)[::2] == given
