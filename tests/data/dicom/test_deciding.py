"""What a user may decide about slices on no grid, through `read_series` and alone."""

import numpy as np
import pydicom
import pytest

from kmed.data.dicom.deciding import Decisions, decided
from kmed.data.dicom.errors import (
    GantryTilted,
    NoGeometry,
    SlicesDuplicated,
    SlicesMissing,
    SpacingUneven,
)
from kmed.data.dicom.series import read_series
from kmed.data.dicom.volumes import volumes_of
from kmed.data.dicom.writer import StudyHeader, write_series

SHAPE = (8, 6, 7)
AXIAL = np.array([[0, 0, 1, -30], [0, 1, 0, 12], [2, 0, 0, 100], [0, 0, 0, 1.0]])
IMAGE = np.random.default_rng(5).integers(-1000, 2000, SHAPE)


def make(folder, affine=AXIAL, image=IMAGE):
    study = StudyHeader(patient_id="p", patient_name="A^B", entropy=("p",), date="20250101")
    return write_series(folder, image, affine, study, modality="CT", name="ct", number=1)


def edit(file, **attributes):
    ds = pydicom.dcmread(file)
    for keyword, value in attributes.items():
        if keyword == "PixelPaddingValue":
            ds.add_new(keyword, "US", value)
        else:
            setattr(ds, keyword, value)
    ds.save_as(file)


def at(file, z):
    edit(file, ImagePositionPatient=[-30, 12, z])


def test_a_whole_series_is_not_touched_by_any_decision(tmp_path):
    make(tmp_path)
    read = read_series(
        tmp_path, spacing="resample", tilt="resample", missing="resample", duplicates="first"
    )
    np.testing.assert_array_equal(read.array, IMAGE)
    assert read.array.dtype == np.int16 and not read.resampled and read.problems == ()


def test_missing(tmp_path):
    files = make(tmp_path)
    files[2].unlink()
    for decision in ({}, {"spacing": "resample"}, {"tilt": "resample"}, {"duplicates": "first"}):
        with pytest.raises(SlicesMissing, match=r'missing="resample"') as error:
            read_series(tmp_path, **decision)
        assert error.value.figures["missing"] == 1
    read = read_series(tmp_path, missing="largest_block")
    np.testing.assert_array_equal(read.array, IMAGE[3:])
    np.testing.assert_allclose(read.affine[:3, 3], [-30, 12, 106])
    assert read.files == tuple(map(str, files[3:])) and not read.resampled
    assert read.problems[0].startswith("2 of 7 slices left out: ")
    read = read_series(tmp_path, missing="resample")
    kept = [0, 1, 3, 4, 5, 6, 7]
    np.testing.assert_array_equal(read.array[kept], IMAGE[kept])
    np.testing.assert_allclose(read.array[2], (IMAGE[1] + IMAGE[3]) / 2)
    np.testing.assert_allclose(read.affine, AXIAL)
    assert read.resampled and "7 slices 2.000 to 4.000 mm apart became 8" in read.problems[0]


def test_uneven(tmp_path):
    files = make(tmp_path)
    at(files[7], 115.3)
    for decision in ({}, {"missing": "resample"}, {"missing": "largest_block"}):
        with pytest.raises(SpacingUneven, match='spacing="resample"'):
            read_series(tmp_path, **decision)
    read = read_series(tmp_path, spacing="resample")
    step = 15.3 / 8  # the least distance is 2; a little less ends at the last slice
    assert read.spacing_mm[0] == pytest.approx(step) and read.array.shape == (9, 6, 7)
    place = 5 * step / 2
    expected = IMAGE[4] * (5 - place) + IMAGE[5] * (place - 4)
    np.testing.assert_allclose(read.array[5], expected, atol=1e-2)
    np.testing.assert_array_equal(read.array[8], IMAGE[7])
    with pytest.raises(SpacingUneven):
        read_series(tmp_path, tolerate_mm=1.0)
    assert read_series(tmp_path, tolerate_mm=1.2).array.shape == SHAPE


