import numpy as np

from kmed.index.exact import nearest, products
from kmed.index.given import unit_vectors


def _vectors(count, seed):
    return unit_vectors(np.random.default_rng(seed).standard_normal((count, 9)), 9)


def test_nearest_is_the_order_of_all_products():
    vectors, queries = _vectors(300, 0), _vectors(40, 1)
    parts = np.split(vectors, [1, 4, 100])
    scores, positions = nearest(queries, parts, 12)
    all_scores = queries.astype(np.float64) @ vectors.T.astype(np.float64)
    np.testing.assert_array_equal(positions, np.argsort(-all_scores, axis=1)[:, :12])
    np.testing.assert_allclose(scores, -np.sort(-all_scores, axis=1)[:, :12], atol=1e-6)


def test_of_equal_vectors_the_earlier_is_first_over_parts():
    vectors = np.eye(9, dtype=np.float32)[[0, 1, 0, 2, 0]]
    _, positions = nearest(vectors[:1], [vectors[:2], vectors[2:]], 3)
    np.testing.assert_array_equal(positions, [[0, 2, 4]])


def test_nothing_is_found_among_nothing():
    scores, positions = nearest(_vectors(3, 0), [], 0)
    assert scores.shape == positions.shape == (3, 0)


def test_products_of_chosen_vectors_in_any_chunk(monkeypatch):
    vectors, queries = _vectors(60, 0), _vectors(20, 1)
    positions = np.random.default_rng(2).integers(-1, 60, (20, 7))
    expected = np.where(
        positions < 0, -np.inf, np.take_along_axis(queries @ vectors.T, positions % 60, axis=1)
    )
    for chunk in (1, 30, 1000):
        monkeypatch.setattr("kmed.index.exact._CHUNK", chunk)
        found = products(queries, positions, vectors.__getitem__)
        np.testing.assert_allclose(found, expected, atol=1e-6)
