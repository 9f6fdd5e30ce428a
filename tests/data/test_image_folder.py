import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kmed.data.image_folder import image_folder
from kmed.data.pictures import read_mask_picture, read_picture
from kmed.data.sample import DataError


def png(path, width, height, bits, colour, rows):
    """Writes a PNG by hand (ISO/IEC 15948), of kinds that Pillow cannot write."""

    def chunk(kind, content):
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


@pytest.fixture
def grey16():
    return (np.arange(12).reshape(3, 4) * 5000).astype(np.uint16)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_are_kept(tmp_path, grey16, suffix):
    Image.fromarray(grey16).save(tmp_path / f"a.{suffix}")
    array = read_picture(tmp_path / f"a.{suffix}")
    assert array.dtype == np.uint16 and array.shape == (3, 4, 1)
    np.testing.assert_array_equal(array[..., 0], grey16)


def test_16_bits_of_colour_are_kept(tmp_path, grey16):
    colour = np.stack([grey16, grey16 + 1, grey16 + 2], -1)
    png(tmp_path / "a.png", 4, 3, 16, 2, [row.astype(">u2").tobytes() for row in colour])
    array = read_picture(tmp_path / "a.png")
    assert array.dtype == np.uint16
    np.testing.assert_array_equal(array, colour)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png", channels=1)[..., 0] >= grey16, 1)


def tiff16(path, samples, photometric):
    """Writes a TIFF 6.0 of 2 x 1 pixels with 16 bits by hand."""
    data = bytes(range(4 * samples))
    bits = 8 + len(data)
    pointer = bits + 2 * samples
    depth = (258, 3, samples, bits if samples > 1 else 16)
    tags = [(256, 3, 1, 2), (257, 3, 1, 1), depth, (259, 3, 1, 1), (262, 3, 1, photometric)]
    tags += [(273, 4, 1, 8), (277, 3, 1, samples), (278, 3, 1, 1), (279, 4, 1, len(data))]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *t) for t in tags)
    path.write_bytes(
        b"II*\0" + struct.pack("<I", pointer) + data + b"\x10\0" * samples + directory + b"\0" * 4
    )


def test_tiffs_that_pillow_would_change_are_refused(tmp_path):
    tiff16(tmp_path / "grey.tif", 1, 1)
    assert read_picture(tmp_path / "grey.tif").ravel().tolist() == [0x0100, 0x0302]
    tiff16(tmp_path / "white.tif", 1, 0)
    with pytest.raises(DataError, match="white.tif: 16-bit TIFF with WhiteIsZero"):
        read_picture(tmp_path / "white.tif")
    tiff16(tmp_path / "rgb.tif", 3, 2)
    with pytest.raises(DataError, match="rgb.tif: TIFF with 16 bits per colour"):
        read_picture(tmp_path / "rgb.tif")


def test_4_bit_masks_hold_their_indices(tmp_path):
    png(tmp_path / "a.png", 4, 2, 4, 0, [bytes([0x01, 0x2F]), bytes([0x00, 0x33])])
    assert read_mask_picture(tmp_path / "a.png").tolist() == [[0, 1, 2, 15], [0, 0, 3, 3]]


def test_kinds_of_pictures(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8)
    Image.fromarray(rgb).save(tmp_path / "rgb.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "rgb.png"), rgb)
    # ITU-R BT.601 by hand
    r, g, b = (int(v) for v in rgb[2, 3])
    grey = read_picture(tmp_path / "rgb.png", channels=1)
    assert grey.shape == (5, 6, 1) and grey[2, 3, 0] == round(0.299 * r + 0.587 * g + 0.114 * b)
    same = np.repeat(rgb[..., :1], 3, -1)
    Image.fromarray(same).save(tmp_path / "same.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "same.png", channels=1), same[..., :1])
    Image.fromarray(rgb[..., 0]).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "grey.png", channels=3), same)

    rgba = np.dstack([rgb, np.full((5, 6), 255, np.uint8)])
    Image.fromarray(rgba).save(tmp_path / "opaque.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "opaque.png"), rgb)
    rgba[0, 0, 3] = 254
    Image.fromarray(rgba).save(tmp_path / "clear.png")
    with pytest.raises(DataError, match="clear.png: has transparent pixels"):
        read_picture(tmp_path / "clear.png")

    palette = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), "P")
    palette.putpalette([10, 20, 30, 200, 0, 0, 0, 200, 0] + [0] * 759)
    palette.save(tmp_path / "p.png")
    assert read_picture(tmp_path / "p.png")[0, 0].tolist() == [10, 20, 30]
    assert read_mask_picture(tmp_path / "p.png").tolist() == [[0, 1], [2, 1]]

    Image.fromarray(rgb).convert("CMYK").save(tmp_path / "c.jpg")
    with pytest.raises(DataError, match="colour mode CMYK"):
        read_picture(tmp_path / "c.jpg")
    pages = [Image.fromarray(rgb[..., i]) for i in range(3)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(DataError, match="pages.tif: holds 3 pages"):
        read_picture(tmp_path / "pages.tif")
    Image.fromarray(np.array([[1.5, np.nan]], np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(DataError, match="not finite"):
        read_picture(tmp_path / "f.tif")


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, suffix, orientation):
    # A picture with one bright corner: where each orientation puts it is EXIF 2.32's table.
    stored = np.zeros((16, 32), np.uint8)
    stored[:8, :8] = 255
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(stored).save(tmp_path / f"a.{suffix}", exif=exif)
    shown = read_picture(tmp_path / f"a.{suffix}")[..., 0]
    assert shown.shape == ((16, 32) if orientation < 5 else (32, 16))
    corner = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0)}
    corner |= {5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}
    bright = {(y, x) for y in (0, -1) for x in (0, -1) if shown[y, x] > 128}
    assert bright == {corner[orientation]}
    if orientation > 1:
        with pytest.raises(DataError, match=f"EXIF orientation {orientation}"):
            read_picture(tmp_path / f"a.{suffix}", upright=False)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_of_deep_colour(tmp_path, orientation):
    from PIL import ImageOps

    from kmed.data.pictures import _turned

    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    image = Image.fromarray(array)
    image.getexif()[274] = orientation
    np.testing.assert_array_equal(
        _turned(array, orientation), np.asarray(ImageOps.exif_transpose(image))
    )


