"""Measures by hand, against plain loops and against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from kmed.metrics import ranking
from kmed.metrics.retrieval import (
    mean_average_precision_at_r,
    median_rank,
    ndcg,
    query_scores,
    recall_at,
)


def by_loops(scores, relevant, k):
    """Recall at k, median rank and mAP@R of scores without ties, from the definitions."""
    recalls, ranks, precisions = [], [], []
    for row, right in zip(scores, relevant, strict=True):
        ordered = [right[i] for i in sorted(range(len(row)), key=lambda i: -row[i])]
        total = sum(ordered)
        recalls.append(any(ordered[:k]))
        ranks.append(1 + ordered.index(True))
        hits = average = 0
        for place in range(1, total + 1):
            if ordered[place - 1]:
                hits += 1
                average += hits / place
        precisions.append(average / total)
    return np.mean(recalls), np.median(ranks), np.mean(precisions)


@pytest.mark.parametrize("labels", [3, 20])
def test_against_plain_loops(labels, monkeypatch):
    monkeypatch.setattr(ranking, "_BLOCK", 150)  # several blocks
    rng = np.random.default_rng(labels)
    queries, gallery = rng.normal(size=(25, 6)), rng.normal(size=(40, 6))
    of_query, of_item = rng.integers(0, labels, 25), np.arange(40) % labels
    relevant = of_query[:, None] == of_item
    expected = by_loops(queries @ gallery.T, relevant.tolist(), 4)
    for given in (relevant, lambda rows: of_query[rows, None] == of_item):
        arguments = queries, gallery, given
        got = recall_at(*arguments, k=4), median_rank(*arguments)
        got += (mean_average_precision_at_r(*arguments),)
        np.testing.assert_allclose(got, expected, rtol=1e-12)
    assert recall_at(queries @ gallery.T, None, relevant, k=4) == expected[0]


@pytest.mark.parametrize("k", [None, 5])
def test_ndcg_against_scikit_learn(k):
    rng = np.random.default_rng(0)
    scores = rng.random((20, 30))
    grades = np.maximum(rng.integers(-2, 5, (20, 30)), 0)
    expected = ndcg_score(grades, scores, k=k)
    assert ndcg(scores, None, grades, k=k) == pytest.approx(expected, rel=1e-12)
    assert ndcg(scores, None, lambda rows: grades[rows], k=k) == pytest.approx(expected, rel=1e-12)


def test_ndcg_by_hand():
    # Grades in the order found: 0, 3, 1; in the best order: 3, 1, 0.
    expected = (3 / np.log2(3) + 1 / 2) / (3 + 1 / np.log2(3))
    assert ndcg(np.array([[0.9, 0.5, 0.1]]), None, [[0, 3, 1]]) == pytest.approx(expected)


def test_a_collapsed_network_finds_nothing():
    rng = np.random.default_rng(0)
    one = rng.normal(size=128).astype("float32")
    same = np.tile(one / np.linalg.norm(one), (300, 1))
    same += rng.normal(0, 1e-9, same.shape).astype("float32")
    scores = query_scores(
        same, same, np.eye(300) == 1, errors_mm=np.tile(np.arange(300.0), (300, 1)), among=100
    )
    assert (scores.first == 300).all() and (scores.among == 0).all()
    assert (scores.error_mm == 299).all()  # the farthest of those in the first place
    assert recall_at(same, same, np.eye(300) == 1, k=299) == 0


def test_the_error_is_that_of_the_item_found_first():
    scores = np.array([[0.9, 0.8], [0.1, 0.2], [0.3, 0.3], [0.5, 0.1]])
    errors = np.array([[5.0, 0.0], [5.0, 0.0], [np.nan, 7.0], [np.nan, 7.0]])
    found = query_scores(scores, None, np.zeros((4, 2), bool), errors_mm=errors).error_mm
    np.testing.assert_array_equal(found, [5, 0, 7, np.nan])


def test_among_few_against_drawing():
    rng = np.random.default_rng(3)
    scores = rng.random((6, 60))
    relevant = np.zeros((6, 60), bool)
    relevant[np.arange(6), np.arange(6)] = relevant[0, 1:3] = True
    scores[relevant] += 0.4
    got = query_scores(scores, None, relevant, among=10, ks=(1, 3)).among
    for row, right, chance in zip(scores, relevant, got, strict=True):
        ranks = []
        for _ in range(4000):
            own = row[rng.choice(np.flatnonzero(right))]
            ranks.append(
                1 + (row[rng.choice(np.flatnonzero(~right), 9, replace=False)] > own).sum()
            )
        np.testing.assert_allclose(
            chance, [np.mean(np.array(ranks) <= k) for k in (1, 3)], atol=0.045
        )
    too_few = query_scores(scores, None, relevant, among=60).among
    assert np.isnan(too_few[0]).all() and np.isfinite(too_few[1:]).all()


def test_queries_that_nothing_matches_are_left_out():
    scores = np.array([[0.9, 0.1], [0.2, 0.8]])
    relevant = np.array([[False, False], [False, True]])
    assert recall_at(scores, None, relevant) == median_rank(scores, None, relevant) == 1
    assert ndcg(scores, None, relevant) == 1
    nothing = np.zeros((2, 2), bool)
    for measure in (recall_at, median_rank, mean_average_precision_at_r, ndcg):
        assert np.isnan(measure(scores, None, nothing))


def test_what_does_not_fit_is_said():
    scores, relevant = np.eye(2), np.eye(2) == 1
    with pytest.raises(ValueError, match="`relevant` must be bool; received float64"):
        recall_at(scores, None, np.eye(2))
    with pytest.raises(ValueError, match="`k` must be 1 or more; received 0"):
        recall_at(scores, None, relevant, k=0)
    with pytest.raises(ValueError, match="`k` must be 1 or more; received 0"):
        ndcg(scores, None, np.eye(2), k=0)
    with pytest.raises(ValueError, match="`grades` must be finite and 0 or more; received -1"):
        ndcg(scores, None, -np.eye(2))
    with pytest.raises(ValueError, match="`among` must be 2 or more"):
        query_scores(scores, None, relevant, among=1)
