import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_voi_lut, apply_windowing, convert_color_space

from kmed.data.dicom.display import display, rgb, windowed, ybr_to_rgb
from kmed.data.dicom.errors import UnsupportedPixels


def grey(**attributes):
    ds = Dataset()
    ds.PhotometricInterpretation, ds.PixelRepresentation = "MONOCHROME2", 0
    ds.BitsAllocated, ds.BitsStored, ds.SamplesPerPixel = 16, 12, 1
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


# The examples that PS3.3, C.11.2.1.2.1 works out.
@pytest.mark.parametrize(
    ("center", "width", "values", "expected"),
    [
        (2048, 4096, [0, 4095, -1, 4096, 2047.5], [0, 255, 0, 255, 127.5]),
        (2048, 1, [2047, 2047.5, 2047.6, 2048], [0, 0, 255, 255]),
        (0, 100, [-50, 49, -0.5, -51, 60], [0, 255, 127.5, 0, 255]),
        (0, 1, [-1, -0.5, 0], [0, 0, 255]),
    ],
)
def test_linear(center, width, values, expected):
    found = windowed(np.array(values), center, width)
    np.testing.assert_allclose(found, expected, atol=1e-9)


# C.11.2.1.3.2: y is the smallest up to c - w/2 and the largest beyond c + w/2.
@pytest.mark.parametrize(
    ("center", "width", "values", "expected"),
    [
        (2048, 4096, [0, 4096, 2048, 1024], [0, 255, 127.5, 63.75]),
        (2048, 1, [2047.5, 2048, 2048.5], [0, 127.5, 255]),
        (0, 100, [-50, 50, 0, 25], [0, 255, 127.5, 191.25]),
        (0.5, 0.5, [0.25, 0.75, 0.5], [0, 255, 127.5]),
    ],
)
def test_linear_exact(center, width, values, expected):
    found = windowed(np.array(values), center, width, function="LINEAR_EXACT")
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_sigmoid():
    # C.11.2.1.3.1: half at the centre; a quarter of the width away 1 / (1 + 1/e).
    found = windowed(np.array([100, 110, 60, 1e9, -1e9]), 100, 40, function="SIGMOID", top=1)
    np.testing.assert_allclose(found, [0.5, 0.7310585786, 0.0179862100, 1, 0], atol=1e-9)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_windows_as_pydicom(function):
    ds = grey(WindowCenter=300, WindowWidth=777, VOILUTFunction=function)
    values = np.arange(4096, dtype=np.uint16)
    theirs = apply_windowing(values, ds) / 4095  # of the range of Bits Stored
    np.testing.assert_allclose(
        windowed(values, 300, 777, function=function, top=1), theirs, atol=1e-9
    )
    assert np.abs(display(ds, values).astype(int) - np.rint(theirs * 255)).max() == 0


@pytest.mark.parametrize(
    ("center", "width", "function"),
    [(0, 0.5, "LINEAR"), (0, 0, "LINEAR_EXACT"), (0, -1, "SIGMOID"), (np.nan, 1, "LINEAR")],
)
def test_impossible_windows(center, width, function):
    with pytest.raises(UnsupportedPixels, match=f"no window of {function}"):
        windowed(np.zeros(1), center, width, function=function)
    with pytest.raises(UnsupportedPixels, match="'CUBIC' is not supported"):
        windowed(np.zeros(1), 0, 10, function="CUBIC")


def test_monochrome1_is_inverted_after_the_window():
    values = np.array([-1000, 40, 3000])
    ds = grey(WindowCenter=[40, 600], WindowWidth=[400, 1600])
    np.testing.assert_array_equal(display(ds, values), [0, 128, 255])
    ds.PhotometricInterpretation = "MONOCHROME1"
    np.testing.assert_array_equal(display(ds, values), [255, 127, 0])
    # Not before it: a window is given in modality values.
    np.testing.assert_array_equal(display(ds, values, window=(-1000, 2)), [0, 0, 0])


