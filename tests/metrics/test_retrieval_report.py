"""The report against the single measures on resampled queries."""

import numpy as np
import pytest

from kmed.metrics.retrieval import (
    mean_average_precision_at_r,
    median_rank,
    ndcg,
    query_scores,
    recall_at,
)
from kmed.metrics.retrieval_report import retrieval_report


def data(queries=40, items=120, patients=8, seed=0):
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(items, 8)).astype("float32")
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    found = embeddings[:queries] + rng.normal(0, 0.25, (queries, 8)).astype("float32")
    position = np.arange(items) % 15 * 4.0
    study = np.arange(items) // 15
    errors = np.abs(position[:queries, None] - position)
    errors[study[:queries, None] != study] = np.nan
    relevant = errors <= 4
    return found, embeddings, relevant, errors, np.arange(queries) % patients


def test_values_and_limits_against_resampled_queries():
    queries, gallery, relevant, errors, patients = data()
    grades = np.nan_to_num(np.maximum(20 - errors, 0))
    report = retrieval_report(
        queries, gallery, relevant, patients=patients, errors_mm=errors, grades=grades,
        among=30, level=0.9, resamples=30, seed=4,
    )  # fmt: skip
    assert list(report) == [
        "recall_1", "recall_5", "recall_10",
        "recall_1_among_30", "recall_5_among_30", "recall_10_among_30",
        "median_rank", "map_r", "ndcg", "error_mm",
    ]  # fmt: skip

    def one_by_one(rows):
        part = queries[rows], gallery, relevant[rows]
        scores = query_scores(*part, errors_mm=errors[rows], among=30)
        values = [recall_at(*part, k=k) for k in (1, 5, 10)]
        values += scores.among.mean(axis=0).tolist()
        values += [median_rank(*part), mean_average_precision_at_r(*part)]
        values += [ndcg(*part[:2], grades[rows]), np.nanmedian(scores.error_mm)]
        return values

    np.testing.assert_allclose([i.value for i in report.values()], one_by_one(np.arange(40)))
    drawn = np.random.default_rng(4).integers(0, 8, (30, 8))
    groups = [np.flatnonzero(patients == patient) for patient in range(8)]
    samples = [one_by_one(np.concatenate([groups[i] for i in row])) for row in drawn]
    low, high = np.percentile(samples, [5, 95], axis=0)
    np.testing.assert_allclose([i.low for i in report.values()], low)
    np.testing.assert_allclose([i.high for i in report.values()], high)
    assert {i.n for i in report.values()} == {8}
    unknown = np.isnan(errors[np.arange(40), (queries @ gallery.T).argmax(axis=1)]).sum()
    assert report["error_mm"].omitted == unknown > 0


def test_queries_that_cannot_be_answered_are_counted():
    queries, gallery, relevant, _, patients = data()
    relevant = relevant.copy()
    relevant[patients == 3] = False
    report = retrieval_report(queries, gallery, relevant, patients=patients, resamples=20)
    assert (report["recall_1"].n, report["recall_1"].omitted) == (7, 5)
    # The gallery has 120 items; with its near neighbours counted as relevant over 99 are left.
    assert report["recall_10_among_100"].omitted == 5
    few = retrieval_report(queries, gallery[:60], relevant[:, :60], resamples=20)
    assert np.isnan(few["recall_1_among_100"].value) and few["recall_1_among_100"].omitted == 40
    assert "recall_1_among_100" not in retrieval_report(
        queries, gallery, relevant, among=None, resamples=20
    )


def test_an_error_that_is_infinite_counts():
    scores = np.tile([1.0, 0.0], (6, 1))
    errors = np.array([[1.0, 9], [2, 9], [3, 9], [np.inf, 9], [np.inf, 9], [np.inf, 9]])
    relevant = np.ones((6, 2), bool)
    report = retrieval_report(scores, None, relevant, errors_mm=errors, among=None)
    error = report["error_mm"]
    assert error.value == np.inf and error.high == np.inf and error.low <= 3 and error.omitted == 0
    few = retrieval_report(scores[:4], None, relevant[:4], errors_mm=errors[:4], among=None)
    assert few["error_mm"].value == 2.5


def test_equal_arguments_give_equal_reports():
    queries, gallery, relevant, errors, patients = data()
    first, second = (
        retrieval_report(
            queries, gallery, given, patients=patients.astype(str), errors_mm=errors, seed=9,
            resamples=50,
        )
        for given in (relevant, lambda rows: relevant[rows])
    )  # fmt: skip
    assert first == second


def test_what_does_not_fit_is_said():
    queries, gallery, relevant, _, patients = data()
    with pytest.raises(ValueError, match="patient of each of 40 queries; received 39"):
        retrieval_report(queries, gallery, relevant, patients=patients[1:])
    with pytest.raises(ValueError, match="`level` must lie between 0 and 1"):
        retrieval_report(queries, gallery, relevant, level=95)
