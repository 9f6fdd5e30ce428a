"""Which pixel of the grid shows what."""

import numpy as np
import pytest

from kmed.results.drawing import BACKDROP
from kmed.results.image_grid import enlarged, image_grid, in_grey_levels


def test_values_become_grey_levels():
    values = np.array([[-3.0, -1.0, 0.0, 1.0, 7.0]])
    levels = in_grey_levels(values, -1, 1)
    assert levels.shape == (1, 5, 3) and levels.dtype == np.uint8
    assert levels[0, :, 0].tolist() == [0, 0, 128, 255, 255]
    assert (levels == levels[..., :1]).all()
    colours = np.array([[[0.0, 0.5, 1.0]]])
    assert in_grey_levels(colours, 0, 1).tolist() == [[[0, 128, 255]]]
    assert in_grey_levels(np.full((2, 2, 4), [1, 0, 0, 0]), 0, 1).min() == 255  # the first of four
    integers = np.array([[0, 65535]], np.uint16)
    assert in_grey_levels(integers, 0, 65535)[0, :, 0].tolist() == [0, 255]


def test_what_is_not_finite_is_seen():
    levels = in_grey_levels(np.array([[np.nan, np.inf, -np.inf, 0.0]]), -1, 1)
    assert levels[0, :3].tolist() == [[255, 0, 255]] * 3 and levels[0, 3].tolist() == [128] * 3


def test_of_a_volume_the_middle_slice():
    volume = np.arange(5.0)[:, None, None, None] * np.ones((5, 2, 2, 1))
    assert in_grey_levels(volume, 0, 4).tolist() == np.full((2, 2, 3), 128).tolist()


def test_small_images_are_enlarged_by_whole_numbers():
    picture = np.random.default_rng(0).integers(0, 256, (20, 33, 3), "uint8")
    large = enlarged(picture)
    assert large.shape == (60, 99, 3)
    np.testing.assert_array_equal(large[1::3, 2::3], picture)
    np.testing.assert_array_equal(large, np.kron(picture, np.ones((3, 3, 1), "uint8")))
    assert enlarged(np.zeros((256, 100, 3), "uint8")).shape == (256, 100, 3)
    reduced = enlarged(np.repeat(np.uint8([[[0] * 3, [100] * 3]]), 512, axis=0).repeat(1, axis=1))
    assert reduced.shape == (256, 1, 3) and (reduced == 50).all()


def test_images_stand_in_rows():
    images = np.linspace(-1, 1, 5)[:, None, None, None] * np.ones((5, 48, 32, 1))
    sheet = image_grid(images, -1, 1, columns=3)
    assert sheet.shape == (4 + 2 * (96 + 4), 4 + 3 * (64 + 4), 3) and sheet.dtype == np.uint8
    for i, level in enumerate((0, 64, 128, 191, 255)):
        top, left = 4 + i // 3 * 100, 4 + i % 3 * 68
        assert (sheet[top : top + 96, left : left + 64] == level).all()
    assert (sheet[104:, 4 + 2 * 68 :] == BACKDROP).all()  # there is no sixth
    assert (sheet[:4] == BACKDROP).all() and (sheet[100:104] == BACKDROP).all()
    assert image_grid(images, -1, 1).shape[1] == 4 + 5 * 68  # no more columns than images


def test_titles_stand_below_and_do_not_leave_their_field():
    images = np.zeros((2, 32, 32, 1))
    plain, titled = image_grid(images, -1, 1), image_grid(images, -1, 1, titles=["a", "b " * 99])
    assert titled.shape[0] == plain.shape[0] + 18
    np.testing.assert_array_equal(titled[:100], plain[:100])
    below = (titled[100:] != BACKDROP).any(axis=-1)
    assert below[:, 4:20].any() and not below[:, 30:104].any()  # a short title
    assert below[:, 104:200].any() and not below[:, 200:].any()
    volumes = np.zeros((2, 5, 32, 32, 1))
    assert image_grid(volumes, -1, 1).shape == plain.shape


def test_what_does_not_fit_is_said():
    images = np.zeros((2, 8, 8, 1))
    with pytest.raises(ValueError, match=r"\(N, \[D,\] H, W, C\).*\(8, 8, 1\)"):
        image_grid(images[0], -1, 1)
    with pytest.raises(ValueError, match=r"at least one; received shape \(0, 8, 8, 1\)"):
        image_grid(images[:0], -1, 1)
    with pytest.raises(ValueError, match="each of 2 images; received 1"):
        image_grid(images, -1, 1, titles=["one"])
    with pytest.raises(ValueError, match="`columns` must be at least 1; received 0"):
        image_grid(images, -1, 1, columns=0)
    with pytest.raises(ValueError, match="received 1 and 1"):
        image_grid(images, 1, 1)
    with pytest.raises(ValueError, match="received 0 and nan"):
        in_grey_levels(images[0], 0, np.nan)
