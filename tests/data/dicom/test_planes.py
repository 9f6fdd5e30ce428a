"""Slices decoded one by one, each file read once."""

import numpy as np
import pydicom
import pytest

from kmed.data.dicom import planes as module
from kmed.data.dicom.errors import Damaged, UnitsUnknown
from kmed.data.dicom.planes import Planes, stacked_planes
from kmed.data.dicom.series import read_series
from kmed.data.dicom.volumes import volumes_of
from kmed.data.dicom.writer import StudyHeader, write_series

SHAPE = (4, 5, 6)
AXIAL = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [2, 0, 0, 0], [0, 0, 0, 1.0]])
IMAGE = np.arange(120).reshape(SHAPE)


@pytest.fixture
def files(tmp_path):
    study = StudyHeader(patient_id="p", patient_name="A^B", entropy=("p",), date="20250101")
    return write_series(tmp_path, IMAGE, AXIAL, study, modality="CT", name="ct", number=1)


def edit(file, **attributes):
    ds = pydicom.dcmread(file)
    for keyword, value in attributes.items():
        if keyword == "PixelPaddingValue":
            ds.add_new(keyword, "US", value)
        else:
            setattr(ds, keyword, value)
    ds.save_as(file)


def planes_of(source, number=0, **options):
    volume = volumes_of(source).series[0].volumes[number]
    return Planes(volume.headers, volume.frames, **options)


def test_units_and_stored_values(files, tmp_path):
    planes = planes_of(tmp_path)
    assert len(planes) == 4
    np.testing.assert_array_equal(planes(2), IMAGE[2])
    np.testing.assert_array_equal(planes_of(tmp_path, values="stored")(2), IMAGE[2] + 1024)
    with pytest.raises(UnitsUnknown):
        planes_of(tmp_path, values="suv")(0)


def test_one_array_of_the_least_type_that_holds_all(files, tmp_path):
    array = stacked_planes(planes_of(tmp_path))
    assert array.dtype == np.int16
    np.testing.assert_array_equal(array, IMAGE)
    edit(files[2], RescaleSlope=0.5)
    array = stacked_planes(planes_of(tmp_path))
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array[[0, 1, 3]], IMAGE[[0, 1, 3]])
    np.testing.assert_array_equal(array[2], (IMAGE[2] + 1024) * 0.5 - 1024)


def test_written_into_the_array_that_is_given(files, tmp_path):
    given = []

    def empty(shape, dtype):
        given.append(np.empty(shape[::-1], dtype))
        return given[-1].T

    array = stacked_planes(planes_of(tmp_path), empty)
    assert array.base is given[0]
    np.testing.assert_array_equal(given[0].T, IMAGE)


def test_padded_pixels(files, tmp_path):
    assert planes_of(tmp_path).padded() is None
    assert planes_of(tmp_path, padding=-7).padded() == -7
    for file in files:
        edit(file, PixelPaddingValue=1024)
    assert planes_of(tmp_path).padded() == 0
    assert planes_of(tmp_path, values="stored").padded() == 1024
    planes = planes_of(tmp_path, padding=-2000)
    assert planes.padded() == -2000 and planes(0)[0, 0] == -2000 and planes(0)[0, 1] == 1
    half = planes_of(tmp_path, padding=-0.5)(0)
    assert half.dtype == np.float32 and half[0, 0] == -0.5


def test_a_file_that_changed_since_its_header_was_read(files, tmp_path):
    planes = planes_of(tmp_path)
    edit(files[1], Rows=6, Columns=5)
    planes(0)
    with pytest.raises(Damaged, match=r"slice-0002\.dcm: decoded to \(6, 5\)"):
        planes(1)


@pytest.mark.parametrize("folder", ["dcm_qa_enh", "dcm_qa_siemens_mosaic/In/ax/axasc35"])
def test_each_file_of_many_frames_is_read_once(shared_data, monkeypatch, folder):
    archive = volumes_of(shared_data / "data" / "dicom" / folder)
    volume = archive.series[-1].volumes[0]
    seen = []

    def read(source, **options):
        seen.append(source)
        return pydicom.dcmread(source.path)

    monkeypatch.setattr(module, "read_dataset", read)
    planes = Planes(volume.headers, volume.frames, values="stored")
    array = stacked_planes(planes)
    assert array.shape == volume.shape and len(seen) == len(set(seen)) == len(set(volume.headers))
    ds = pydicom.dcmread(volume.headers[0].source.path)
    for number in (0, len(planes) - 1):
        frame = volume.frames[number]
        if frame.tile is None:
            expected = ds.pixel_array[frame.index]
        else:
            row, column, rows, columns = frame.tile
            expected = ds.pixel_array[row : row + rows, column : column + columns]
        np.testing.assert_array_equal(array[number], expected)


def test_values_and_padding_of_a_series(files, tmp_path):
    stored = np.stack([pydicom.dcmread(file).pixel_array for file in files])
    np.testing.assert_array_equal(read_series(tmp_path, values="stored").array, stored)
    with pytest.raises(UnitsUnknown):
        read_series(tmp_path, values="suv")
    for file in files:
        ds = pydicom.dcmread(file)
        ds.add_new("PixelPaddingValue", "US", 1024 + 3)
        ds.save_as(file)
    assert read_series(tmp_path).array[0, 0, 3] == 3
    read = read_series(tmp_path, padding=-2000)
    assert read.array[0, 0, 3] == -2000 and (read.array == -2000).sum() == 1
    assert read_series(tmp_path, padding=-0.5).array.dtype == np.float32


def test_suv_of_a_pet_series(files, tmp_path):
    drug = pydicom.Dataset()
    drug.RadionuclideTotalDose, drug.RadionuclideHalfLife = "370e6", "6586.2"
    drug.RadiopharmaceuticalStartTime = "110000"
    for number, file in enumerate(files, 1):
        edit(
            file, Modality="PT", SOPClassUID="1.2.840.10008.5.1.4.1.1.128", Units="BQML",
            DecayCorrection="ADMIN", CorrectedImage=["DECY", "ATTN"], PatientWeight="70",
            RadiopharmaceuticalInformationSequence=[drug], RescaleSlope=number, RescaleIntercept=0,
        )  # fmt: skip
    read = read_series(tmp_path, values="suv")
    slopes = np.arange(1, 5)[:, None, None]
    activity = (IMAGE + 1024) * slopes
    np.testing.assert_allclose(read.array, activity * 70e3 / 370e6, rtol=1e-6)
    np.testing.assert_array_equal(read_series(tmp_path).array, activity)
