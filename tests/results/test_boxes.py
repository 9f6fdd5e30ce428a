import numpy as np
import pytest

from kmed.results.boxes import box_sheet, checked_boxes, draw_boxes, side_by_side
from kmed.results.drawing import BACKDROP, color

LABELS = ["red cell", "white cell", "platelet"]
GREY = np.full((64, 64, 3), 90, "uint8")
PLAIN = {"labels": LABELS, "size": 512, "legend": False, "tags": "none"}


def boxes(*rows, scores=None):
    found = {"boxes": [row[:4] for row in rows], "labels": [row[4] for row in rows]}
    return found | ({} if scores is None else {"scores": scores})


def reached(picture):
    """First and last row and column that are no longer grey."""
    rows, columns = np.nonzero((picture != 90).any(axis=-1))
    return rows.min(), rows.max(), columns.min(), columns.max()


@pytest.mark.parametrize("shape", [(40, 30), (40, 30, 1), (40, 30, 3)])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "bool"])
def test_any_image_is_drawn(shape, dtype):
    image = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    found = boxes((2, 3, 20, 30, 0), scores=[0.5])
    picture = draw_boxes(image, found=found, labels=LABELS, legend=False)
    assert picture.dtype == np.uint8 and picture.shape == (512, 384, 3)


def test_a_box_lies_where_it_is():
    picture = draw_boxes(GREY, found=boxes((16, 8, 40, 24, 1), scores=[0.5]), **PLAIN)
    # Eight pixels of the picture for one of the image; and a dark line of one pixel around it.
    assert reached(picture) == (8 * 8 - 1, 24 * 8, 16 * 8 - 1, 40 * 8)
    assert tuple(picture[8 * 8, 200]) == tuple(picture[100, 40 * 8 - 1]) == color(2)
    assert (picture[70:180, 140:310] == 90).all()  # nothing inside


def test_the_first_pixel_and_the_last():
    first, last = (boxes((a, a, a + 1, a + 1, 0), scores=[1]) for a in (0, 63))
    assert reached(draw_boxes(GREY, found=first, **PLAIN)) == (0, 8, 0, 8)
    assert reached(draw_boxes(GREY, found=last, **PLAIN)) == (503, 511, 503, 511)


def test_sides_beyond_the_edge_are_not_drawn():
    for one in (
        boxes((-20, 10, 30, 900, 0), scores=[1]),
        boxes((-1e9, 10, 30, 1e9, 0), scores=[1]),
    ):
        for picture in (draw_boxes(GREY, found=one, **PLAIN), draw_boxes(GREY, truth=one, **PLAIN)):
            assert reached(picture) == (79, 511, 0, 240)
            assert (picture[100:, :230] == 90).all()


def test_what_is_no_box_is_left_out():
    rows = [
        (64, 7, 90, 90, 0),
        (-9, 3, 0, 9, 0),
        (5, 5, 5, 9, 0),
        (1, 1, 9, 9, -1),
        (0, 0, np.inf, np.nan, 1),
    ]
    for one in (boxes(*rows, scores=[1] * 5), boxes(), {"boxes": np.zeros((0, 4)), "labels": []}):
        assert (draw_boxes(GREY, found=one, truth=one, **PLAIN) == 90).all()


def test_the_reference_is_dashed_with_white():
    one = boxes((16, 8, 40, 24, 1), scores=[0.5])
    found, truth = draw_boxes(GREY, found=one, **PLAIN), draw_boxes(GREY, truth=one, **PLAIN)
    assert reached(found) == reached(truth)
    line = truth[8 * 8, 16 * 8 : 40 * 8]
    white, coloured = ((line == tone).all(axis=1).mean() for tone in ((255,) * 3, color(2)))
    assert white + coloured == 1 and 0.4 < white < 0.6
    assert not (found == 255).all(axis=-1).any()


def test_the_surest_boxes_are_drawn_and_in_front():
    found = boxes((8, 8, 40, 40, 0), (8, 8, 40, 40, 1), (4, 4, 9, 9, 2), scores=[0.3, 0.9, 0.1])
    picture = draw_boxes(GREY, found=found, max_boxes=2, **PLAIN)
    assert tuple(picture[64, 200]) == color(2)
    assert reached(picture)[0] == 63  # the third one is not there