@pytest.fixture
def folder(tmp_path):
    """Three pictures and their masks."""
    random = np.random.default_rng(1)
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for index in range(3):
        image = random.integers(0, 256, (8, 10), np.uint8)
        Image.fromarray(image).save(tmp_path / "images" / f"p{index // 2}_s{index}.png")
        mask = (image > 99).astype(np.uint8) * 255
        Image.fromarray(mask).save(tmp_path / "masks" / f"p{index // 2}_s{index}_mask.png")
    return tmp_path


def source(folder, **options):
    return image_folder(folder / "images", folder / "masks", **options)


def test_samples(folder):
    samples = source(folder, patient=r"(p\d)", label=lambda path: int(Path(path).stem[1]))
    assert [s.id for s in samples] == ["p0_s0", "p0_s1", "p1_s2"]
    assert [s.patient for s in samples] == ["p0", "p0", "p1"]
    assert [s.label for s in samples] == [0, 0, 1]
    assert [Path(f).name for f in samples[0].files] == ["p0_s0.png", "p0_s0_mask.png"]
    arrays = pickle.loads(pickle.dumps(samples[0])).read()
    np.testing.assert_array_equal(arrays.mask, arrays.image[..., 0] > 99)
    assert arrays.spacing_mm == (1.0, 1.0) and arrays.affine is None


def test_one_file(folder):
    [sample] = image_folder(folder / "images" / "p0_s0.png")
    assert sample.id == "p0_s0" and sample.read().mask is None


def test_size_mismatch(folder):
    Image.new("L", (10, 9)).save(folder / "masks" / "p0_s1_mask.png")
    with pytest.raises(DataError, match=r"p0_s1_mask.png: .* 9 x 10 pixels .*p0_s1.png has 8 x 10"):
        source(folder)


def test_missing_mask(folder):
    (folder / "masks" / "p0_s1_mask.png").unlink()
    with pytest.raises(DataError, match=r"p0_s1.png: no mask of this name in .*\(1 of 3"):
        source(folder)


def test_unreadable(folder):
    path = folder / "images" / "p0_s1.png"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"p0_s1.png: cannot be read as PNG"):
        source(folder)[1].read()
    path.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"p0_s1.png: cannot be read as PNG"):
        source(folder)


def test_mask_values(folder):
    path = folder / "masks" / "p0_s1_mask.png"
    mask = np.zeros((8, 10), np.uint8)
    mask[0, :2] = 1, 2
    Image.fromarray(mask).save(path)
    with pytest.raises(DataError, match=r"p0_s1_mask.png: .* from 0 to 1; this one holds 2"):
        source(folder)[1].read()
    assert source(folder, classes=3)[1].read().mask.max() == 2
    mapped = source(folder, mask_values={0: 0, 1: 0, 2: 1})[1].read().mask
    assert mapped.sum() == 1


def test_mask_in_colour(folder):
    path = folder / "masks" / "p0_s1_mask.png"
    grey = np.zeros((8, 10, 3), np.uint8)
    grey[0] = 255
    Image.fromarray(grey).save(path)
    assert source(folder)[1].read().mask.sum() == 10
    grey[1, 1] = 255, 0, 0
    Image.fromarray(grey).save(path)
    with pytest.raises(DataError, match="p0_s1_mask.png: .*painted in colours"):
        source(folder)[1].read()


def test_grey_and_colour_in_one_folder(folder):
    Image.new("RGB", (10, 8)).save(folder / "images" / "p0_s1.png")
    with pytest.raises(DataError, match=r"p0_s1.png: has 3 channel.*channels=1"):
        source(folder)
    assert {s.read().image.shape for s in source(folder, channels=3)} == {(8, 10, 3)}


def test_names_that_repeat_in_subfolders_need_a_patient(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new("L", (4, 4)).save(tmp_path / name / "1.png")
    with pytest.raises(DataError, match="Say which part of the path is the patient"):
        image_folder(tmp_path)
    assert [s.patient for s in image_folder(tmp_path, patient="([^/]+)/")] == ["a", "b"]
    assert [s.patient for s in image_folder(tmp_path, patient="([^/]+)$")] == ["1", "1"]


def test_chest_radiographs(shared_data):
    root = shared_data / "data" / "cxr_lung_masks"
    samples = image_folder(
        root / "images", root / "masks", label=lambda path: int(Path(path).stem[-1])
    )
    assert len(samples) == 704 and sum(s.label for s in samples) == 287 + 58
    arrays = samples[0].read()
    assert arrays.image.shape == (256, 256, 1) and arrays.mask.shape == (256, 256)
    assert set(np.unique(arrays.mask)) == {0, 1} and 0.1 < arrays.mask.mean() < 0.5


def test_electron_microscopy(shared_data):
    root = shared_data / "data" / "isbi2012_em"
    samples = image_folder(root / "image", root / "label")
    assert len(samples) == 30
    arrays = samples[0].read()
    # 255 is cell and bright, 0 is membrane and dark
    assert arrays.image[arrays.mask == 1].mean() > arrays.image[arrays.mask == 0].mean()
