import numpy as np
import pytest

from kmed.ops.overlap_matching import match_by_overlap


def matched(*overlaps, threshold=0.5):
    return np.array(match_by_overlap(np.array([overlaps], "float32"), threshold))[0].tolist()


def test_every_object_gets_the_box_that_overlaps_it_most():
    assert matched([0.1, 0.3, 0.2], [0.0, 0.1, 0.4]) == [-1, 0, 1]


def test_boxes_above_the_threshold_follow():
    assert matched([0.9, 0.6, 0.5, 0.2]) == [0, 0, -1, -1]
    assert matched([0.9, 0.6, 0.5, 0.2], threshold=0.1) == [0, 0, 0, 0]
    # The third box belongs to the object that it overlaps most.
    assert matched([0.9, 0.1, 0.6], [0.1, 0.9, 0.7]) == [0, 1, 1]


def test_an_objects_own_box_is_not_taken_by_a_larger_overlap():
    # The second object overlaps the first box less than the first does, and has no other.
    assert matched([0.8, 0.9], [0.6, 0.0]) == [1, 0]


def test_the_larger_overlap_chooses_first_and_the_other_gets_its_next():
    assert matched([0.6, 0.3, 0.2], [0.7, 0.4, 0.0]) == [1, 0, -1]
    assert matched([0.7, 0.4, 0.0], [0.6, 0.3, 0.2]) == [0, 1, -1]
    # A chain: the second takes the first's choice, the third the first's next.
    assert matched([0.8, 0.5, 0.1], [0.9, 0.0, 0.0], [0.0, 0.6, 0.2]) == [1, 2, 0]


def test_objects_that_touch_nothing_get_nothing():
    assert matched([0.0, 0.0], [0.0, 0.2]) == [-1, 1]
    assert matched([0.0, 0.0]) == [-1, -1]


def test_more_objects_than_boxes():
    assert matched([0.2], [0.4], [0.3]) == [1]


@pytest.mark.parametrize("seed", range(3))
def test_many_objects_are_matched_greedily(seed):
    table = np.random.default_rng(seed).uniform(0, 0.49, (2, 12, 20)).astype("float32")
    result = np.array(match_by_overlap(table, 0.5))
    for image, left in zip(result, table.copy(), strict=True):
        expected = np.full(20, -1)
        for _ in range(12):
            m, n = np.unravel_index(left.argmax(), left.shape)
            expected[n] = m
            left[m], left[:, n] = 0, 0
        np.testing.assert_array_equal(image, expected)
