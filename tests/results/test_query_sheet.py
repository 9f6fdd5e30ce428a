"""What stands where on the sheet."""

import numpy as np
import pytest
from PIL import ImageFont

from kmed.results.drawing import OKABE_ITO
from kmed.results.query_sheet import Hit, query_sheet, wrapped

GREEN = np.array(OKABE_ITO[2])
SIZE, LINE, GAP, SPACE = 100, 19, 4, 14  # letters of 11 pixels


def grey(value, shape=(40, 40)):
    """An image that is drawn in one grey, by the window (0.5, 1)."""
    return np.full(shape, value)


def sheet(queries, hits, **options):
    options = {"size": SIZE, "windows": ((0.5, 1.0), (0.5, 1.0))} | options
    return query_sheet(queries, hits, **options)


def middle(picture, row, column, query_width=SIZE, width=SIZE):
    """The pixel in the middle of a hit's field."""
    left = query_width + SPACE + column * (width + GAP)
    return picture[row * (SIZE + LINE + GAP) + SIZE // 2, left + width // 2]


def test_rows_of_a_query_and_its_hits():
    hits = [
        [Hit(grey(0.2), 0.9, False), Hit(grey(0.4), 0.8, True)],
        [Hit(grey(0.6), 0.7, True)],
    ]
    picture = sheet([grey(0.8), grey(1.0)], hits)
    assert picture.shape == (2 * (SIZE + LINE) + GAP, SIZE + SPACE + 2 * SIZE + GAP, 3)
    assert picture.dtype == np.uint8
    assert picture[50, 50].tolist() == [204] * 3
    assert picture[SIZE + LINE + GAP + 50, 50].tolist() == [255] * 3
    got = [middle(picture, *place)[0] for place in ((0, 0), (0, 1), (1, 0))]
    assert got == [51, 102, 153]
    assert (middle(picture, 1, 1) == picture[0, SIZE + 2]).all()  # nothing there


def test_what_matches_is_framed():
    hits = [[Hit(grey(0.2), 0.9, False), Hit(grey(0.4), 0.8, np.True_)]]
    picture = sheet([grey(0.8)], hits)
    left = SIZE + SPACE
    assert not (picture[:, : left + SIZE] == GREEN).all(axis=-1).any()
    frame = (picture[:SIZE, left + SIZE + GAP :] == GREEN).all(axis=-1)
    assert frame.sum() == SIZE**2 - (SIZE - 8) ** 2 and frame[0].all() and frame[:, -4:].all()
    plain = sheet([grey(0.8)], [[hits[0][0], hits[0][1]._replace(right=False)]])
    below = slice(SIZE, None), slice(left + SIZE + GAP, None)
    assert (picture[below] != plain[below]).any()  # the word says it too


def test_sentences_have_wider_fields():
    picture = sheet(["a nodule in the right upper lobe"], [[Hit(grey(0.4), 0.8, True)]])
    assert picture.shape[1] == 160 + SPACE + SIZE
    assert middle(picture, 0, 0, query_width=160)[0] == 102
    assert (picture[:SIZE, :160] > 200).any() and picture[95, 80].tolist() == [39, 39, 42]
    hits = [[Hit("lung", -0.1, True), Hit("a long report " * 40, -0.2, False)]]
    picture = sheet([grey(0.8)], hits)
    assert picture.shape == (SIZE + LINE, SIZE + SPACE + 2 * 160 + GAP, 3)


def test_volumes_and_long_images():
    volume = np.stack([grey(value, (30, 60, 1)) for value in (0.0, 0.4, 1.0)])
    picture = sheet([volume], [[Hit(grey(0.6, (60, 30)), 0.5, False)]])
    assert picture[50, 50, 0] == 102 and picture[15, 50, 0] < 30  # twice as wide as high
    left = SIZE + SPACE
    assert picture[10, left + 50, 0] == 153 and picture[50, left + 15, 0] < 30
    colours = np.zeros((20, 20, 3), np.uint8) + np.array([200, 10, 20], np.uint8)
    picture = query_sheet([colours], [[Hit(colours, 0.5, False)]], size=SIZE)
    assert picture[50, 50].tolist() == [200, 10, 20]


def test_the_place_of_the_first_match_is_written():
    hits = [[Hit(grey(0.4), 0.8, False)]]
    below = [sheet([grey(0.2)], hits, first=f)[SIZE:, :SIZE] for f in (None, [57.0], [np.nan])]
    assert (below[0] != below[1]).any() and (below[1] != below[2]).any()


def test_wrapped_lines_are_as_wide_as_they_may_be():
    font = ImageFont.load_default(12)
    text = "CT of the chest\nreveals an obstructing mass and Pneumonoultramicroscopicsilicosis."
    rows = wrapped(text, font, 90, 99)
    assert max(font.getlength(row) for row in rows) <= 90 and all(rows)
    assert "".join(rows).replace(" ", "") == "".join(text.split())
    short = wrapped(text, font, 90, 3)
    assert len(short) == 3 and short[:2] == rows[:2] and short[2].endswith("…")
    assert font.getlength(short[2]) <= 90
    assert wrapped("", font, 90, 3) == [""]
    assert wrapped("ab", font, 1, 5) == ["a", "b"]  # no field is too narrow for an end


def test_what_does_not_fit_is_said():
    hit = Hit(grey(0.5), 0.5, True)
    with pytest.raises(ValueError, match="at least one hit; received 0"):
        query_sheet([], [])
    with pytest.raises(ValueError, match=r"received 1 and \[0\]"):
        query_sheet(["lung"], [[]])
    with pytest.raises(ValueError, match="each of 1 queries; received 2"):
        query_sheet(["lung"], [[hit]], first=[1, 2])
    with pytest.raises(ValueError, match="at least 48 pixels"):
        query_sheet(["lung"], [[hit]], size=20)
    with pytest.raises(ValueError, match=r"the image must be"):
        query_sheet(["lung"], [[hit._replace(content=np.zeros((4, 4, 2)))]])
