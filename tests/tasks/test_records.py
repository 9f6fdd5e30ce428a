import csv

from kmed.metrics import Interval
from kmed.tasks.records import card, metrics_json, plain_facts, write_csv

NAN = float("nan")
FACTS = {
    "data": {
        "name": "chests", "fingerprint": "0123456789abcdef0123", "split_seed": 0,
        "patients": {"train": 3, "test": 1}, "images": {"train": 5, "test": 2},
    },
    "seed": 4,
    "training": {"epochs": 2},
}  # fmt: skip


def test_what_is_not_finite_becomes_null():
    summary = {"lesion": {"hd95_mm": Interval(float("inf"), NAN, 2.0, 3, 1)}}
    assert metrics_json(summary) == {
        "lesion": {"hd95_mm": {"value": None, "low": None, "high": 2.0, "n": 3, "omitted": 1}}
    }


def test_a_card_has_the_measures_that_are_known():
    summary = {"lung": {"dice": Interval(0.9, 0.8, 0.95, 5), "iou": Interval(0.8, NAN, NAN, 1)}}
    made = card(FACTS, summary, ("dice", "iou", "auc"))
    assert made["metrics"] == {"lung dice": (0.9, 0.8, 0.95)}
    assert made["seed"] == 4 and "keras" in made["versions"]


def test_facts_in_short():
    assert plain_facts(FACTS) == {
        "data": "chests", "data fingerprint": "0123456789abcdef", "seed": 4, "epochs": 2,
        "split": "train 3 patients (5 images), test 1 patients (2 images)",
    }  # fmt: skip


def test_csv(tmp_path):
    write_csv(tmp_path / "a.csv", [{"name": "a, b", "dice": 0.5}])
    with open(tmp_path / "a.csv", newline="") as file:
        assert list(csv.DictReader(file)) == [{"name": "a, b", "dice": "0.5"}]
