import tracemalloc
from pathlib import Path

import numpy as np
import pydicom
import pytest
from highdicom.image import get_volume_from_series
from scipy.spatial.transform import Rotation

from kmed.data.dicom.errors import LocalizerRefused
from kmed.data.dicom.series import read_series, read_volume
from kmed.data.dicom.volumes import volumes_of
from kmed.data.dicom.writer import StudyHeader, write_series
from kmed.data.sample import DataError

SHAPE = (5, 6, 7)
AXIAL = np.array([[0, 0, 0.8, -30], [0, 0.7, 0, 12], [2.5, 0, 0, 100], [0, 0, 0, 1.0]])


def make(folder: Path, affine=AXIAL, *, modality="CT", patient="p1", name="ct") -> list[Path]:
    study = StudyHeader(patient_id=patient, patient_name="A^B", entropy=(patient,), date="20250101")
    array = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    return write_series(folder, array, affine, study, modality=modality, name=name, number=1)


def edit(file, **attributes):
    ds = pydicom.dcmread(file)
    for keyword, value in attributes.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    ds.save_as(file)


@pytest.fixture
def series(tmp_path):
    folder = tmp_path / "study" / "ct"
    return folder, make(folder)


def reference(files):
    """The same volume by highdicom, turned to kmed's axes."""
    volume = get_volume_from_series([pydicom.dcmread(file) for file in files])
    return volume.to_patient_orientation(("H", "P", "L"))


def test_plain_series(series):
    folder, files = series
    read = read_series(folder)
    np.testing.assert_array_equal(read.array, np.arange(np.prod(SHAPE)).reshape(SHAPE))
    np.testing.assert_allclose(read.affine, AXIAL)
    assert read.array.dtype == np.int16 and read.modality == "CT"
    assert read.spacing_mm == pytest.approx((2.5, 0.7, 0.8))
    assert read.files == tuple(map(str, files))
    assert read_series(list(reversed(files))).files == read.files
    assert read_series(iter(files)).files == read.files


def rotation(x, y, z):
    return Rotation.from_euler("xyz", (x, y, z), degrees=True).as_matrix()


@pytest.mark.parametrize("angles", [(0, 0, 0), (12, -7, 20), (90, 0, 0), (0, 90, 10), (180, 0, 95)])
@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1)])
def test_any_orientation_keeps_each_voxel_in_its_place(tmp_path, angles, order):
    affine = np.eye(4)
    affine[:3, :3] = rotation(*angles)[:, order] * (2.5, 0.7, 0.8)
    affine[:3, 3] = 10.5, -20.25, 7.0
    if np.linalg.det(affine[:3, :3]) > 0:  # slice, row, column of DICOM are left-handed
        affine[:3, 0] *= -1
    files = make(tmp_path / "any", affine)
    read = read_series(tmp_path / "any")
    # Each voxel by the equation of the standard (PS3.3 C.7.6.2.1-1), in plain loops.
    back = np.linalg.inv(read.affine)
    for file in files:
        ds = pydicom.dcmread(file)
        x, y = np.array(ds.ImageOrientationPatient, float).reshape(2, 3)
        for row, column in ((0, 0), (5, 6), (2, 3)):
            place = np.array(ds.ImagePositionPatient, float)
            place = place + x * ds.PixelSpacing[1] * column + y * ds.PixelSpacing[0] * row
            index = back @ (*place, 1)
            np.testing.assert_allclose(index, np.rint(index), atol=1e-4)
            at = tuple(np.rint(index[:3]).astype(int))
            assert read.array[at] == ds.pixel_array[row, column] - 1024.0
    # Canonical: each axis runs, more than along others, to superior, posterior, left.
    directions = read.affine[:3, :3] / np.array(read.spacing_mm)
    assert np.trace(directions[[2, 1, 0]]) > 1.4
    assert (np.diag(directions[[2, 1, 0]]) > 0).all()
    expected = reference(files)
    np.testing.assert_allclose(expected.affine, read.affine, atol=1e-4)
    np.testing.assert_array_equal(expected.array, read.array)


