"""Places against a plain sort, chances against scipy and against drawing, blocks of any size."""

import numpy as np
import pytest
from scipy.stats import hypergeom

from kmed.metrics import ranking
from kmed.metrics.ranking import chance_of_place, places, ranked_blocks


def test_places_against_a_plain_sort():
    rng = np.random.default_rng(0)
    for _ in range(50):
        scores = rng.integers(0, 6, 30) / 4  # many ties
        gains = rng.integers(0, 4, 30) * (rng.random(30) < rng.choice([0.1, 0.6]))
        order = sorted(range(30), key=lambda i: (-scores[i], gains[i]))
        expected = [(p, gains[i]) for p, i in enumerate(order, 1) if gains[i] > 0]
        place, gain, before = places(scores, gains)
        assert list(zip(place, gain, strict=True)) == expected
        assert before.tolist() == [sum(gains[i] == 0 for i in order[: p - 1]) for p, _ in expected]


def test_what_scores_a_little_less_still_stands_before():
    scores, gains = np.array([0.5, 0.499, 0.4]), np.array([1, 0, 0])
    assert places(scores, gains)[0].tolist() == [1]
    assert places(scores, gains, tie=0.01)[0].tolist() == [2]
    assert places(scores, gains * 0)[0].shape == (0,)


def test_chances_against_the_hypergeometric_distribution():
    others, drawn = np.array([5, 99, 100, 1000, 200_000]), 5
    for k in (1, 3, 10):
        for share in (0, 0.3, 0.9, 1):
            before = (share * others).astype(int)
            expected = hypergeom.cdf(k - 1, others, before, drawn)
            np.testing.assert_allclose(
                chance_of_place(before, others, drawn, k), expected, rtol=1e-8, atol=1e-11
            )
    assert np.isnan(chance_of_place(np.array([1]), np.array([4]), 5, 1)).all()


def test_chances_against_drawing():
    rng = np.random.default_rng(1)
    others = np.arange(40) < 3  # three stand before
    drawn = [rng.choice(others, 10, replace=False).sum() < 1 for _ in range(20_000)]
    assert chance_of_place(np.array(3), np.array(40), 10, 1) == pytest.approx(
        np.mean(drawn), abs=0.012
    )


def test_blocks_of_any_size_hold_the_same(monkeypatch):
    rng = np.random.default_rng(2)
    queries, gallery = rng.normal(size=(17, 8)), rng.normal(size=(23, 8))
    table = rng.random((17, 23))
    seen = []

    def rows_of(rows):
        seen.append(len(rows))
        return table[rows]

    monkeypatch.setattr(ranking, "_BLOCK", 100)
    blocks = list(ranked_blocks(queries, gallery, given=rows_of, array=table, none=None))
    assert seen == [4, 4, 4, 4, 1]
    assert np.concatenate([rows for rows, *_ in blocks]).tolist() == list(range(17))
    np.testing.assert_allclose(
        np.concatenate([scores for _, scores, *_ in blocks]), queries @ gallery.T
    )
    for name in ("given", "array"):
        assert (np.concatenate([one[name] for _, _, one, _ in blocks]) == table).all()
    assert blocks[0][2]["none"] is None
    (whole,) = [scores for _, scores, _, tie in ranked_blocks(table[:4], None) if tie == 0]
    assert (whole == table[:4]).all()


def test_half_precision_is_compared_in_float32():
    half = np.eye(3, dtype="float16")
    assert [scores.dtype for _, scores, *_ in ranked_blocks(half, half)] == ["float32"]


@pytest.mark.parametrize(
    ("queries", "gallery", "table", "said"),
    [
        (np.ones(3), None, None, r"`queries` must be an array .* two axes.*\(3,\)"),
        (np.ones((2, 3)), np.ones((0, 3)), None, r"`gallery` must be .* none of them empty"),
        (np.ones((2, 3)), np.ones((4, 5)), None, r"one length .* \(2, 3\) and \(4, 5\)"),
        (np.full((2, 3), np.nan), np.ones((4, 3)), None, "`queries` must be finite; 2 of 2"),
        (np.ones((2, 3)), np.ones((4, 3)), np.ones((4, 2)), r"`t` .* 2 queries and 4 .* \(4, 2\)"),
        (np.ones((2, 3)), np.ones((4, 3)), lambda rows: np.ones(4), r"`t` must give \(2, 4\)"),
    ],
)
def test_what_does_not_fit_is_said(queries, gallery, table, said):
    with pytest.raises(ValueError, match=said):
        list(ranked_blocks(queries, gallery, t=table))
