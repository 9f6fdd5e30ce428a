from dataclasses import replace

import numpy as np
import pydicom
import pytest

from kmed.data.dicom.errors import NoGeometry
from kmed.data.dicom.series import read_series
from kmed.data.dicom.writer import StudyHeader, write_series
from kmed.results.dicom.source_planes import source_of, source_planes, study_of

SHAPE = (4, 5, 6)
AXIAL = np.array([[0, 0, 0.8, -30], [0, 0.7, 0, 12], [2.5, 0, 0, 100], [0, 0, 0, 1.0]])
SAGITTAL = np.array([[2.5, 0, 0, -9], [0, 0, 0.8, -20], [0, -0.7, 0, 50], [0, 0, 0, 1.0]])
PRONE = AXIAL @ np.diag([1.0, -1.0, -1.0, 1.0])


def make(folder, affine):
    study = StudyHeader(patient_id="p", patient_name="A^B", entropy=("x",), date="20250101")
    array = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    write_series(folder, array, affine, study, modality="CT", name="s", number=1)
    return read_series(folder)


@pytest.mark.parametrize("affine", [AXIAL, SAGITTAL, PRONE], ids=["axial", "sagittal", "prone"])
def test_planes_are_those_of_the_files(tmp_path, affine):
    series = make(tmp_path, affine)
    planes = source_planes(series)
    stack = planes.stacked(series.array)
    for number, file in enumerate(series.files):
        ds = pydicom.dcmread(file)
        np.testing.assert_array_equal(stack[number], ds.pixel_array - 1024.0)
        assert planes.sources[number].instance_uid == ds.SOPInstanceUID
        np.testing.assert_allclose(planes.positions_mm[number], ds.ImagePositionPatient)
        np.testing.assert_allclose(planes.orientation, ds.ImageOrientationPatient)
        np.testing.assert_allclose(planes.spacing_mm[1:], ds.PixelSpacing)
    corners = planes.corners(series.array.shape)
    found = corners @ series.affine[:3, :3].T + series.affine[:3, 3]
    np.testing.assert_allclose(found, planes.positions_mm, atol=1e-6)
    assert planes.spacing_mm[0] == planes.thickness_mm == pytest.approx(2.5)
    assert len(planes.instances) == len(series.files)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_resampled_series_has_its_own(tmp_path, axis):
    series = replace(make(tmp_path, AXIAL), resampled=True, slice_axis=axis)
    planes = source_planes(series)
    assert planes.axes[0] == axis and planes.sources == (None,) * SHAPE[axis]
    assert len(planes.instances) == SHAPE[0]
    row, column = np.reshape(planes.orientation, (2, 3))
    index = np.moveaxis(np.indices(SHAPE), 0, -1)
    stack = planes.stacked(index)  # (planes, rows, columns, 3)
    for place in [(0, 0, 0), (1, 2, 1), (2, 1, 3)]:
        plane, r, c = place
        found = planes.positions_mm[plane]
        found = found + r * planes.spacing_mm[1] * column + c * planes.spacing_mm[2] * row
        expected = series.affine[:3, :3] @ stack[place] + series.affine[:3, 3]
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_refuses_an_array_that_is_not_the_files(tmp_path):
    series = make(tmp_path, AXIAL)
    with pytest.raises(NoGeometry, match=r"\(4, 5, 5\), its files have \(4, 5, 6\)"):
        source_planes(replace(series, array=series.array[..., :5]))
    moved = series.affine.copy()
    moved[0, 3] += 0.8
    with pytest.raises(NoGeometry, match=r"1\.00 voxels off"):
        source_planes(replace(series, affine=moved))
    with pytest.raises(NoGeometry, match="4 files and 3 frames"):
        source_planes(replace(series, frames=(0,) * 3))
    with pytest.raises(NoGeometry, match="no such frame"):
        source_planes(replace(series, frames=(1,) * 4))


def test_study(tmp_path):
    series = make(tmp_path, AXIAL)
    assert study_of(series).PatientID == "p" and "PixelData" not in study_of(series)
    assert source_of("a.zip!b/c.dcm").member == "b/c.dcm"
    assert source_of(series.files[0]).member is None
