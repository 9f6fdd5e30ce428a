import numpy as np
import pytest

from kmed.results.heatmap import heatmap, heatmap_montage


def ball(shape, at, radius):
    grid = np.indices(shape) - np.reshape(at, (-1, *[1] * len(shape)))
    return np.maximum(1 - np.sqrt((grid**2).sum(axis=0)) / radius, 0)


@pytest.mark.parametrize("shape", [(40, 30), (40, 30, 1), (40, 30, 3)])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "bool"])
def test_any_image_is_drawn(shape, dtype):
    image = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    picture = heatmap(image, np.zeros((40, 30)), label=None)
    assert picture.dtype == np.uint8 and picture.shape == (512, 384, 3)


def test_colour_is_where_the_heat_is_and_nowhere_else():
    image = np.full((64, 64, 3), 90, "uint8")
    picture = heatmap(image, ball((64, 64), (16, 40), 8), size=512, label=None).astype(int)
    colour = np.ptp(picture, axis=-1)
    assert (picture[:, :200] == 90).all() and (picture[300:] == 90).all()
    row, column = np.unravel_index(colour.argmax(), colour.shape)
    assert abs(row - 16.5 * 8) <= 8 and abs(column - 40.5 * 8) <= 8


def test_more_opacity_more_colour():
    image, heat = np.zeros((32, 32), "uint8"), ball((32, 32), (16, 16), 9)
    faint, strong = (heatmap(image, heat, alpha=a, label=None).sum() for a in (0.3, 0.9))
    assert 0 < faint < strong
    np.testing.assert_array_equal(heatmap(image, heat, alpha=0.0, label=None), 0)


def test_the_colour_bar():
    image, heat = np.full((64, 64, 3), 110, "uint8"), np.ones((64, 64))
    plain = heatmap(image, heat, label=None)
    with_bar = heatmap(image, heat, label="evidence")
    assert with_bar.shape[1:] == plain.shape[1:] and len(with_bar) > len(plain)
    np.testing.assert_array_equal(with_bar[: len(plain)], plain)
    strip = with_bar[len(plain) :].reshape(-1, 3)
    assert (strip == plain[0, 0]).all(axis=1).any()  # 1 has the colour that the picture has
    assert (np.ptp(strip.astype(int), axis=1) == 0).any()


def test_pixels_that_are_not_square():
    assert heatmap(np.eye(20), np.eye(20), spacing_mm=(2, 1), size=200, label=None).shape == (
        200, 100, 3,
    )  # fmt: skip


def test_slices_with_most_heat():
    volume = np.random.default_rng(0).normal(size=(20, 24, 30))
    heat = ball((20, 24, 30), (13, 12, 10), 6)
    one = heatmap_montage(volume, heat, slices=1, size=120, label=None)
    chosen = heatmap_montage(volume, heat, slices=[13], size=120, label=None)
    np.testing.assert_array_equal(one, chosen)
    sheet = heatmap_montage(volume, heat, slices=4, size=120, label=None)
    assert sheet.shape == (2 * 96 + 4, 3 * 120 + 8, 3)
    empty = heatmap_montage(volume, 0 * heat, slices=3, size=120, affine=np.eye(4)[[2, 1, 0, 3]])
    assert empty.shape[1] == 3 * 120 + 8


def test_inputs_are_left_as_they_are():
    image, heat = np.full((32, 32, 3), 9, "uint8"), ball((32, 32), (16, 16), 9)
    before = heat.copy()
    heatmap(image, heat)
    assert (image == 9).all() and (heat == before).all()


def test_refused():
    with pytest.raises(ValueError, match=r"`heat`.*\(8, 8\); received \(8, 9\)"):
        heatmap(np.zeros((8, 8)), np.zeros((8, 9)))
    with pytest.raises(ValueError, match=r"in \[0, 1\]; received 0 to 7"):
        heatmap(np.zeros((8, 8)), np.eye(8) * 7)
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        heatmap(np.zeros((8, 8)), np.full((8, 8), np.nan))
    with pytest.raises(ValueError, match=r"\(D, H, W"):
        heatmap_montage(np.zeros((8, 8)), np.zeros((8, 8)))
    with pytest.raises(ValueError, match=r"0\.\.3; received \[4\]"):
        heatmap_montage(np.zeros((4, 8, 8)), np.zeros((4, 8, 8)), slices=[4])
