import struct

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut

from kmed.data.dicom.errors import Damaged
from kmed.data.dicom.lookup import is_big_endian, palette, table


def lut(descriptor, data, vr="US"):
    ds = Dataset()
    ds.add_new("LUTDescriptor", "SS" if min(descriptor) < 0 else "US", list(descriptor))
    ds.add_new("LUTData", vr, data)
    return ds


def coloured(descriptor, channels, *, segmented=False):
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    for name, data in zip(("Red", "Green", "Blue"), channels, strict=True):
        ds.add_new(f"{name}PaletteColorLookupTableDescriptor", "US", list(descriptor))
        prefix = "Segmented" if segmented else ""
        ds.add_new(f"{prefix}{name}PaletteColorLookupTableData", "OW", data)
    return ds


def words(*values):
    return struct.pack(f"<{len(values)}H", *values)


def test_a_table_by_hand():
    found = table(lut((3, 100, 16), [5, 60000, 7]), "a.dcm", signed=False)
    # Inputs below the first mapped get the first entry, beyond the last the last: C.11.1.1.1.
    values = np.array([[0, 100, 101], [102, 103, 65535]], np.uint16)
    assert found(values).tolist() == [[5, 5, 60000], [7, 7, 7]]
    assert (found.first, found.bits, found(values).dtype) == (100, 16, np.uint16)


@pytest.mark.parametrize("vr", ["US", "OW"])
def test_a_modality_lut_as_pydicom(vr):
    data = [*range(50, 90, 10)]
    item = lut((4, 2, 16), words(*data) if vr == "OW" else data, vr)
    ds = Dataset()
    ds.ModalityLUTSequence, ds.PixelRepresentation = [item], 0
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    values = np.arange(9, dtype=np.uint16)
    found = table(item, "a.dcm", signed=False)(values)
    np.testing.assert_array_equal(found, apply_modality_lut(values, ds))


def test_the_first_value_may_be_negative():
    for first in (-2, 65534):
        found = table(lut((3, first, 16), [1, 2, 3]), "a.dcm", signed=True)
        assert found(np.array([-5, -2, -1, 0, 9])).tolist() == [1, 1, 2, 3, 3]
    assert table(lut((3, 65534, 16), [1, 2, 3]), "a.dcm", signed=False).first == 65534


def test_65536_entries_are_written_as_0():
    entries = np.arange(65536, dtype="<u2")[::-1]
    found = table(lut((0, 0, 16), entries.tobytes(), "OW"), "a.dcm", signed=False)
    assert found(np.array([0, 65535])).tolist() == [65535, 0]


def test_entries_of_8_bits_and_big_endian_words():
    for data, big in ((b"\1\2\3\0", False), (b"\2\1\0\3", True)):
        found = table(lut((3, 0, 8), data, "OW"), "a.dcm", signed=False, big=big)
        assert found.entries.tolist() == [1, 2, 3]
    # One a word.
    found = table(lut((3, 0, 8), words(1, 2, 3), "OW"), "a.dcm", signed=False)
    assert found.entries.tolist() == [1, 2, 3]
    big = struct.pack(">3H", 1, 2, 300)
    assert table(lut((3, 0, 16), big, "OW"), "a", signed=False, big=True).entries[2] == 300


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (Dataset(), "LUTDescriptor must be three numbers"),
        (lut((3, 0, 16), [1, 2]), "declares 3 entries and holds 2"),
        (lut((3, 0, 16), b"\0\0", "OW"), "declares 3 entries and holds 1"),
        (lut((3, 0, 40), [1, 2, 3]), "entries of 40 bits"),
    ],
)
def test_broken_tables(item, message):
    with pytest.raises(Damaged, match=f"a.dcm: .*{message}"):
        table(item, "a.dcm", signed=False)


def test_a_palette_as_pydicom():
    rng = np.random.default_rng(0)
    channels = [rng.integers(0, 65536, 200).astype("<u2").tobytes() for _ in range(3)]
    ds = coloured((200, 10, 16), channels)
    values = rng.integers(0, 256, (20, 30)).astype(np.uint16)
    found = np.stack([t(values) for t in palette(ds, "a.dcm", signed=False)], axis=-1)
    np.testing.assert_array_equal(found, apply_color_lut(values, ds))


def test_a_segmented_palette_by_hand():
    # PS3.3, C.7.9.2: discrete 10, 20; linear to 60 in four; both segments again.
    segments = words(0, 2, 10, 20, 1, 4, 60, 2, 2, 0, 0)
    ds = coloured((12, 0, 16), [segments] * 3, segmented=True)
    red, green, _ = palette(ds, "a.dcm", signed=False)
    half = [10, 20, 30, 40, 50, 60]
    assert red.entries.tolist() == half * 2 == green.entries.tolist()
    values = np.arange(12, dtype=np.uint16)
    assert apply_color_lut(values, ds)[:, 0].tolist() == half * 2


def test_a_segmented_palette_of_bytes():
    segments = bytes([0, 2, 10, 20, 1, 4, 60, 2, 2, 0, 0, 0, 0, 0])
    ds = coloured((12, 0, 8), [segments] * 3, segmented=True)
    assert palette(ds, "a.dcm", signed=False)[2].entries.tolist() == [10, 20, 30, 40, 50, 60] * 2


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        (words(1, 4, 60), "segment type 1 is not allowed"),
        (words(2, 1, 0, 0), "segment type 2 is not allowed"),  # repeats itself
        (words(0, 2, 10, 20, 2, 60000, 0, 0), "segment type 2 is not allowed"),
        (words(0, 13, *range(13)), "a segment of 13 entries after 0 of 12"),
        (words(0, 0), "a segment of 0 entries"),
        (words(0, 12, 1, 2), "a discrete segment is cut off"),
        (words(0, 2, 1, 2), "2 entries, 12 are declared"),
        (words(0, 2, 1, 2, 2, 1, 0, 60000), "segmented palette is broken"),
        (words(0, 2, 1, 2, 1, 4), "segmented palette is broken"),
        (words(9, 2, 1, 2), "segment type 9"),
    ],
)
def test_broken_segments(segments, message):
    ds = coloured((12, 0, 16), [segments] * 3, segmented=True)
    with pytest.raises(Damaged, match=message):
        palette(ds, "a.dcm", signed=False)


def test_a_palette_that_is_missing():
    ds = coloured((2, 0, 16), [words(1, 2)] * 3)
    del ds.GreenPaletteColorLookupTableData
    with pytest.raises(Damaged, match="PALETTE COLOR without GreenPaletteColorLookupTableData"):
        palette(ds, "a.dcm", signed=False)


def test_byte_order():
    ds = coloured((2, 0, 16), [words(1, 2)] * 3)
    assert not is_big_endian(ds) and not is_big_endian(Dataset())
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.2"
    assert is_big_endian(ds)


def test_real_palettes_as_pydicom(shared_data):
    root = shared_data / "data" / "dicom"
    for name in ("pydicom_data/OBXXXX1A_rle.dcm", "pydicom/examples_palette.dcm"):
        ds = pydicom.dcmread(root / name)
        values = ds.pixel_array
        found = np.stack([t(values) for t in palette(ds, name, signed=False)], axis=-1)
        np.testing.assert_array_equal(found, apply_color_lut(values, ds))
