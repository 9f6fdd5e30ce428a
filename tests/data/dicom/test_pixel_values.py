import numpy as np
import pytest
from pydicom.dataset import Dataset

from kmed.data.dicom.errors import UnsupportedPixels
from kmed.data.dicom.frames import Frame
from kmed.data.dicom.pixel_values import (
    frame_values,
    narrowed,
    padding_mask,
    rescaled,
    table_bits,
)

STORED = np.array([[0, 1], [1000, 4095]], np.uint16)


def header(**attributes):
    ds = Dataset()
    ds.Modality, ds.PhotometricInterpretation, ds.PixelRepresentation = "MR", "MONOCHROME2", 0
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def frame(slope=None, intercept=None, index=0):
    return Frame(index=index, slope=slope, intercept=intercept)


def mapping(**attributes):
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


@pytest.mark.parametrize(
    ("slope", "intercept", "expected", "kind"),
    [
        (1.0, -1024.0, [-1024, -1023, -24, 3071], np.int16),
        (1.0, 0.0, [0, 1, 1000, 4095], np.int16),
        (16.0, 0.0, [0, 16, 16000, 65520], np.int32),
        (0.5, -0.25, [-0.25, 0.25, 499.75, 2047.25], np.float32),
        (-1.0, 4095.0, [4095, 4094, 3095, 0], np.int16),
    ],
)
def test_rescale(slope, intercept, expected, kind):
    found = frame_values(header(), STORED, frame(slope, intercept))
    assert found.dtype == kind
    assert found.ravel().tolist() == expected


def test_wide_values_stay_exact():
    wide = np.array([2**32 - 1, 0], np.uint32)
    assert rescaled(wide, 1, 0, "a").tolist() == [2**32 - 1, 0]
    assert rescaled(wide, 3, 5, "a").tolist() == [3 * (2**32 - 1) + 5, 5]
    found = rescaled(wide, 1e-6, 0, "a")
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, [4294.967295, 0])
    assert narrowed(np.array([70000], np.uint32)).dtype == np.int32
    assert narrowed(np.empty(0, np.uint8)).dtype == np.int16
    assert narrowed(np.array([0.5])).dtype == np.float64


@pytest.mark.parametrize(
    ("slope", "intercept", "message"),
    [
        (None, 0.0, "needs RescaleSlope and RescaleIntercept.*received None and 0.0"),
        (1.0, None, "needs RescaleSlope and RescaleIntercept"),
        (0.0, 0.0, "RescaleSlope 0.0"),
        (float("nan"), 0.0, "RescaleSlope nan"),
        (1.0, float("inf"), "RescaleIntercept inf"),
    ],
)
def test_half_a_rescale(slope, intercept, message):
    with pytest.raises(UnsupportedPixels, match=message):
        frame_values(header(), STORED, frame(slope, intercept))


def test_without_a_rescale():
    assert frame_values(header(), STORED, frame()).tolist() == STORED.tolist()
    with pytest.raises(UnsupportedPixels, match="its units are unknown"):
        frame_values(header(Modality="CT"), STORED, frame())
    floats = np.array([0.5, np.nan], np.float32)
    assert frame_values(header(Modality="CT"), floats, frame()) is floats


def test_a_modality_lut_goes_before_all():
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [3, 1, 12])
    item.add_new("LUTData", "US", [10, 20, 30])
    ds = header(ModalityLUTSequence=[item], Modality="CT")
    assert frame_values(ds, STORED, frame()).tolist() == [[10, 10], [30, 30]]
    assert (table_bits(ds), table_bits(header())) == (12, None)


def test_dose():
    ds = header(Modality="RTDOSE", DoseGridScaling="1e-3")
    np.testing.assert_allclose(frame_values(ds, STORED, frame()), STORED * 1e-3, rtol=1e-6)


def test_real_world_values():
    line = mapping(RealWorldValueSlope=0.5, RealWorldValueIntercept=1.0)
    other = mapping(RealWorldValueSlope=2.0, RealWorldValueIntercept=0.0)

    def group(*items):
        one = Dataset()
        one.RealWorldValueMappingSequence = list(items)
        return one

    ds = header(PerFrameFunctionalGroupsSequence=[group(line), group(other)])
    assert frame_values(ds, STORED, frame()).ravel().tolist() == [1, 1.5, 501, 2048.5]
    assert frame_values(ds, STORED, frame(index=1)).ravel().tolist() == [0, 2, 2000, 8190]
    # A rescale of its own goes before it.
    assert frame_values(ds, STORED, frame(1.0, 7.0)).ravel().tolist() == [7, 8, 1007, 4102]
    ds = header(SharedFunctionalGroupsSequence=[group(line, other)])
    with pytest.raises(UnsupportedPixels, match="has 2 real-world value mappings") as caught:
        frame_values(ds, STORED, frame())
    assert caught.value.figures == {"mappings": 2}
    ds = header(RealWorldValueMappingSequence=[mapping(RealWorldValueSlope=1.0)])
    with pytest.raises(UnsupportedPixels, match="needs slope and intercept"):
        frame_values(ds, STORED, frame())


def test_a_table_of_real_world_values():
    item = mapping(RealWorldValueLUTData=[0.5, 1.5, 2.5])
    item.add_new("RealWorldValueFirstValueMapped", "US", 1)
    ds = header(RealWorldValueMappingSequence=[item])
    assert frame_values(ds, np.array([1, 3, 2], np.uint8), frame()).tolist() == [0.5, 2.5, 1.5]
    with pytest.raises(UnsupportedPixels, match="does not cover the stored values 0 to 4095"):
        frame_values(ds, STORED, frame())


def padded(vr, value, limit=None, **attributes):
    ds = header(**attributes)
    ds.add_new("PixelPaddingValue", vr, value)
    if limit is not None:
        ds.add_new("PixelPaddingRangeLimit", vr, limit)
    return ds


def test_padding():
    signed = np.array([-2000, -1999, 0, 63536 - 65536 + 1], np.int16)
    # Written as US in spite of signed pixels: the bits are the same.
    for vr, value in (("SS", -2000), ("US", 63536)):
        assert padding_mask(padded(vr, value), signed).tolist() == [True, False, False, False]
    found = padding_mask(padded("SS", -1990, -2010), signed)
    assert found.tolist() == [True, True, False, True]
    assert padding_mask(padded("US", 4095), STORED).tolist() == [[False, False], [False, True]]
    assert padding_mask(header(), STORED) is None
    colour = padded("US", 0, PhotometricInterpretation="RGB")
    assert padding_mask(colour, STORED) is None
    floats = header(FloatPixelPaddingValue=-1.0)
    assert padding_mask(floats, np.array([-1, 0], np.float32)).tolist() == [True, False]
    assert padding_mask(floats, STORED) is None


@pytest.mark.parametrize("kind", [np.int16, np.uint16, np.uint8, np.int32])
@pytest.mark.parametrize(("slope", "intercept"), [(1, -1024), (3, 70000), (-2, 5), (1, 0)])
def test_whole_values_are_exact_whatever_wraps_on_the_way(kind, slope, intercept):
    low, high = (0, 255) if kind is np.uint8 else (0 if kind is np.uint16 else -9000, 9000)
    stored = np.linspace(low, high, 50).astype(kind)
    values = rescaled(stored, slope, intercept, "a.dcm")
    expected = [int(value) * slope + intercept for value in stored]
    assert values.tolist() == expected and values.dtype in (np.int16, np.int32)