def test_tags_stay_inside_and_apart():
    rows = [(1, 0, 12, 9, 0), (1, 0, 12, 10, 0), (60, 55, 64, 64, 1), (30, 30, 50, 50, 2)]
    found = boxes(*rows, scores=[0.9, 0.8, 0.7, 0.6])
    full, score, none = (
        draw_boxes(GREY, found=found, **{**PLAIN, "tags": tags})
        for tags in ("full", "score", "none")
    )
    areas = [int((picture != none).any(axis=-1).sum()) for picture in (full, score)]
    assert areas[0] > 1.5 * areas[1] > 0
    # Of two boxes with the same corner both tags can be read.
    covered = []
    for count in (1, 2):
        found = boxes(*rows[:count], scores=[0.9, 0.8][:count])
        plain = draw_boxes(GREY, found=found, **PLAIN)
        covered.append((draw_boxes(GREY, found=found, **{**PLAIN, "tags": "score"}) != plain).sum())
    assert covered[1] > 1.7 * covered[0]


def test_names_stand_at_the_reference_where_it_is_alone():
    truth = boxes((16, 20, 40, 44, 0))
    named = draw_boxes(GREY, truth=truth, **{**PLAIN, "tags": "full"})
    assert (named != draw_boxes(GREY, truth=truth, **PLAIN)).any()
    both = {"found": boxes(), "truth": truth}
    np.testing.assert_array_equal(
        draw_boxes(GREY, **both, **{**PLAIN, "tags": "full"}), draw_boxes(GREY, **both, **PLAIN)
    )


def test_the_legend_has_the_classes_that_occur():
    options = {**PLAIN, "legend": True}
    found, truth = boxes((8, 8, 30, 30, 0), scores=[0.5]), boxes((30, 30, 50, 50, 2))
    strip = draw_boxes(GREY, found=found, truth=truth, **options)[512:]
    tones = {tuple(tone) for tone in strip.reshape(-1, 3).tolist()}
    assert {color(1), color(3)} <= tones and color(2) not in tones
    assert draw_boxes(GREY, found=boxes(), **options).shape == (512, 512, 3)


def test_pixels_that_are_not_square():
    found = boxes((0, 0, 10, 10, 0), scores=[1])
    picture = draw_boxes(np.full((20, 20, 3), 90, "uint8"), found=found, spacing_mm=(2, 1), **PLAIN)
    assert picture.shape == (512, 256, 3) and reached(picture) == (0, 256, 0, 128)


def test_a_sheet_of_images_of_different_sizes():
    images = [GREY, np.zeros((30, 60)), np.zeros((60, 30, 1), "int16"), GREY[..., 0]]
    found = [boxes((2, 2, 20, 20, k % 3), scores=[0.4]) for k in range(4)]
    sheet = box_sheet(images, found, labels=LABELS, size=120)
    assert sheet.shape[1] == 3 * 120 + 8 and 244 < len(sheet) < 320
    assert tuple(sheet[20, 130]) == BACKDROP  # above the wide image
    both = box_sheet(images[:1], found[:1], [boxes((30, 30, 50, 50, 1))], labels=LABELS, size=120)
    assert both.shape[1] == 120 and (both == 255).any()
    assert box_sheet(images[:1], labels=LABELS, size=120).shape == (120, 120, 3)
    with pytest.raises(ValueError, match="received 0 and 3"):
        side_by_side([], 3)


def test_inputs_are_left_as_they_are():
    image, found = GREY.copy(), {"boxes": np.float32([[-5, 1, 900, 20]]), "labels": np.zeros(1)}
    before = found["boxes"].copy()
    draw_boxes(image, found=found, labels=LABELS)
    assert (image == 90).all() and (found["boxes"] == before).all()


def test_refused():
    with pytest.raises(ValueError, match=r"`truth`: .* 3 names and a box of class 3"):
        draw_boxes(GREY, truth=boxes((0, 0, 9, 9, 3)), labels=LABELS)
    with pytest.raises(ValueError, match=r"`found`: .*\(1, 4\), \(2,\) and \(1,\)"):
        draw_boxes(GREY, found=boxes((0, 0, 9, 9, 0), scores=[1, 2]), labels=LABELS)
    with pytest.raises(ValueError, match="`tags` must be one of"):
        draw_boxes(GREY, labels=LABELS, tags="name")
    with pytest.raises(ValueError, match="the image must be"):
        draw_boxes(np.zeros((8, 8, 2)), labels=LABELS)
    with pytest.raises(ValueError, match=r"a\.png: .*\(1, 5\)"):
        checked_boxes({"boxes": np.zeros((1, 5)), "labels": [0]}, LABELS, "a.png")
