"""Rand score by hand and by looking at every pair of pixels."""

import itertools

import numpy as np
import pytest

from kmed.metrics import best_rand_score, pixel_error, rand_error, rand_score, segments


def test_hand_worked_tables():
    truth = np.array([1, 1, 1, 2, 2, 0])
    assert rand_score(truth, truth) == 1
    assert rand_score(truth, np.array([5, 5, 5, 9, 9, 9])) == 1  # names do not matter, nor 0s
    # One segment of five over three and two: 2 (9 + 4) / (25 + 9 + 4).
    assert rand_score(truth, np.full(6, 7)) == pytest.approx(26 / 38)
    # The first segment split into two and one: 2 (4 + 1 + 4) / (4 + 1 + 4 + 13).
    assert rand_score(truth, np.array([1, 1, 3, 2, 2, 2])) == pytest.approx(18 / 22)
    # Two pixels called border are segments of one pixel: 2 (4 + 4 + 1) / (9 + 13).
    assert rand_score(truth, np.array([1, 1, 0, 2, 2, 0])) == pytest.approx(18 / 22)
    assert rand_error(truth, np.full(6, 7)) == pytest.approx(12 / 38)


def test_equals_the_definition_over_ordered_pairs_of_pixels():
    rng = np.random.default_rng(0)
    truth, found = rng.integers(0, 4, (2, 6, 7))
    inside = truth > 0
    t, s = truth[inside], found[inside].copy()
    s[s == 0] = np.arange(1000, 1000 + (s == 0).sum())
    together_truth = together_found = both = 0
    for i, j in itertools.product(range(len(t)), repeat=2):
        together_truth += t[i] == t[j]
        together_found += s[i] == s[j]
        both += t[i] == t[j] and s[i] == s[j]
    split, merge = both / together_truth, both / together_found
    expected = 2 / (1 / split + 1 / merge)
    assert rand_score(truth, found) == pytest.approx(expected)


def test_defined_without_segments():
    empty, some = np.zeros((2, 3, 3), int)
    some[0] = 1
    assert rand_score(empty, some) == 1
    # Nothing found, three pixels of one segment: 2 * 3 / (3 + 9).
    assert rand_score(some, empty) == pytest.approx(0.5)


def test_segments_are_kept_apart_by_a_diagonal_membrane():
    inside = 1 - np.eye(5)
    labels = segments(inside)
    assert labels.max() == 2 and (labels == 0).sum() == 5
    grown = segments(inside, grow=True)
    assert (grown > 0).all() and grown.max() == 2
    stack = segments(np.stack([inside, inside]), planes=True)
    assert stack.max() == 4 and stack.dtype == np.int32
    assert segments(np.stack([inside, inside])).max() == 2


def test_best_threshold_finds_the_membrane():
    inside = np.full((2, 9, 9), 0.95)
    inside[:, :, 4] = 0.55  # a faint membrane: found only above 0.55
    truth = segments(inside, 0.6, planes=True)
    score, threshold = best_rand_score(truth, inside)
    assert score == 1 and threshold == pytest.approx(0.6)
    assert best_rand_score(truth[0], inside[0]) == (score, threshold)
    assert rand_score(truth[0], segments(inside[0], 0.5)) < 1


def test_pixel_error_and_refusals():
    assert pixel_error(np.array([[0, 1], [1, 1]]), np.array([[0, 1], [0, 0]])) == 0.5
    with pytest.raises(ValueError, match="one shape"):
        pixel_error(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="one shape"):
        rand_score(np.zeros(3, int), np.zeros(4, int))
    with pytest.raises(ValueError, match="segment numbers"):
        rand_score(np.zeros(3), np.zeros(3, int))
    with pytest.raises(ValueError, match="inside"):
        segments(np.zeros(3))
