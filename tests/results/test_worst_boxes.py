import numpy as np
import pytest

from kmed.metrics.box_matching import matched
from kmed.results.drawing import color
from kmed.results.worst_boxes import worst_cases, worst_sheet

LABELS = ["cell", "platelet"]


def boxes(*rows, scores=None):
    """Rows of x1, y1, x2, y2, label."""
    rows = np.reshape(np.array(rows, float), (-1, 5))
    found = {"boxes": rows[:, :4], "labels": rows[:, 4].astype(int)}
    return found | ({} if scores is None else {"scores": np.array(scores, float)})


TRUTH = [
    boxes((10, 10, 30, 30, 0), (100, 100, 110, 110, 1)),
    boxes((0, 0, 50, 60, 0), (150, 120, 170, 140, 1)),
    boxes(),
]
FOUND = [
    boxes((10, 10, 30, 29, 0), (60, 60, 80, 80, 1), scores=[0.9, 0.6]),
    boxes((150, 120, 171, 140, 0), (1, 2, 3, 4, 0), scores=[0.8, 0.3]),
    boxes((180, 140, 200, 150, 1), scores=[0.95]),
]
IMAGES = [np.full((150, 200, 3), 90, "uint8")] * 3


def test_the_surest_false_positives_and_the_largest_misses():
    false, missed = worst_cases(TRUTH, FOUND, matched(TRUTH, FOUND), 3)
    assert [(one.image, one.row, one.label, one.score) for one in false] == [
        (2, 0, 1, 0.95), (1, 0, 0, 0.8), (0, 1, 1, 0.6),
    ]  # fmt: skip
    assert [(one.image, one.row, one.score) for one in missed] == [
        (1, 0, None), (1, 1, None), (0, 1, None),
    ]  # fmt: skip
    assert false[0].box == (180, 140, 200, 150) and missed[0].box == (0, 0, 50, 60)


def test_what_scores_less_than_the_threshold_is_no_detection():
    matches = matched(TRUTH, FOUND, threshold=0.92)
    false, missed = worst_cases(TRUTH, FOUND, matches)
    assert [one.score for one in false] == [0.95] and len(missed) == 4


def test_a_detector_without_an_error():
    found = [one | {"scores": np.ones(len(one["labels"]))} for one in TRUTH]
    matches = matched(TRUTH, found)
    assert worst_cases(TRUTH, found, matches) == ([], [])
    with pytest.raises(ValueError, match="received 0 and 4"):
        worst_sheet(IMAGES, TRUTH, found, matches, [], labels=LABELS)


def test_the_sheet_shows_the_error_in_its_surroundings():
    matches = matched(TRUTH, FOUND)
    false, missed = worst_cases(TRUTH, FOUND, matches, 2)
    sheet = worst_sheet(IMAGES, TRUTH, FOUND, matches, false, labels=LABELS, size=150)
    assert sheet.shape[1] == 2 * 150 + 4 and 150 < len(sheet) < 200
    # 50 pixels around (180, 140, 200, 150), moved into the image: x from 150, y from 100.
    assert tuple(sheet[3 * 40, 3 * 40]) == color(2)
    assert (sheet[60:115, :85] == 90).all()
    # The object below the second one has another class: it is shown, dashed.
    assert (sheet[:150, 154:] == 255).all(axis=-1).any()
    sheet = worst_sheet(IMAGES, TRUTH, FOUND, matches, missed, labels=LABELS, size=150)
    assert (sheet[:150] == 255).all(axis=-1).any()


def test_only_the_images_of_the_cases_are_asked_for():
    false, _ = worst_cases(TRUTH, FOUND, matched(TRUTH, FOUND), 1)
    arguments = TRUTH, FOUND, matched(TRUTH, FOUND), false
    assert len(worst_sheet({2: IMAGES[0]}, *arguments, labels=LABELS, size=100)) > 100


def test_a_crop_looks_as_the_whole_image_does():
    ramp = np.tile(np.linspace(-1000, 1000, 200), (150, 1))
    false, _ = worst_cases(TRUTH, FOUND, matched(TRUTH, FOUND), 1)
    arguments = TRUTH, FOUND, matched(TRUTH, FOUND), false
    adapted = worst_sheet([ramp] * 3, *arguments, labels=LABELS, size=100)
    assert 180 < adapted[40, 4].min() < 200  # x = 152 of 200
    given = worst_sheet([ramp] * 3, *arguments, labels=LABELS, size=100, window=(0, 8000))
    assert 140 < given[40, 4].min() < 150


def test_refused():
    with pytest.raises(ValueError, match="received 3, 2 and 3"):
        worst_cases(TRUTH, FOUND[:2], matched(TRUTH, FOUND))
