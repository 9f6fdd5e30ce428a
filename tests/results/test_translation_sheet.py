"""What stands where on the sheet, and what its colours mean."""

import numpy as np
import pytest

from kmed.results.drawing import BACKDROP
from kmed.results.translation_sheet import difference_colors, translation_sheet

SIZE, LINE, GAP = 100, 19, 4  # letters of 11 pixels
TOP = 2 * LINE


def flat(value, shape=(40, 40, 1)):
    return np.full(shape, value, "float32")


def sheet(cases, **options):
    ranges = {"source_range": (0, 1), "target_range": (-100, 100), "size": SIZE}
    return translation_sheet(cases, **ranges | options)


def middle(picture, row, column, high=SIZE + LINE):
    """The pixel in the middle of a field."""
    return picture[TOP + row * (high + GAP) + SIZE // 2, column * (SIZE + GAP) + SIZE // 2]


def test_each_column_has_its_range_and_rows_share_the_difference():
    picture = sheet([(flat(0.2), flat(50), flat(0)), (flat(0.6), flat(-40), flat(60))], limit=100.0)
    assert picture.dtype == np.uint8
    assert picture.shape == (TOP + 2 * (SIZE + LINE) + GAP + 50, 4 * SIZE + 3 * GAP, 3)
    assert [middle(picture, 0, i)[0] for i in range(3)] == [51, 191, 128]
    assert [middle(picture, 1, i)[0] for i in range(3)] == [153, 76, 204]
    assert middle(picture, 0, 3).tolist() == [115, 80, 0]  # half of orange: 50 too high
    assert middle(picture, 1, 3).tolist() == [86, 180, 233]  # all of blue: 100 too low


def test_the_bar_runs_from_below_to_above():
    picture = sheet([(flat(0), flat(1), flat(0))], limit=5.0)
    bar = picture[-50:, 3 * (SIZE + GAP) + 3 : -3].astype(int)
    row = next(line for line in bar if (line[0] == (86, 180, 233)).all())
    np.testing.assert_array_equal(row[-1], (230, 159, 0))
    assert row[len(row) // 2].max() < 5
    assert (np.diff(row[:, 2]) <= 0).all() and (np.diff(row[len(row) // 2 :, 0]) >= 0).all()


def test_the_scale_is_a_round_number_of_the_differences():
    random = np.random.default_rng(0)
    target = random.uniform(-50, 50, (40, 40, 1)).astype("float32")
    case = (flat(0), target + 21, target)
    np.testing.assert_array_equal(sheet([case]), sheet([case], limit=30.0))
    # One hot pixel does not darken all others, and a perfect image has a scale as well.
    case[1][0, 0] = 5000
    np.testing.assert_array_equal(sheet([case])[TOP + 40 :], sheet([case], limit=30.0)[TOP + 40 :])
    perfect = sheet([(flat(0), flat(7), flat(7))])
    assert middle(perfect, 0, 3).tolist() == [0, 0, 0]


def test_true_values_beyond_the_range_are_cut_off_before_they_are_compared():
    air = sheet([(flat(0), flat(-100), flat(-1000))], limit=10.0)
    assert middle(air, 0, 3).tolist() == [0, 0, 0]


def test_without_targets_two_columns_and_no_bar():
    picture = sheet([(flat(0.2), flat(50), None)])
    assert picture.shape == (TOP + SIZE, 2 * SIZE + GAP, 3)
    assert middle(picture, 0, 1)[0] == 191
    some = sheet([(flat(0.2), flat(50), None), (flat(0.2), flat(50), flat(0))])
    assert (middle(some, 0, 2) == BACKDROP).all() and (middle(some, 0, 3) == BACKDROP).all()
    assert middle(some, 1, 2)[0] == 128


def test_volumes_colours_long_images_and_what_is_not_finite():
    volume = np.stack([flat(value, (20, 40, 1)) for value in (0, 50, 0)])
    picture = sheet([(volume / 100, volume, volume)])
    assert picture.shape[0] == TOP + 50 + LINE + 50
    assert picture[TOP + 25, 50, 0] == 128 and picture[TOP + 25, 150, 0] == 191
    colour = flat((0.0, 50.0, 100.0), (40, 40, 3))
    picture = sheet([(flat(0), colour, colour)])
    assert middle(picture, 0, 1).tolist() == [128, 191, 255]
    broken = sheet([(flat(0), flat(np.nan), flat(0))])
    assert middle(broken, 0, 1).tolist() == middle(broken, 0, 3).tolist() == [255, 0, 255]


def test_titles_and_unit_are_written():
    case = [(flat(0), flat(50), flat(0))]
    plain, other = sheet(case), sheet(case, titles=("ct", "t2", "true t2", "difference"), unit="HU")
    changed = (plain != other).any(axis=-1)
    assert changed[:LINE].any() and changed[LINE:TOP, SIZE:].any() and changed[-25:].any()
    assert not changed[TOP : TOP + SIZE].any()


def test_colours_of_differences():
    colours = difference_colors(np.array([[-2.0, -1.0], [0.0, np.inf]]), 2.0)
    assert colours.shape == (2, 2, 3) and colours.dtype == np.uint8
    assert colours[0].tolist() == [[86, 180, 233], [43, 90, 116]]
    assert colours[1].tolist() == [[0, 0, 0], [255, 0, 255]]


def test_what_does_not_fit_is_said():
    case = (flat(0), flat(0), flat(0))
    with pytest.raises(ValueError, match="received 0 and 4"):
        sheet([])
    with pytest.raises(ValueError, match="received 1 and 3"):
        sheet([case], titles=("a", "b", "c"))
    with pytest.raises(ValueError, match=r"received \(40, 40, 1\) and \(20, 20, 1\)"):
        sheet([(flat(0), flat(0), flat(0, (20, 20, 1)))])
    with pytest.raises(ValueError, match="`limit` must be above 0; received 0"):
        sheet([case], limit=0)
    with pytest.raises(ValueError, match="at least 48 pixels"):
        sheet([case], size=20)
    with pytest.raises(ValueError, match="received 1 and 0"):
        sheet([case], source_range=(1, 0))