def test_siemens_oblique_series_as_highdicom_reads_it(shared_data):
    folder = shared_data / "data" / "dicom" / "mr_series_siemens_t1post"
    read = read_series(folder)
    expected = reference(sorted(folder.glob("*.dcm")))
    np.testing.assert_array_equal(read.array, expected.array)
    np.testing.assert_allclose(read.affine, expected.affine, atol=2e-3)
    assert read.spacing_mm == pytest.approx((6.5, 0.6875, 0.6875), abs=1e-4)
    assert read.array.shape == (22, 320, 280) and read.modality == "MR"


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("dcm_qa_ct", r"sheared by 18\.5 degrees \(gantry tilt\)"),
        ("dcm_qa_nih/In/20180918Si/mr_0003", "holds 2 volumes, told apart by AcquisitionNumber"),
        ("wg04/REF", "4 series; choose one with series_uid"),
        ("dcmqi/sr-example", "no DICOM images found"),
    ],
)
def test_what_is_not_a_plain_series_is_refused(shared_data, folder, said):
    with pytest.raises(DataError, match=said):
        read_series(shared_data / "data" / "dicom" / folder)


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_malformed_files_are_refused_by_name(shared_data):
    files = sorted((shared_data / "data" / "dicom" / "malformed").rglob("*.dcm"))
    assert len(files) > 30
    for file in files:
        with pytest.raises(DataError, match=file.name):
            read_series(file)


def test_missing_slice_names_the_gap(series):
    folder, files = series
    files[2].unlink()
    with pytest.raises(DataError, match=r"slice-0002.*slice-0004.*a gap of 5\.000 mm.*2\.500 mm"):
        read_series(folder)


def test_uneven_spacing_duplicate_and_shear(series):
    folder, files = series
    edit(files[4], ImagePositionPatient=[-30, 12, 110.3])
    with pytest.raises(DataError, match=r"slice-0004.*slice-0005.*a gap of 2\.800 mm"):
        read_series(folder)
    edit(files[4], ImagePositionPatient=[-30, 12, 107.5])
    with pytest.raises(DataError, match=r"slice-0004.*slice-0005.*two slices at one position"):
        read_series(folder)
    edit(files[4], ImagePositionPatient=[-30, 12.5, 110])
    with pytest.raises(DataError, match=r"sheared by|slice is missing or the spacing uneven"):
        read_series(folder)


def test_rounded_positions_are_accepted(tmp_path):
    affine = AXIAL.copy()
    affine[2, 0] = 1.25
    for file in make(tmp_path / "ct", affine):
        ds = pydicom.dcmread(file)
        x, y, z = ds.ImagePositionPatient
        edit(file, ImagePositionPatient=[x, y, round(float(z), 1)])
    assert read_series(tmp_path / "ct").spacing_mm[0] == pytest.approx(1.25, abs=0.02)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"PixelSpacing": [0.7, 0.9]}, "one PixelSpacing"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0.8, 0.6]}, "one ImageOrientationPatient"),
        ({"FrameOfReferenceUID": "1.2.3"}, "frame of reference"),
        ({"ImagePositionPatient": None}, "needs ImagePositionPatient"),
        ({"PixelSpacing": [0, 0.8]}, "above 0"),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "only MONOCHROME2.*'MONOCHROME1'"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "only MONOCHROME2.*'RGB'"),
        ({"NumberOfFrames": 2}, "2 frames without functional groups"),
        ({"RescaleSlope": None}, "needs RescaleSlope and RescaleIntercept"),
        ({"PixelData": b"\0\0"}, "84 bytes; it holds 2: cut off"),
        ({"PixelData": bytes(4 * 6 * 7)}, "declares 84 bytes of pixels and holds 168"),
        ({"Rows": None}, "without rows or columns"),
    ],
)
@pytest.mark.filterwarnings("ignore:The number of bytes of pixel data:UserWarning")
def test_one_odd_slice_is_refused_by_name(series, change, said):
    folder, files = series
    edit(files[3], **change)
    with pytest.raises(DataError, match=said) as error:
        read_series(folder)
    assert "slice-0004.dcm" in str(error.value)