def test_the_window_given_goes_before_the_files():
    ds = grey(WindowCenter=0, WindowWidth=10)
    assert display(ds, np.array([0, 100, 200]), window=(100.5, 201)).tolist() == [0, 128, 255]
    assert display(ds, np.array([100]), window=(100.5, 201), bits=16).tolist() == [32768]
    with pytest.raises(UnsupportedPixels, match="Window Width 0"):
        display(ds, np.zeros(2), window=(0, 0))
    with pytest.raises(ValueError, match="`bits` must be 8 or 16; received 12"):
        display(ds, np.zeros(2), bits=12)


def test_without_a_window_from_smallest_to_largest():
    assert display(grey(), np.array([-10, 0, 10])).tolist() == [0, 128, 255]
    assert display(grey(), np.array([7, 7])).tolist() == [0, 0]
    assert display(grey(), np.array([0.0, np.nan, 2.0])).tolist() == [0, 0, 255]


def test_a_voi_lut_as_pydicom():
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [4, 10, 12], [0, 4095, 1000, 2000]
    item["LUTDescriptor"].VR, item["LUTData"].VR = "US", "US"
    ds = grey(VOILUTSequence=[item], WindowCenter=0, WindowWidth=2)
    values = np.array([0, 10, 11, 12, 13, 500], np.uint16)
    np.testing.assert_array_equal(apply_voi_lut(values, ds), [0, 0, 4095, 1000, 2000, 2000])
    expected = np.rint(np.array([0, 0, 4095, 1000, 2000, 2000]) * 255 / 4095)
    np.testing.assert_array_equal(display(ds, values), expected)


def test_a_window_of_the_frame():
    def item(center):
        voi, group = grey(WindowCenter=center, WindowWidth=2), Dataset()
        group.FrameVOILUTSequence = [voi]
        return group

    ds = grey(PerFrameFunctionalGroupsSequence=[item(1), item(100)])
    ds.SharedFunctionalGroupsSequence = [item(1000)]
    values = np.array([50])
    assert [display(ds, values, frame=n).tolist() for n in range(3)] == [[255], [0], [0]]


def test_ybr_by_hand():
    # White, black, and red 255 of C.7.6.3.1.2: Y 76.245, CB 84.97, CR 255.5.
    ybr = np.array([[255, 128, 128], [0, 128, 128], [76, 85, 255]], np.uint8)
    np.testing.assert_array_equal(ybr_to_rgb(ybr), [[255, 255, 255], [0, 0, 0], [254, 0, 0]])


def test_ybr_as_pydicom_and_pillow():
    values = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)
    found = ybr_to_rgb(values)
    np.testing.assert_array_equal(found, convert_color_space(values, "YBR_FULL", "RGB"))
    theirs = np.asarray(Image.fromarray(values, "YCbCr").convert("RGB")).astype(int)
    assert np.abs(theirs - found).max() <= 1
    wide = ybr_to_rgb(values.astype(np.uint16) * 257)
    assert np.abs(wide / 257 - found).max() < 1.5  # the middle is 32768 there, not 128 * 257


def test_colour_of_fewer_bits_fills_the_range():
    ds = grey(PhotometricInterpretation="RGB", SamplesPerPixel=3, BitsStored=12)
    values = np.array([[[0, 4095, 2048]]], np.uint16)
    assert display(ds, values).tolist() == [[[0, 255, 128]]]
    assert display(ds, values, bits=16).tolist() == [[[0, 65535, 32776]]]
    assert rgb(ds, values) is values


def test_what_is_no_colour():
    with pytest.raises(UnsupportedPixels, match="HSV is no colour"):
        display(grey(PhotometricInterpretation="HSV"), np.zeros((1, 1, 3), np.uint8))
    with pytest.raises(UnsupportedPixels, match="YBR_FULL with signed values"):
        rgb(grey(PhotometricInterpretation="YBR_FULL"), np.zeros((1, 1, 3), np.int8))


def test_real_colour_as_pydicom(shared_data):
    folder = shared_data / "data" / "dicom" / "pydicom"
    for name in ("SC_rgb_dcmtk_+eb+cy+np.dcm", "SC_rgb_rle.dcm"):
        ds = pydicom.dcmread(folder / name)
        raw = pydicom.pixels.pixel_array(ds, raw=True)
        np.testing.assert_array_equal(display(ds, raw), pydicom.pixels.pixel_array(ds))
