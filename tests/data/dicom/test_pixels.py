import csv
import warnings

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from kmed.data.dicom import pixel_layout
from kmed.data.dicom.errors import Damaged, DicomError, MissingCodec, NotDicom, TooLarge
from kmed.data.dicom.pixels import stored, stored_values


def image(values, *, syntax=ExplicitVRLittleEndian, **attributes):
    """A data set that stores `values` (F, rows, columns[, 3]) as they lie in memory."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    ds = FileDataset("a.dcm", {}, file_meta=meta)
    ds.Rows, ds.Columns = values.shape[1:3]
    ds.NumberOfFrames = len(values)
    ds.SamplesPerPixel = 3 if values.ndim == 4 else 1
    ds.PhotometricInterpretation = "RGB" if values.ndim == 4 else "MONOCHROME2"
    ds.PlanarConfiguration = 0
    bits = 8 * values.dtype.itemsize
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = bits, bits, bits - 1
    ds.PixelRepresentation = int(values.dtype.kind == "i")
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    ds.add_new("PixelData", "OB" if bits == 8 else "OW", data + b"\0" * (len(data) % 2))
    for keyword, value in attributes.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    return ds


def drawn(kind, shape):
    info = np.iinfo(kind)
    return np.random.default_rng(0).integers(info.min, info.max, shape, kind, endpoint=True)


def theirs(ds):
    """As pydicom decodes it."""
    return pydicom.pixels.pixel_array(ds, raw=True)


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]
)
@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4"])
@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 3, 5, 3)])
def test_whole_numbers(syntax, kind, shape):
    values = drawn(kind, shape)
    ds = image(values, syntax=syntax)
    found = stored_values(ds)
    assert found.dtype == np.dtype(kind)
    np.testing.assert_array_equal(found, values)
    np.testing.assert_array_equal(found, theirs(ds))
    np.testing.assert_array_equal(stored_values(ds, frames=[1]), values[1:])
    np.testing.assert_array_equal(stored_values(ds, frames=[1, 0, 1]), values[[1, 0, 1]])


def test_bytes_in_big_endian_words():
    values = drawn("u1", (3, 3, 5))
    ds = image(values, syntax=ExplicitVRBigEndian)
    data = ds.PixelData
    swapped = b"".join(data[n : n + 2][::-1] for n in range(0, len(data), 2))
    ds.add_new("PixelData", "OW", swapped)
    np.testing.assert_array_equal(stored_values(ds), values)
    np.testing.assert_array_equal(stored_values(ds, frames=[2, 1]), values[[2, 1]])


def test_planes():
    values = drawn("u2", (2, 3, 5, 3))
    planes = np.moveaxis(values, -1, 1).tobytes()
    ds = image(values, PlanarConfiguration=1, PixelData=planes)
    np.testing.assert_array_equal(stored_values(ds), values)
    np.testing.assert_array_equal(stored_values(ds), theirs(ds))


@pytest.mark.parametrize("kind", ["u2", "i2"])
@pytest.mark.parametrize("stored_bits", [5, 10, 12, 15])
def test_unused_bits_are_cut_off_and_signs_extended(kind, stored_bits):
    # Bits beside the stored ones are set at random, as overlays once were.
    values = drawn(kind, (2, 4, 6))
    ds = image(values, BitsStored=stored_bits, HighBit=stored_bits - 1)
    found = stored_values(ds)
    np.testing.assert_array_equal(found, theirs(ds))
    low = values.astype(int) % 2**stored_bits
    expected = np.where((kind == "i2") & (low >= 2 ** (stored_bits - 1)), low - 2**stored_bits, low)
    np.testing.assert_array_equal(found, expected)


def test_a_high_bit_above_the_stored_ones():
    values = np.array([[[0x0012, -0x7FF0]]], np.int16)  # 12 bits from bit 4 on
    ds = image(values, BitsStored=12, HighBit=15)
    assert stored_values(ds).tolist() == [[[0x001, -0x7FF]]]
    values = np.array([[[0xF123, 0x2FFF]]], np.uint16)
    assert stored_values(image(values, BitsStored=8, HighBit=11)).tolist() == [[[0x12, 0xFF]]]


@pytest.mark.parametrize("shape", [(3, 5, 7), (2, 4, 8)])
def test_single_bits(shape):
    bits = np.random.default_rng(1).integers(0, 2, shape, np.uint8)
    packed = np.packbits(bits.ravel(), bitorder="little").tobytes()
    packed += b"\0" * (len(packed) % 2)
    few = {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0, "PixelData": packed}
    ds = image(bits, **few)
    np.testing.assert_array_equal(stored_values(ds), bits)
    np.testing.assert_array_equal(theirs(ds), bits)
    np.testing.assert_array_equal(stored_values(ds, frames=[1]), bits[1:2])


@pytest.mark.parametrize(
    ("keyword", "kind"), [("FloatPixelData", "f4"), ("DoubleFloatPixelData", "f8")]
)
def test_floats(keyword, kind):
    values = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(kind)
    ds = image(values, PixelData=None, BitsStored=None, HighBit=None, PixelRepresentation=None)
    setattr(ds, keyword, values.tobytes())
    assert stored_values(ds).dtype == np.dtype(kind)
    np.testing.assert_array_equal(stored_values(ds), values)


def test_halved_chroma_by_hand():
    # Two pixels share CB and CR: Y1 Y2 CB CR.
    data = bytes([10, 20, 100, 200, 30, 40, 101, 201])
    ds = image(np.zeros((1, 1, 4, 3), np.uint8), PixelData=data)
    ds.PhotometricInterpretation = "YBR_FULL_422"
    expected = [[10, 100, 200], [20, 100, 200], [30, 101, 201], [40, 101, 201]]
    found = stored(ds)
    assert found.values.tolist() == [[expected]]
    assert found.photometric == "YBR_FULL_422"
    np.testing.assert_array_equal(found.values[0], theirs(ds))
    ds.Columns, ds.Rows = 1, 4
    with pytest.raises(Damaged, match="even number of columns"):
        stored_values(ds)


def test_rle_with_a_high_bit():
    values = drawn("u2", (2, 6, 7))
    ds = image(values, BitsStored=12, HighBit=15)
    native = stored_values(ds)
    plain = image(values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    ds.PixelData, ds.file_meta.TransferSyntaxUID = plain.PixelData, RLELossless
    np.testing.assert_array_equal(stored_values(ds), native)
    np.testing.assert_array_equal(stored_values(plain, frames=[1]), values[1:])


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"NumberOfFrames": 3}, "120 bytes; it holds 80"),
        ({"NumberOfFrames": 2**31 - 1}, "it holds 80"),
        ({"Rows": 65535, "Columns": 65535, "NumberOfFrames": 10**6}, "it holds 80"),
        ({"NumberOfFrames": 1}, "declares 40 bytes of pixels and holds 80, one frame more"),
        ({"PixelData": b""}, "its pixel data is empty"),
    ],
)
def test_what_is_declared_is_compared_with_what_is_there(attributes, message):
    with pytest.raises(Damaged, match=f"a.dcm: .*{message}"):
        stored_values(image(drawn("u2", (2, 4, 5)), **attributes))


def test_padding_after_the_pixels_is_left_alone():
    values = drawn("u2", (2, 4, 5))
    ds = image(values, PixelData=values.tobytes() + b"\0" * 38)
    np.testing.assert_array_equal(stored_values(ds), values)


def test_a_limit_for_compressed_pixels(monkeypatch):
    ds = image(drawn("u1", (1, 4, 4)), syntax=RLELossless, NumberOfFrames=4)
    ds.PixelData = encapsulate([b"\0" * 8] * 4)
    monkeypatch.setattr(pixel_layout, "LARGEST_BYTES", 48)
    with pytest.raises(TooLarge, match="decode fewer at a time with `frames`"):
        stored_values(ds)
    ds.Rows = ds.Columns = 60000  # a tiny file that declares 13 GB
    with pytest.raises(TooLarge, match="14,400,000,000 bytes"):
        stored_values(ds)


@pytest.mark.parametrize("frames", [[2], [-1]])
def test_frames_that_are_not_there(frames):
    with pytest.raises(Damaged, match="`frames` must be from 0 to 1"):
        stored_values(image(drawn("u2", (2, 4, 5))), frames=frames)
    assert stored_values(image(drawn("u2", (2, 4, 5))), frames=[]).shape == (0, 4, 5)


def test_transfer_syntaxes():
    ds = image(drawn("u2", (1, 4, 5)))
    del ds.file_meta.TransferSyntaxUID
    with pytest.raises(Damaged, match="no Transfer Syntax UID"):
        stored_values(ds)
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"  # MPEG-4
    ds.PixelData = encapsulate([b"\0" * 8])
    with pytest.raises(MissingCodec, match="nothing here decodes .*MPEG-4"):
        stored_values(ds)


def test_a_file(tmp_path):
    values = drawn("u2", (1, 4, 5))
    ds = image(values, NumberOfFrames=1)
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    ds.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(stored_values(tmp_path / "a.dcm"), values)
    np.testing.assert_array_equal(stored_values(str(tmp_path / "a.dcm")), values)


@pytest.mark.parametrize("kind", ["RLE", "J2KR", "JLSL", "JPLL"])
def test_lossless_variants_equal_their_reference(shared_data, kind):
    root = shared_data / "data" / "dicom" / "wg04"
    names = sorted(path.name.split("_")[0] for path in (root / kind).glob("*.dcm"))
    assert len(names) >= 3
    for name in names:
        reference = stored_values(root / "REF" / f"{name}_UNC.dcm")
        found = stored_values(root / kind / f"{name}_{kind}.dcm")
        assert found.dtype == reference.dtype
        np.testing.assert_array_equal(found, reference)


def test_lossy_variants_are_near_their_reference(shared_data):
    root = shared_data / "data" / "dicom" / "wg04"
    for kind, worst, mean in (("JLSN", 4, 4), ("JPLY", 40, 3.2)):
        for path in sorted((root / kind).glob("*.dcm")):
            reference = stored_values(root / "REF" / f"{path.name.split('_')[0]}_UNC.dcm")
            off = np.abs(stored_values(path).astype(int) - reference)
            assert off.max() <= worst and off.mean() <= mean


def test_12_bits_as_libjpeg_turbo_decodes_them(shared_data):
    # Smallest, largest and mean of imagecodecs 2026, whose 12 bits are libjpeg-turbo's.
    root = shared_data / "data" / "dicom"
    for name, low, high, mean in (
        ("wg04/JPLY/MR4_JPLY.dcm", 0, 2148, 1515.8977851867676),
        ("pydicom/JPGExtended.dcm", 0, 264, 14.369991302490234),
    ):
        found = stored_values(root / name)
        assert (found.min(), found.max(), found.mean()) == (low, high, mean)


def test_segmentations_are_equal_in_every_transfer_syntax(shared_data):
    root = shared_data / "data" / "dicom"
    for name in ("liver", "liver_nonbyte_aligned"):
        paths = sorted(root.glob(f"pydicom*/{name}.dcm"))
        paths += [
            root / "pydicom_data" / f"{name}_{kind}.dcm" for kind in ("rle", "j2k", "deflate")
        ]
        first, *others = [stored_values(path, frames=[0, 2]) for path in paths]
        assert first.any() and len(others) >= 3
        for other in others:
            np.testing.assert_array_equal(first, other)


def test_a_sample_of_the_corpus_decodes_as_pydicom(shared_data):
    # All of it: tests/benchmarks/dicom_corpus.py.
    root = shared_data / "data" / "dicom"
    with open(root / "MANIFEST.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["decode"].startswith("ok")]
    rows = [row for row in rows if row["ts"] != "JPEG Extended (Process 2 and 4)"]
    by_syntax = {}
    for row in rows:
        by_syntax.setdefault((row["ts"], row["pi"], row["bits"]), row)
    assert len(by_syntax) > 25
    for row in by_syntax.values():
        found = stored_values(root / row["path"])
        shape = tuple(map(int, row["decode"].split()[1].split("x")))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = theirs(pydicom.dcmread(root / row["path"]))
        assert expected.shape == shape, row["path"]
        np.testing.assert_array_equal(found.reshape(shape), expected, err_msg=row["path"])


def test_broken_pixels_are_refused(shared_data):
    folder = shared_data / "data" / "dicom" / "malformed" / "cat04_pixel_data"
    refused = 0
    for path in sorted(folder.glob("*.dcm")):
        with pytest.raises(DicomError) as caught:
            stored_values(path)
        assert path.name in str(caught.value)
        assert not isinstance(caught.value, NotDicom)
        refused += 1
    assert refused >= 10
