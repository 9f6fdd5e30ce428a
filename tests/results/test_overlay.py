import io

import numpy as np
import pytest
from PIL import Image

from kmed.results import choose_slices, encode_png, montage, overlay, save_png


def _volume():
    volume = np.random.default_rng(0).normal(size=(12, 24, 20)).astype("float32")
    mask = np.zeros(volume.shape, "uint8")
    mask[3:9, 6:14, 5:12] = 1
    return volume, mask


@pytest.mark.parametrize("shape", [(40, 30), (40, 30, 1), (40, 30, 3)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "bool"])
def test_any_image_is_drawn(shape, dtype):
    image = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    picture = overlay(image, np.zeros((40, 30), "uint8"))
    assert picture.dtype == np.uint8 and picture.shape == (512, 384, 3)


def test_inputs_are_left_as_they_are():
    image = np.full((32, 32, 3), 9, "uint8")
    mask = np.eye(32, dtype="uint8")
    overlay(image, mask, truth=mask, labels=["background", "line"])
    assert (image == 9).all() and mask.sum() == 32


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"`truth`.*\(8, 8\).*\(8, 9\)"):
        overlay(np.zeros((8, 8)), np.zeros((8, 8)), truth=np.zeros((8, 9)))
    with pytest.raises(ValueError, match="1 or 3"):
        overlay(np.zeros((8, 8, 2)), np.zeros((8, 8)))
    with pytest.raises(ValueError, match=r"\(D, H, W"):
        montage(np.zeros((8, 8)), np.zeros((8, 8)))


def test_montage_lays_out_rows_and_columns():
    volume, mask = _volume()
    sheet = montage(volume, mask, slices=[2, 4, 6, 8], columns=3, size=120)
    assert sheet.shape == (2 * 120 + 4, 3 * 100 + 8, 3)
    assert montage(volume, mask, slices=[4], size=120).shape == (120, 100, 3)


def test_montage_refuses_slices_outside():
    volume, mask = _volume()
    with pytest.raises(ValueError, match=r"0\.\.11; received \[3, 12\]"):
        montage(volume, mask, slices=[3, 12])


def test_all_slices_share_one_window():
    volume = np.zeros((2, 32, 32), "float32")
    volume[0, :, :16], volume[1, :, :16] = 100, 50
    sheet = montage(volume, np.zeros(volume.shape, "uint8"), slices=[0, 1], size=100)
    assert sheet[20, 20, 0] == 255 and abs(int(sheet[20, 124, 0]) - 128) <= 1


def test_slices_go_through_the_foreground_and_take_the_fullest():
    mask = np.zeros((30, 4, 4))
    mask[10:20, 0, 0] = 1
    mask[13] = 1
    chosen = choose_slices(mask, 4)
    assert chosen == [10, 13, 16, 19]
    assert choose_slices(mask, 1) == [13]
    assert choose_slices(mask * 0, 3) == [0, 15, 29]
    assert choose_slices(mask[10:12], 6) == [0, 1]
    with pytest.raises(ValueError, match="received 0"):
        choose_slices(mask, 0)


def test_png_round_trip(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (7, 9, 3), "uint8")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode_png(rgb)))), rgb)
    with Image.open(save_png(tmp_path / "new" / "a.png", rgb[:, ::-1])) as picture:
        assert np.array_equal(np.asarray(picture), rgb[:, ::-1])
