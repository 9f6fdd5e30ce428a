import numpy as np
import pytest

from kmed.results.drawing import (
    OKABE_ITO,
    color,
    paint,
    robust_range,
    to_rgb,
    with_caption,
    with_legend,
)


def test_colors_are_apart_and_repeat():
    assert len({color(k) for k in range(1, 8)}) == len(OKABE_ITO) == 7
    assert color(9) == color(2)
    with pytest.raises(ValueError, match="received 0"):
        color(0)


def test_one_hot_pixel_does_not_widen_the_range():
    image = np.linspace(0, 100, 10_001)
    image[5000] = 1e6
    low, high = robust_range(image)
    assert low == pytest.approx(0.5, abs=0.02) and high == pytest.approx(99.5, abs=0.02)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (np.full((4, 4), np.nan), (0.0, 1.0)),
        (np.full((4, 4), 7, "int16"), (7.0, 7.0)),
        (np.array([1.0, np.inf, 3.0]), (1.01, 2.99)),
    ],
)
def test_range_of_odd_images(image, expected):
    assert robust_range(image) == pytest.approx(expected)


def test_window_is_center_and_width():
    hu = np.array([[-160, 40, 240, 1000]], "int16")[..., None]
    assert to_rgb(hu, (40, 400))[0, :, 0].tolist() == [0, 128, 255, 255]


def test_colours_of_eight_bits_stay():
    rgb = np.random.default_rng(0).integers(0, 256, (5, 6, 3), "uint8")
    assert np.array_equal(to_rgb(rgb, None), rgb)


def test_nan_and_constant_images_are_drawn():
    image = np.full((4, 4, 1), np.nan, "float32")
    assert not to_rgb(image, None).any()
    assert to_rgb(np.full((4, 4, 1), 3.0), None).shape == (4, 4, 3)


def test_pixels_that_are_not_square_are_stretched():
    rgb, mask = np.zeros((20, 40, 3), "uint8"), np.zeros((20, 40), "uint8")
    assert paint(rgb, mask, None, 0.3, (3.0, 1.0), 120).shape == (120, 80, 3)


def test_tint_lies_where_the_mask_is():
    mask = np.zeros((64, 64), "uint8")
    mask[16:32, 40:56] = 2  # rows 16..31, columns 40..55
    picture = paint(np.zeros((64, 64, 3), "uint8"), mask, None, 0.5, (1.0, 1.0), 256)
    inside = picture[4 * 20 : 4 * 28, 4 * 44 : 4 * 52]
    assert np.array_equal(np.unique(inside.reshape(-1, 3), axis=0), [[43, 90, 116]]) or (
        np.abs(inside.reshape(-1, 3).astype(int) - np.array(color(2)) // 2).max() <= 1
    )
    outside = picture.copy()
    outside[4 * 15 : 4 * 33, 4 * 39 : 4 * 57] = 0
    assert not outside.any()
    # The contour runs on the border, in the class's full colour.
    border = picture[4 * 16 - 2 : 4 * 16 + 2, 4 * 48]
    assert np.abs(border.astype(int) - color(2)).max(axis=1).min() <= 2


def test_reference_is_dashed_in_white_and_black():
    truth = np.zeros((64, 64), "uint8")
    truth[16:48, 16:48] = 1
    grey = np.full((64, 64, 3), 128, "uint8")
    picture = paint(grey, np.zeros_like(truth), truth, 0.3, (1.0, 1.0), 512)
    along = picture[8 * 16, 8 * 20 : 8 * 44].astype(int).mean(axis=1)
    assert along.max() > 240 and along.min() < 80
    assert 6 <= np.count_nonzero(np.diff(along > 160)) <= 60


def test_masks_that_touch_the_border_have_closed_contours():
    mask = np.ones((32, 32), "uint8")
    picture = paint(np.zeros((32, 32, 3), "uint8"), mask, mask, 0.3, (1.0, 1.0), 128)
    assert picture.shape == (128, 128, 3)


def test_legend_names_the_classes_that_occur():
    picture = np.zeros((100, 300, 3), "uint8")
    mask = np.array([[0, 2]], "uint8")
    labelled = with_legend(picture, ["background", "liver", "spleen"], mask, None)
    strip = labelled[100:].reshape(-1, 3)
    assert (strip == color(2)).all(axis=1).any() and not (strip == color(1)).all(axis=1).any()
    assert with_legend(picture, None, mask, None) is picture
    assert with_legend(picture, ["a", "b", "c"], mask * 0, None).shape == picture.shape


def test_a_narrow_legend_flows_into_rows():
    mask = np.arange(6, dtype="uint8")[None]
    names = ["background", *(f"structure {k}" for k in range(1, 6))]
    wide = with_legend(np.zeros((9, 900, 3), "uint8"), names, mask, mask)
    narrow = with_legend(np.zeros((9, 160, 3), "uint8"), names, mask, mask)
    assert narrow.shape[0] > 3 * (wide.shape[0] - 9)


def test_a_class_without_a_name_is_refused():
    with pytest.raises(ValueError, match="2 names and a mask with class 3"):
        with_legend(np.zeros((9, 90, 3), "uint8"), ["a", "b"], np.array([3]), None)


def test_captions_mark_the_patients_sides_only_with_an_affine():
    tile = np.zeros((200, 200, 3), "uint8")
    affine = np.zeros((4, 4))
    affine[(2, 1, 0, 3), (0, 1, 2, 3)] = 1
    bare, marked = with_caption(tile, "", None), with_caption(tile, "", affine)
    assert not bare.any()
    assert marked[80:120, :40].any() and marked[80:120, 160:].any() and marked[:40, 80:120].any()
    mirrored = affine.copy()
    mirrored[0, 2] = -1
    swapped = with_caption(tile, "", mirrored)
    assert not np.array_equal(swapped[80:120, :40], marked[80:120, :40])
    assert not tile.any()
