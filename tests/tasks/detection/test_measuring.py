import numpy as np
import pytest

from kmed.data import Arrays, DataError, Objects, Sample
from kmed.tasks.detection.measuring import detections, measure, operating_scores, shown


class Bundle:
    """Finds what the image says: rows of x1, y1, x2, y2, score, label."""

    rank, channels, labels = 2, 6, ("a", "b")

    class preprocessor:
        name = "xray"

    def __init__(self):
        self.metadata = {}

    def detect(self, image):
        rows = image[0]
        rows = rows[rows[:, 4] > 0]
        rows = rows[np.argsort(-rows[:, 4], kind="stable")]
        return {"boxes": rows[:, :4], "scores": rows[:, 4], "labels": rows[:, 5].astype(int)}


def sample(name, rows, boxes, labels):
    image = np.zeros((1, 8, 6), "float32")
    image[0, : len(rows)] = np.reshape(rows, (-1, 6))
    objects = None if boxes is None else Objects(boxes=boxes, labels=labels)
    arrays = Arrays(image, None, (1.0, 1.0), None)
    return Sample(id=name, patient=name, files=(name,), read=lambda: arrays, objects=objects)


A, B = [0, 0, 10, 10], [20, 20, 40, 40]
SAMPLES = [
    sample("one", [[*A, 0.9, 0], [*B, 0.8, 1], [50, 50, 60, 60, 0.4, 0]], [A, B], [0, 1]),
    sample("two", [[*A, 0.6, 0], [50, 50, 60, 60, 0.7, 1]], [A, B], [0, 1]),
    sample("three", [], [], []),
]


def test_measures_by_hand():
    measured = measure(Bundle(), SAMPLES)
    summary = measured.summary
    assert summary["a"]["ap50"].value == pytest.approx(1.0)
    # Of b the surest is right, the second wrong, and one of two objects is missed.
    assert summary["b"]["ap50"].value == pytest.approx(51 / 101)
    assert summary["b"]["sensitivity"].value == 0.5
    assert measured.seconds_per_case >= 0 and len(measured.found) == 3


def test_scores_are_chosen_for_the_largest_f1():
    scores = operating_scores(Bundle(), SAMPLES)
    assert 0.4 < scores["a"] <= 0.6
    assert 0.7 < scores["b"] <= 0.8


def test_a_class_that_is_never_found_is_never_shown():
    only = [sample("one", [[*A, 0.9, 0]], [A, B], [0, 1])]
    scores = operating_scores(Bundle(), only)
    assert scores["b"] == 1.0 and scores["a"] == pytest.approx(0.9)


def test_people_see_what_reaches_the_score_of_its_class():
    bundle = Bundle()
    bundle.metadata["shown_from"] = {"a": 0.5, "b": 0.85}
    found = bundle.detect(SAMPLES[0].read().image)
    assert shown(bundle, found)["labels"].tolist() == [0]
    assert shown(bundle, found, score=0.3)["labels"].tolist() == [0, 1, 0]


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(DataError, match="no image to measure on"):
        measure(Bundle(), [])
    with pytest.raises(DataError, match="x: has no boxes to compare with"):
        detections(Bundle(), [sample("x", [], None, None)])
    other = Bundle()
    other.channels = 3
    with pytest.raises(DataError, match=r"one: the bundle takes \(H, W, C\) of 3 channels"):
        detections(other, SAMPLES)