def test_tilt(tmp_path):
    sheared = AXIAL.copy()
    sheared[1, 0] = 1.0  # by one pixel a slice
    files = make(tmp_path, sheared)
    with pytest.raises(GantryTilted, match=r'26\.6 degrees.*tilt="resample"'):
        read_series(tmp_path, spacing="resample", missing="resample")
    read = read_series(tmp_path, tilt="resample")
    assert read.array.shape == (8, 13, 7) and "tilt of 26.6 degrees" in read.problems[0]
    for d in range(8):
        np.testing.assert_array_equal(read.array[d, d : d + 6], IMAGE[d])
        assert (np.delete(read.array[d], range(d, d + 6), axis=0) == -1024).all()
    np.testing.assert_allclose(read.affine, AXIAL)
    files[2].unlink()
    with pytest.raises(SlicesMissing):
        read_series(tmp_path, tilt="resample", spacing="resample")
    with pytest.raises(GantryTilted, match="1 slice is missing"):
        read_series(tmp_path, missing="resample")
    both = read_series(tmp_path, tilt="resample", missing="resample")
    np.testing.assert_array_equal(both.array[[0, 3, 7]], read.array[[0, 3, 7]])
    block = read_series(tmp_path, tilt="resample", missing="largest_block")
    assert block.array.shape == (5, 10, 7) and len(block.problems) == 2


def test_padding_outside(tmp_path):
    sheared = AXIAL.copy()
    sheared[1, 0] = 1.0
    image = IMAGE.clip(-900)
    image[:, 0] = -1000
    for file in make(tmp_path, sheared, image):
        edit(file, PixelPaddingValue=24)  # -1000 HU: above air, so that air it is
    read = read_series(tmp_path, tilt="resample")
    assert (read.array[0, 6:] == -1024).all() and (read.array[0, 0] == -1000).all()
    read = read_series(tmp_path, tilt="resample", padding=-2000)
    assert (read.array[0, 6:] == -2000).all() and (read.array[0, 0] == -2000).all()
    read = read_series(tmp_path, tilt="resample", values="stored")
    assert (read.array[0, 6:] == 24).all()
    for file in tmp_path.iterdir():
        edit(file, RescaleIntercept=-3000)
    read = read_series(tmp_path, tilt="resample")
    assert (read.array[0, 6:] == -2976).all()


def test_duplicates(tmp_path):
    files = make(tmp_path)
    at(files[3], 108.0)  # on the place of files[4], whose instance number is lower
    for decision in ({}, {"spacing": "resample"}, {"missing": "resample"}):
        with pytest.raises(SlicesDuplicated, match='duplicates="first"') as error:
            read_series(tmp_path, **decision)
        assert set(error.value.files) == {str(files[3]), str(files[4])}
    with pytest.raises(SlicesMissing):
        read_series(tmp_path, duplicates="first")
    read = read_series(tmp_path, duplicates="first", missing="largest_block")
    np.testing.assert_array_equal(read.array, IMAGE[4:])
    assert len(read.problems) == 2 and read.problems[0].startswith("1 of 8 slices left out")


def test_resampling_off_axis_ends_in_the_order_of_the_patient(tmp_path):
    """A sagittal tilted series: the array is turned, and each value is where its pixel was."""
    affine = np.array([[-2, 0, 0, 20], [0, 0, 1, -7], [1.0, -1, 0, 40], [0, 0, 0, 1]])
    files = make(tmp_path, affine)
    read = read_series(tmp_path, tilt="resample")
    assert read.slice_axis == 2 and read.array.flags.c_contiguous
    back = np.linalg.inv(read.affine)
    for number, file in enumerate(files):
        for row, column in ((0, 0), (5, 6), (2, 3)):
            where = back @ affine @ (number, row, column, 1)
            at_ = tuple(np.rint(where[:3]).astype(int))
            np.testing.assert_allclose(where[:3], at_, atol=1e-6)
            assert read.array[at_] == IMAGE[number, row, column], file


def test_unplaced_images_stay_refused(tmp_path):
    for file in make(tmp_path):
        edit(file, ImagePositionPatient=None)
    (volume,) = volumes_of(tmp_path).series[0].volumes
    with pytest.raises(NoGeometry, match="needs ImagePositionPatient"):
        decided(volume, Decisions(spacing="resample", tilt="resample", missing="resample"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"spacing": "average"}, "`spacing` must be one of refuse, resample; received 'average'"),
        ({"tilt": True}, "`tilt` must be"),
        ({"missing": "largest"}, "`missing` must be one of refuse, largest_block, resample"),
        ({"duplicates": "last"}, "`duplicates` must be"),
        ({"tolerate_mm": -1}, "`tolerate_mm` must be 0 or more; received -1"),
        ({"tolerate_mm": float("nan")}, "`tolerate_mm` must be 0 or more; received nan"),
    ],
)
def test_unknown_words(options, said):
    with pytest.raises(ValueError, match=said):
        Decisions(**options)
