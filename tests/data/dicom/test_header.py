"""Headers of good files against pydicom's own reading; of bad ones a typed error, at once."""

import pickle
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pydicom
import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from kmed.data.dicom import header as module
from kmed.data.dicom.errors import Damaged, DicomError, NotDicom, TooLarge
from kmed.data.dicom.files import Source
from kmed.data.dicom.header import Header, read_dataset, read_header, read_headers
from kmed.data.dicom.writer import StudyHeader, write_series


@pytest.fixture
def files(tmp_path):
    study = StudyHeader(patient_id="p", patient_name="p", entropy=("p",), date="20240101")
    affine = np.array([[0, 0, 0.8, -10], [0, 0.7, 0, -20], [2.5, 0, 0, 30], [0, 0, 0, 1]])
    array = np.zeros((3, 4, 5), np.int16)
    return write_series(
        tmp_path / "ct", array, affine, study, modality="CT", name="chest", number=4
    )


def edit(file, **attributes):
    ds = pydicom.dcmread(file)
    for keyword, value in attributes.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    ds.save_as(file)


def test_a_header(files):
    header, ds = read_header(files[1]), pydicom.dcmread(files[1])
    assert header.source == Source(files[1])
    assert header.sop_class_uid == CTImageStorage
    assert header.transfer_syntax == ExplicitVRLittleEndian
    for name, keyword in (
        ("instance_uid", "SOPInstanceUID"),
        ("series_uid", "SeriesInstanceUID"),
        ("study_uid", "StudyInstanceUID"),
        ("frame_of_reference_uid", "FrameOfReferenceUID"),
        ("patient", "PatientID"),
        ("modality", "Modality"),
        ("rows", "Rows"),
        ("columns", "Columns"),
        ("samples", "SamplesPerPixel"),
        ("photometric", "PhotometricInterpretation"),
        ("bits_stored", "BitsStored"),
        ("series_number", "SeriesNumber"),
        ("instance_number", "InstanceNumber"),
        ("acquisition_number", "AcquisitionNumber"),
        ("description", "SeriesDescription"),
    ):
        assert getattr(header, name) == ds[keyword].value, name
    assert header.image_type == tuple(ds.ImageType)
    assert (header.number_of_frames, header.is_image) == (1, True)
    (frame,) = header.frames
    assert frame.position_mm == (-10, -20, 32.5)
    assert frame.spacing_mm == (0.7, 0.8)
    assert pickle.loads(pickle.dumps(header)) == header


def test_text_in_the_files_own_character_set(files):
    edit(files[0], SpecificCharacterSet="ISO_IR 144", SeriesDescription="грудь", PatientID="п1")
    header = read_header(files[0])
    assert (header.description, header.patient) == ("грудь", "п1")
    raw = files[0].read_bytes().replace(b"ISO_IR 144", b"ISO_IR 999")
    files[0].write_bytes(raw)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, of the unknown character set
        assert read_header(files[0]).patient


def test_objects_that_are_no_images(files):
    edit(files[0], SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33", Modality="SR", PixelData=None)
    header = read_header(files[0])
    assert (header.is_image, header.frames) == (False, ())
    edit(files[1], SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4", Modality="SEG")
    assert not read_header(files[1]).is_image
    # A private class is an image if it has pixels.
    edit(files[2], SOPClassUID="1.3.12.2.1107.5.9.1")
    assert read_header(files[2]).is_image
    edit(files[2], Rows=None, PixelData=None)
    assert not read_header(files[2]).is_image


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"SeriesInstanceUID": None}, Damaged, "lacks Series Instance UID"),
        ({"Rows": None}, Damaged, "without rows or columns"),
        ({"Columns": 0}, Damaged, "without rows or columns"),
        ({"PixelData": None}, Damaged, "without pixel data"),
        ({"NumberOfFrames": -3}, Damaged, "NumberOfFrames must be"),
        ({"NumberOfFrames": 2**31 - 1}, Damaged, "declares 2147483647 frames, .* have 40 bytes"),
        ({"NumberOfFrames": 300_000, "PixelData": bytes(300_000)}, TooLarge, "300000 frames"),
    ],
)
def test_what_an_image_needs(files, change, error, said):
    edit(files[0], **change)
    with pytest.raises(error, match=rf"slice-0001\.dcm: .*{said}") as caught:
        read_header(files[0])
    assert caught.value.files == (str(files[0]),)


def test_numbers_of_another_vr(files):
    raw = files[0].read_bytes()
    rows = raw.index(b"\x28\0\x10\0US\2\0")
    for vr, expected in ((b"SS", 4), (b"DS", None), (b"OB", None)):
        files[0].write_bytes(raw[: rows + 4] + vr + raw[rows + 6 :])
        if expected:
            assert read_header(files[0]).rows == expected
        else:
            with pytest.raises(DicomError, match=r"slice-0001\.dcm: "):
                read_header(files[0])


def test_pixels_on_demand(files):
    expected = pydicom.dcmread(files[0])
    assert read_dataset(files[0], pixels=True) == expected
    assert "PixelData" not in read_dataset(files[0])
    with pytest.raises(TooLarge, match="max_bytes="):
        read_dataset(files[0], max_bytes=500)
    with pytest.raises(NotDicom, match="nowhere.*can't be opened"):
        read_dataset(files[0].parent / "nowhere")


@pytest.mark.parametrize("workers", [None, 2])
def test_many(files, workers, monkeypatch):
    # Threads, since a process takes seconds to start.
    monkeypatch.setattr(module, "ProcessPoolExecutor", lambda n, **_: ThreadPoolExecutor(n))
    files[1].write_bytes(files[1].read_bytes()[:500])
    headers, left_out = read_headers([*files, files[0].parent / "none"], workers=workers)
    assert [header.source.path for header in headers] == [files[0], files[2]]
    assert [name for name, _ in left_out] == [str(files[1]), str(files[0].parent / "none")]
    assert all(str(files[0].parent) not in reason for _, reason in left_out)


def test_a_corpus_of_good_and_broken_files(shared_data):
    """Each gives a header equal to pydicom's reading, or a typed error."""
    root = shared_data / "data" / "dicom"
    paths = [
        *sorted((root / "malformed").rglob("*.dcm")),
        *sorted((root / "pydicom").glob("*"))[::3],
        *sorted((root / "wg04").rglob("*.dcm"))[::6],
    ]
    assert len(paths) > 60
    good = 0
    for path in paths:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's, of values that break their VR's rules
            started = time.monotonic()
            try:
                header = read_header(path)
            except DicomError as error:
                assert str(error).startswith(f"{path}: ")
                assert error.files == (str(path),)
                continue
            finally:
                assert time.monotonic() - started < 1
            assert isinstance(header, Header)
            try:
                ds = pydicom.dcmread(path, stop_before_pixels=True)
            except pydicom.errors.InvalidDicomError:
                continue
            assert read_dataset(path) == ds
            assert header.instance_uid == ds.get("SOPInstanceUID", "")
            assert (header.rows, header.columns) == (ds.get("Rows", 0), ds.get("Columns", 0))
        good += 1
    assert good > 40
