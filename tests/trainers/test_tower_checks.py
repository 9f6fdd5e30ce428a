import math

import keras
import numpy as np
import pytest

from kmed.trainers.embedding_memory import KEY_TYPES
from kmed.trainers.tower_checks import (
    check_loss,
    check_settings,
    checked_dimension,
    checked_keys,
    checked_sides,
)


def tower(*shape):
    image = keras.Input((4,))
    return keras.Model(
        image, keras.layers.Reshape(shape)(keras.layers.Dense(math.prod(shape))(image))
    )


def test_two_towers_meet_in_one_dimension():
    assert checked_dimension({"t1": tower(3), "t2": tower(3)}) == 3
    for towers, message in (
        ({"t1": tower(3)}, r"two modalities' networks; received \['t1'\]"),
        ([tower(3), tower(3)], "received list"),
        ({"t1": tower(3), "t2": tower(4)}, r"'t2': \(None, 4\)"),
        ({"t1": tower(3, 2), "t2": tower(3, 2)}, r"one dimension.*\(None, 3, 2\)"),
    ):
        with pytest.raises(ValueError, match=message):
            checked_dimension(towers)


def test_a_loss_compares_two_modalities():
    with pytest.raises(ValueError, match="`cross` and `learnable`.*received MeanSquaredError"):
        check_loss(keras.losses.MeanSquaredError())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"relations": {"near": 3}}, r"by, near_mm, same_patient; received \['near'\]"),
        ({"relations": {"by": "patient"}}, "received {'by': 'patient'}"),
        ({"relations": {"near_mm": float("nan")}}, "0 or more"),
        ({"directions": "second first"}, "`directions` must be one of.*'second first'"),
        ({"memory": -1}, "received -1, 0 and 1"),
        ({"chunks": 0}, "received 0, 0 and 0"),
    ],
)
def test_refuses_settings_outside_of_their_range(change, message):
    settings = {"relations": {}, "directions": "both", "memory": 0, "memory_start": 0, "chunks": 1}
    check_settings(**settings)
    with pytest.raises(ValueError, match=message):
        check_settings(**settings | change)


def test_a_batch_has_both_modalities_in_their_order():
    found = checked_sides({"t2": 2, "t1": 1}, "x", ["t1", "t2"])
    assert list(found.items()) == [("t1", 1), ("t2", 2)]
    with pytest.raises(ValueError, match=r"`x` must be .* \['t1', 't2'\]; received \['t1'\]"):
        checked_sides({"t1": 1}, "x", ["t1", "t2"])
    with pytest.raises(ValueError, match="`y` must be .*; received ndarray"):
        checked_sides(np.zeros(3), "y", ["t1", "t2"])


def test_keys_are_brought_to_one_type():
    keys = {what: np.arange(3) for what in reversed(KEY_TYPES)}
    found = checked_keys({"a": keys, "b": keys}, ["b", "a"])
    assert list(found) == ["b", "a"] and list(found["a"]) == list(KEY_TYPES)
    assert {what: value.dtype.name for what, value in found["a"].items()} == KEY_TYPES
    del keys["study"], keys["label"]
    with pytest.raises(ValueError, match='`y."b".` must have key, .*; it lacks label, study'):
        checked_keys({"a": keys, "b": keys}, ["b", "a"])
