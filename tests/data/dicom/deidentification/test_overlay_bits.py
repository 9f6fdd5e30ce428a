"""Overlays in bits of the pixels, as devices before 2004 stored them."""

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRBigEndian, ExplicitVRLittleEndian, RLELossless

from kmed.data.dicom.deidentification.burned_in import BurnedInText
from kmed.data.dicom.deidentification.overlay_bits import without_overlay_bits

PIXELS = np.array([[1, 2], [3, 4095]])
MARKS = np.array([[0x8000, 0], [0, 0x8000]])


def image(syntax, order="<"):
    ds = Dataset()
    ds.SOPClassUID, ds.Rows, ds.Columns, ds.SamplesPerPixel = CTImageStorage, 2, 2, 1
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = (PIXELS | MARKS).astype(f"{order}u2").tobytes()
    ds.add_new(0x60020102, "US", 15)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    return ds


@pytest.mark.parametrize(
    "syntax, order", [(ExplicitVRLittleEndian, "<"), (ExplicitVRBigEndian, ">")]
)
def test_the_overlay_goes_and_the_pixels_stay(syntax, order):
    ds = image(syntax, order)
    clean = without_overlay_bits(ds, ds["PixelData"]).value
    np.testing.assert_array_equal(np.frombuffer(clean, f"{order}u2").reshape(2, 2), PIXELS)


def test_compressed_pixels_are_refused():
    ds = image(RLELossless)
    with pytest.raises(BurnedInText, match="scan.dcm: an overlay in the unused bits"):
        without_overlay_bits(ds, ds["PixelData"], "scan.dcm")


def test_an_overlay_of_its_own_leaves_the_pixels_alone():
    ds = image(ExplicitVRLittleEndian)
    ds.add_new(0x60023000, "OW", bytes(2))
    assert without_overlay_bits(ds, ds["PixelData"]) is ds["PixelData"]
