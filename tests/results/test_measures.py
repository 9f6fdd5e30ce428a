from kmed.metrics import Interval
from kmed.results.measures import DICE, HD95, columns, groups, number

ONE = Interval(1.0, 0.9, 1.0, 5)


def test_entries_of_equal_measures_share_a_table():
    metrics = {
        "lung": {"dice": ONE, "unknown": ONE},
        "heart": {"dice": ONE},
        "all": {"auc": ONE, "accuracy": ONE},
    }
    assert groups(metrics) == [["lung", "heart"], ["all"]]
    assert groups({}) == []


def test_columns_have_an_order_of_their_own():
    keys = [measure.key for measure in columns([{"brier": ONE, "auc": ONE}, {"accuracy": ONE}])]
    assert keys == ["auc", "accuracy", "brier"]


def test_the_relative_difference_stands_in_for_millilitres():
    relative = {"relative_volume_difference": ONE}
    assert [m.unit for m in columns([relative])] == ["%"]
    assert [m.unit for m in columns([relative | {"volume_difference_ml": ONE}])] == ["ml"]


def test_numbers():
    assert number(0.12345, DICE) == "0.123" and number(1.5, HD95) == "1.50"
    assert number(float("inf"), HD95) == "∞" and number(-float("inf"), HD95) == "−∞"
    assert number(float("nan"), DICE) == "n/a"
    (relative,) = columns([{"relative_volume_difference": ONE}])
    assert number(-0.1, relative) == "−10.0"
    (images,) = columns([{"positives": ONE}])
    assert number(1234.0, images) == "1,234"
