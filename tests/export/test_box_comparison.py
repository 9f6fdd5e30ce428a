import numpy as np
import pytest

from kmed.export.box_comparison import AgreementError, BoxComparison

OPTIONS = {"score_threshold": 0.1, "iou_threshold": 0.5, "max_detections": 4}


def answer(*rows):
    rows = np.array([*rows, *[(0, 0, 0, 0, 0, -1)] * (4 - len(rows))], "float64")
    count = sum(rows[:, 5] >= 0)
    return {"boxes": rows[:, :4], "scores": rows[:, 4], "labels": rows[:, 5], "count": count}


BIG, SMALL = (0, 0, 10, 10, 0.9, 0), (20, 20, 24, 24, 0.5, 1)


def test_the_order_of_equal_scores_is_free_and_differences_are_measured():
    comparison = BoxComparison(OPTIONS)
    moved = (0, 0, 10, 10.0005, 0.90005, 0)
    comparison.add(answer(BIG, SMALL), answer(SMALL, moved))
    comparison.check("x")
    row = comparison.row()
    assert (row["images"], row["detections"], row["differing"]) == (1, 2, 0)
    assert row["max_box_difference"] == pytest.approx(5e-4)
    assert row["max_score_difference"] == pytest.approx(5e-5)


@pytest.mark.parametrize(
    "other",
    [
        [BIG],
        [BIG, SMALL, (1, 1, 5, 5, 0.3, 0)],
        [BIG, (20, 20, 24, 24.01, 0.5, 1)],
        [BIG, (20, 20, 24, 24, 0.502, 1)],
        [BIG, (20, 20, 24, 24, 0.5, 0)],
    ],
)
def test_every_other_difference_is_an_error(other):
    comparison = BoxComparison(OPTIONS)
    comparison.add(answer(BIG, SMALL), answer(*other))
    with pytest.raises(AgreementError, match="tflite gives other detections"):
        comparison.check("tflite")


def test_ties_at_a_threshold_pass_and_are_counted():
    comparison = BoxComparison(OPTIONS)
    weak = (50, 50, 60, 60, 0.1 + 1e-6, 0)  # of the score threshold
    half = (0, 5, 10, 20, 0.7, 0)  # (0, 0, 10, 20) overlaps it by 3/4, (0, 0, 10, 10) by 1/4
    pair = (0, 0, 10, 5, 0.7, 0)  # overlaps BIG by one half exactly
    comparison.add(answer(BIG, weak), answer(BIG))
    comparison.add(answer(BIG), answer(BIG, pair))
    comparison.check("x")
    assert comparison.row()["differing_ties"] == 2
    instead = (0, 1.5, 10, 11, 0.9 - 1e-6, 0)
    swapped = BoxComparison(OPTIONS)
    swapped.add(answer(BIG, SMALL), answer(instead, SMALL))
    swapped.check("x")
    assert swapped.row()["differing_ties"] == 2
    comparison.add(answer(BIG), answer(BIG, half))
    with pytest.raises(AgreementError, match="3 of 4 differ, 2 of them ties"):
        comparison.check("x")


def test_nothing_compared_is_no_agreement():
    with pytest.raises(ValueError, match="at least one image"):
        BoxComparison(OPTIONS).check("x")
