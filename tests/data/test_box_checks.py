from pathlib import Path

import numpy as np
import pytest

from kmed.data.box_checks import Problem, checked_objects, require_sound
from kmed.data.drawn_boxes import DrawnBox, DrawnImage
from kmed.data.sample import DataError

SIZE = (50, 100)  # height, width


def checked(*boxes, least_side=0.0):
    boxes = tuple(
        box if isinstance(box, DrawnBox) else DrawnBox(number, "cell", box)
        for number, box in enumerate(boxes, 1)
    )
    image = DrawnImage(file=Path("a.xml"), image=Path("a.png"), boxes=boxes)
    return checked_objects(image, SIZE, {"cell": 0, "lump": 1}, least_side=least_side)


def test_sound_boxes_pass_as_they_are():
    objects, problems = checked(
        (0, 0, 100, 50), DrawnBox(2, "lump", (1.25, 2, 3, 4), difficult=True), (1.25, 2, 3, 4)
    )
    assert objects.boxes.tolist() == [[0, 0, 100, 50], [1.25, 2, 3, 4], [1.25, 2, 3, 4]]
    assert objects.labels.tolist() == [0, 1, 0]
    assert objects.difficult.tolist() == [False, True, False]
    assert problems == []


def test_an_image_without_boxes_is_a_negative():
    objects, problems = checked()
    assert len(objects) == 0 and problems == []


@pytest.mark.parametrize(
    ("box", "least_side", "what"),
    [
        ((5, 5, 5, 9), 0, "degenerate: cell of 0 x 4 px (dropped)"),
        ((9, 5, 5, 9), 0, "degenerate: cell of -4 x 4 px (dropped)"),
        ((4, 4, 5, 9), 1, "degenerate: cell of 1 x 5 px (dropped)"),
        ((np.nan, 4, 5, 9), 0, "degenerate: a corner of cell is no number (dropped)"),
        ((1, 4, np.inf, 9), 0, "degenerate: a corner of cell is no number (dropped)"),
        ((100, 4, 120, 9), 0, "outside of the image of 100 x 50 px: cell (dropped)"),
        ((-9, 4, -3, 9), 0, "outside of the image of 100 x 50 px: cell (dropped)"),
        (DrawnBox(1, "x", (1, 1, 2, 2)), 0, "unknown class 'x'; known are cell, lump (dropped)"),
        (DrawnBox(1, "x", (1, 1, 2, 2), fault="on no slice"), 0, "on no slice (dropped)"),
    ],
)
def test_what_cannot_be_mended_is_dropped(box, least_side, what):
    objects, problems = checked(box, least_side=least_side)
    assert len(objects) == 0
    corners = box.corners if isinstance(box, DrawnBox) else box
    assert problems == [Problem(Path("a.xml"), 1, what, corners)]


def test_what_reaches_out_is_clipped():
    objects, problems = checked((-3, 40, 20, 52), (90, 0, 100.4, 9))
    assert objects.boxes.tolist() == [[0, 40, 20, 50], [90, 0, 100, 9]]
    # The second reaches out by less than the rounding of coordinates.
    [problem] = problems
    assert problem.what == "reaches 3 px out of the image of 100 x 50 px (clipped)"
    assert str(problem) == f"a.xml, line 1: {problem.what}, box (-3, 40, 20, 52)"


def test_the_second_of_two_equal_boxes_is_dropped():
    objects, problems = checked((1, 2, 3, 4), (5, 2, 8, 4), (1, 2, 3, 4))
    assert len(objects) == 2
    assert [(p.line, p.what) for p in problems] == [
        (3, "duplicated: equal to the one in line 1 (dropped)")
    ]


def test_two_boxes_that_are_equal_when_clipped_are_one():
    objects, problems = checked((0, 0, 100, 50), (-5, 0, 100, 50))
    assert objects.boxes.tolist() == [[0, 0, 100, 50]]
    assert len(problems) == 1


def test_the_refusal_lists_ten_and_counts_all():
    problems = [Problem(Path("a.txt"), n, "bad", (0, 0, 1.5, 1)) for n in range(1, 13)]
    require_sound([], Path("data"))
    with pytest.raises(DataError) as error:
        require_sound(problems, Path("data"))
    lines = str(error.value).splitlines()
    assert lines[0].startswith("data: 12 faults in the annotations") and "fix=True" in lines[0]
    assert lines[1] == "  a.txt, line 1: bad, box (0, 0, 1.5, 1)"
    assert lines[-1] == "  and 2 more" and len(lines) == 12