def test_localizer_among_slices(series):
    folder, files = series
    edit(files[4], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    with pytest.raises(LocalizerRefused, match="slice-0005.*localizer"):
        read_series(folder, localizers="refuse")
    read = read_series(folder)
    assert read.array.shape == (4, 6, 7) and read.problems == ("1 localizer left out",)
    with pytest.raises(LocalizerRefused, match="slice-0005.*localizer"):
        read_series(files[4])


def test_unknown_transfer_syntax(series):
    folder, files = series
    raw = files[0].read_bytes()
    files[0].write_bytes(raw.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.9\0"))
    with pytest.raises(DataError, match=r"slice-0001\.dcm: nothing here decodes"):
        read_series(folder)


@pytest.mark.parametrize("keep", [0, 100, 131, 400, 900, -20])
def test_cut_off_files_are_refused_by_name(series, keep):
    folder, files = series
    files[1].write_bytes(files[1].read_bytes()[:keep])
    with pytest.raises(DataError, match=r"slice-0002\.dcm"):
        read_series(folder)


def test_other_files_in_the_folder(series):
    folder, _ = series
    for name in ("DICOMDIR", ".DS_Store", "notes.txt", "mask.nii.gz"):
        (folder / name).write_text("not an image")
    assert read_series(folder).array.shape == SHAPE
    (folder / "IM0007").write_text("not an image")
    with pytest.raises(DataError, match="IM0007: not a DICOM file"):
        read_series(folder)


def test_nothing_there(tmp_path):
    with pytest.raises(DataError, match="no DICOM images found"):
        read_series(tmp_path)
    with pytest.raises(DataError, match="nowhere: no such file or folder"):
        read_series(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no DICOM images found"):
        read_series([])


def test_rescale_is_per_slice_and_fractions_give_float32(series):
    folder, files = series
    edit(files[1], RescaleSlope=2, RescaleIntercept=-1000)
    read = read_series(folder)
    stored = np.arange(42, 84).reshape(6, 7) + 1024
    np.testing.assert_array_equal(read.array[1], stored * 2 - 1000)
    assert read.array.dtype == np.int16
    edit(files[1], RescaleSlope=0.5, RescaleIntercept=-0.25)
    read = read_series(folder)
    np.testing.assert_allclose(read.array[1], stored * 0.5 - 0.25)
    assert read.array.dtype == np.float32 and read.array[0, 0, :4].tolist() == [0, 1, 2, 3]


def test_single_slice_takes_its_thickness(series):
    _, files = series
    assert read_series(files[0]).spacing_mm == pytest.approx((2.5, 0.7, 0.8))
    edit(files[0], SliceThickness=None)
    with pytest.raises(DataError, match="single slice needs SliceThickness"):
        read_series(files[0])


def test_localizers_of_another_series(tmp_path):
    make(tmp_path / "ct")
    for file in make(tmp_path / "scout", name="scout"):
        edit(file, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    read = read_series(tmp_path)
    assert read.array.shape == SHAPE and read.problems == ("5 localizers of other series left out",)
    with pytest.raises(LocalizerRefused, match="localizer"):
        read_series(tmp_path, localizers="refuse")
    for options in ({"localizers": "keep"}, {"values": "hu"}):
        with pytest.raises(ValueError, match=f"`{next(iter(options))}` must be"):
            read_series(tmp_path, **options)


def test_a_volume_decodes_into_one_array(tmp_path):
    """Sagittal slices, which are turned: no second array of the size of the first."""
    shape = (64, 128, 128)
    affine = np.array([[-2, 0, 0, 20], [0, 0, 1, -7], [0, -1, 0, 40], [0, 0, 0, 1.0]])
    study = StudyHeader(patient_id="p", patient_name="A^B", entropy=("p",), date="20250101")
    write_series(tmp_path, np.zeros(shape), affine, study, modality="CT", name="ct", number=1)
    (volume,) = volumes_of(tmp_path).series[0].volumes
    read_volume(volume)  # modules and codecs are loaded
    tracemalloc.start()
    read = read_volume(volume)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert read.array.shape == (128, 128, 64) and read.slice_axis == 2
    assert read.array.flags.c_contiguous and read.array.dtype == np.int16
    assert peak < 1.5 * read.array.nbytes


@pytest.mark.parametrize(
    ("slices", "rows", "columns", "axis"),
    [
        ((0, 2.5, 0), (0, 0, -0.7), (0.8, 0, 0), 1),  # coronal
        ((0, -2.5, 0), (0, 0, -0.7), (0.8, 0, 0), 1),
        ((-2.5, 0, 0), (0, 0, -0.7), (0, 0.8, 0), 2),  # sagittal
        ((2.5, 0, 0), (0, 0, -0.7), (0, 0.8, 0), 2),
    ],
)
def test_files_follow_the_axis_that_counts_slices(tmp_path, slices, rows, columns, axis):
    affine = np.eye(4)
    affine[:3, :3] = np.stack([slices, rows, columns], axis=1)
    files = make(tmp_path, affine)
    read = read_series(tmp_path)
    assert read.slice_axis == axis and read.frames == (0,) * 5
    assert list(read.files) == [str(f) for f in (files if sum(slices) > 0 else files[::-1])]
    for number, file in enumerate(read.files):
        stored = pydicom.dcmread(file).pixel_array - 1024.0
        # Rows run downwards in the files, upwards in kmed; columns as in kmed.
        np.testing.assert_array_equal(read.array.take(number, axis), stored[::-1])
