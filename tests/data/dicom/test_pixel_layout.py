import numpy as np
import pytest
from pydicom.dataset import Dataset

from kmed.data.dicom import pixel_layout
from kmed.data.dicom.errors import Damaged, NotDicom, TooLarge, UnsupportedPixels
from kmed.data.dicom.pixel_layout import layout_of


def described(**attributes):
    ds = Dataset()
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = 3, 4, 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 1
    ds.PixelData = b"\0" * 24
    for keyword, value in attributes.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    return ds


def test_a_description():
    layout = layout_of(described(), "a.dcm")
    assert (layout.shape, layout.frames, layout.frame_values) == ((3, 4), 1, 12)
    assert (layout.dtype, layout.high, layout.planar) == (np.int16, 11, False)


def test_floats():
    ds = described(PixelData=None, BitsAllocated=32, PixelRepresentation=None, BitsStored=None)
    ds.FloatPixelData = b"\0" * 48
    assert layout_of(ds, "a.dcm").dtype == np.float32
    ds.BitsAllocated = 16
    with pytest.raises(Damaged, match="FloatPixelData needs 32 bits"):
        layout_of(ds, "a.dcm")


@pytest.mark.parametrize(
    ("attributes", "kind", "message"),
    [
        ({"PixelData": None}, Damaged, "no pixel data"),
        ({"PixelData": None, "Rows": None}, NotDicom, "no pixel data"),
        ({"FloatPixelData": b"\0" * 4}, Damaged, "PixelData and FloatPixelData"),
        ({"Rows": 0}, Damaged, "Rows must be a number from 1 to 65535; received 0"),
        ({"Columns": None}, Damaged, "Columns must be a number from 1 to 65535; received None"),
        ({"NumberOfFrames": -1}, Damaged, "NumberOfFrames"),
        ({"BitsAllocated": 12}, UnsupportedPixels, "1, 8, 16, 32 or 64; received 12"),
        ({"BitsAllocated": 24}, UnsupportedPixels, "received 24"),
        ({"BitsStored": 17}, Damaged, "BitsStored must be a number from 1 to 16"),
        ({"HighBit": 16}, Damaged, "HighBit must be a number from 11 to 15"),
        ({"HighBit": 10}, Damaged, "HighBit must be a number from 11 to 15"),
        ({"PixelRepresentation": 2}, Damaged, "PixelRepresentation"),
        ({"SamplesPerPixel": 3}, Damaged, r"MONOCHROME2 has 1 sample\(s\)"),
        ({"PhotometricInterpretation": "CMYK"}, UnsupportedPixels, "'CMYK' is not supported"),
    ],
)
def test_refusals(attributes, kind, message):
    with pytest.raises(kind, match=f"a.dcm: .*{message}") as caught:
        layout_of(described(**attributes), "a.dcm")
    assert caught.value.files == ("a.dcm",)


def test_a_server_elsewhere():
    ds = described(PixelData=None)
    ds.PixelDataProviderURL = "https://example.org"
    with pytest.raises(UnsupportedPixels, match="on a server"):
        layout_of(ds, "a.dcm")


def test_a_size_is_refused_before_it_is_allocated(monkeypatch):
    layout = layout_of(described(NumberOfFrames=10), "a.dcm")
    monkeypatch.setattr(pixel_layout, "LARGEST_BYTES", 24)
    layout.require_size(1)
    with pytest.raises(TooLarge, match="10 frames of 3 x 4 x 1 values are 240 bytes") as caught:
        layout.require_size(10)
    assert caught.value.figures == {"bytes": 240, "limit": 24}
