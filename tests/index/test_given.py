import json

import numpy as np
import pytest

from kmed.index.errors import VectorIndexError
from kmed.index.given import checked_facts, checked_ids, row_lines, unit_vectors


def test_unit_vectors_keep_their_direction():
    random = np.random.default_rng(0)
    vectors = random.standard_normal((50, 7)) * 10.0 ** random.integers(-15, 15, (50, 1))
    units = unit_vectors(vectors, 7)
    expected = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert units.dtype == np.float32 and units.flags.c_contiguous
    np.testing.assert_allclose(units, expected, atol=1e-7)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_lengths_whose_square_is_no_float32(scale):
    units = unit_vectors(np.array([[3, 4]], np.float32) * np.float32(scale), 2)
    np.testing.assert_allclose(units, [[0.6, 0.8]], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "float64", "int32"])
def test_any_number_is_a_coordinate(dtype):
    np.testing.assert_allclose(unit_vectors(np.array([[0, 2]], dtype), 2), [[0, 1]])


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.ones((2, 3)), r"shape \(N, 2\), the index's dimension; received float64 of shape"),
        (np.ones(2), r"received float64 of shape \(2,\)"),
        (np.array([["a", "b"]]), "must be numbers"),
        (np.array([[1, 0], [0, 0]]), "vector 1 has length 0"),
        (np.array([[1, np.nan]]), "vector 0 has length nan"),
        (np.array([[1, np.inf]]), "must be finite"),
    ],
)
def test_what_has_no_direction_is_refused(vectors, message):
    with pytest.raises(VectorIndexError, match=message):
        unit_vectors(vectors, 2)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["a", "b", "a"], "'a' is there twice"),
        (["a", ""], "not empty; received ''"),
        ([7], "must be a text .* received 7"),
    ],
)
def test_ids_that_name_nothing_or_two_things_are_refused(ids, message):
    with pytest.raises(VectorIndexError, match=message):
        checked_ids(ids)


def test_facts_come_back_as_json_gives_them():
    assert checked_facts({"size": (96, 96), "tower": None}) == {"size": [96, 96], "tower": None}
    for facts in ({"spacing": float("nan")}, {"file": object()}, [1], "ct"):
        with pytest.raises(VectorIndexError, match="`facts` must be a dictionary of JSON values"):
            checked_facts(facts)


def test_rows_are_lines_whatever_is_in_them():
    rows = [
        {"text": 'a\n"b"\u2028é', "slice": np.int64(3)},
        {"mm": np.float32(0.5), "nested": [{}]},
    ]
    lines = row_lines(["ä", "b"], rows)
    assert not any(b"\n" in line for line in lines)
    assert [json.loads(line) for line in lines] == [
        ["ä", {"text": 'a\n"b"\u2028é', "slice": 3}],
        ["b", {"mm": 0.5, "nested": [{}]}],
    ]


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, np.zeros(3), "\ud800"])
def test_rows_that_json_does_not_have_are_refused(value):
    with pytest.raises(VectorIndexError, match="`rows` must hold JSON values .* row of 'b' is"):
        row_lines(["a", "b"], [{}, {"value": value}])


def test_a_row_is_a_dictionary():
    with pytest.raises(VectorIndexError, match="must be a dictionary; that of 'a' is 'text'"):
        row_lines(["a"], ["text"])
