"""Files to studies, series and volumes, and what is left out and said."""

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest

from kmed.data.dicom.errors import (
    DicomError,
    GantryTilted,
    NoGeometry,
    NotDicom,
    SlicesDuplicated,
    SlicesMissing,
    UnsupportedPixels,
)
from kmed.data.dicom.series import read_series, read_volume
from kmed.data.dicom.volumes import volumes_of
from kmed.data.dicom.writer import StudyHeader, write_series

SHAPE = (5, 6, 7)
AXIAL = np.array([[0, 0, 0.8, -30], [0, 0.7, 0, 12], [2.5, 0, 0, 100], [0, 0, 0, 1.0]])
IMAGE = np.arange(210).reshape(SHAPE)


def make(folder, *, affine=AXIAL, patient="p1", name="ct", modality="CT", attributes=None):
    study = StudyHeader(patient_id=patient, patient_name="A^B", entropy=(patient,), date="20250101")
    return write_series(folder, IMAGE, affine, study, modality=modality, name=name, number=1,
                        attributes=attributes)  # fmt: skip


def edit(file, **attributes):
    ds = pydicom.dcmread(file)
    for keyword, value in attributes.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    ds.save_as(file)


def test_studies_series_and_what_is_left_out(tmp_path):
    make(tmp_path / "a" / "ct")
    make(tmp_path / "a" / "t1", name="t1", modality="MR")
    make(tmp_path / "b" / "ct", patient="p2")
    (tmp_path / "b" / "ct" / "IM1").write_bytes(b"no image at all")
    broken = tmp_path / "b" / "ct" / "broken.dcm"
    broken.write_bytes((tmp_path / "b" / "ct" / "slice-0001.dcm").read_bytes()[:700])
    report = make(tmp_path / "b" / "sr", patient="p2", name="sr")[0]
    edit(report, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33", PixelData=None, Rows=None)
    for file in (tmp_path / "b" / "sr").iterdir():
        if file != report:
            file.unlink()
    archive = volumes_of(tmp_path)
    assert [(s.patient, len(s.series)) for s in archive.studies] == [("p1", 2), ("p2", 1)]
    assert [s.modality for s in archive.series] == ["CT", "MR", "CT"]
    left = {one.name.rsplit("/", 1)[1]: one.reason for one in archive.left_out}
    assert set(left) == {"IM1", "broken.dcm", report.name}
    assert "not a DICOM file" in left["IM1"] and "no image" in left[report.name]
    for series in archive.series:
        (volume,) = series.volumes
        assert volume.shape == SHAPE and volume.problem is None and volume.split_by == {}
        np.testing.assert_allclose(volume.affine, AXIAL)
        assert [h.source.path.name for h in volume.headers] == [
            f"slice-000{n}.dcm" for n in (1, 2, 3, 4, 5)
        ]
    with pytest.raises(NotDicom, match="IM1"):
        volumes_of(tmp_path, strict=True)


def test_a_problem_of_one_series_is_in_its_volume(tmp_path):
    make(tmp_path / "whole")
    make(tmp_path / "gap", name="gap")[2].unlink()
    sheared = AXIAL.copy()
    sheared[1, 0] = 1.0
    make(tmp_path / "tilt", affine=sheared, name="tilt")
    for file in make(tmp_path / "place", name="place"):
        edit(file, ImagePositionPatient=None)
    for file in make(tmp_path / "colour", name="colour"):
        edit(file, PhotometricInterpretation="MONOCHROME1")
    kinds = {
        series.volumes[0].headers[0].description: series.volumes[0].problem
        for series in volumes_of(tmp_path).series
    }
    wanted = {
        "ct": type(None),
        "gap": SlicesMissing,
        "tilt": GantryTilted,
        "place": NoGeometry,
        "colour": UnsupportedPixels,
    }
    assert {name: type(problem) for name, problem in kinds.items()} == wanted
    assert all(name == "ct" or kinds[name].files for name in kinds)
    (volume,) = volumes_of(tmp_path / "gap").series[0].volumes
    assert volume.affine is None and volume.spacing_mm is None and not volume.placeless
    (volume,) = volumes_of(tmp_path / "place").series[0].volumes
    assert volume.placeless and volume.shape == SHAPE


def test_volumes_of_one_series(tmp_path):
    for number, echo in enumerate(("4.6", "9.2")):
        for file in make(tmp_path / echo, modality="MR", attributes={"EchoTime": echo}):
            edit(file, SOPInstanceUID=pydicom.uid.generate_uid(), AcquisitionNumber=number)
    (series,) = volumes_of(tmp_path).series
    assert [len(volume.frames) for volume in series.volumes] == [5, 5]
    assert [volume.split_by for volume in series.volumes] == [{"EchoTime": t} for t in (4.6, 9.2)]


def test_localizers_are_left_out_and_said(tmp_path):
    files = make(tmp_path / "ct")
    edit(files[4], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    for file in make(tmp_path / "scout", name="scout"):
        edit(file, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    series = {one.left_out and len(one.left_out): one for one in volumes_of(tmp_path).series}
    assert series[1].volumes[0].problems == ("1 localizer left out",)
    assert series[1].left_out[0].name == str(files[4])
    assert series[5].volumes == () and "localizer" in series[5].left_out[0].reason


@pytest.mark.parametrize(
    "change",
    [
        {"ImagePositionPatient": ["1e300", "0", "0"]},
        {"ImagePositionPatient": [0, 0, 2e6]},
        {"PixelSpacing": ["1e-300", "1"]},
        {"PixelSpacing": ["1e200", "1"]},
    ],
)
def test_numbers_that_no_patient_has(tmp_path, change):
    files = make(tmp_path)
    edit(files[2], **change)
    (series,) = volumes_of(tmp_path).series
    odd = next(volume for volume in series.volumes if volume.placeless)
    assert type(odd.problem) is NoGeometry and str(files[2]) in str(odd.problem)
    assert len(odd.frames) == 1 and odd.affine is None


def test_tolerance_reaches_the_geometry(tmp_path):
    files = make(tmp_path)
    edit(files[2], ImagePositionPatient=[-30, 12, 105.4])
    assert volumes_of(tmp_path).series[0].volumes[0].problem is not None
    assert volumes_of(tmp_path, tolerate_mm=0.5).series[0].volumes[0].problem is None


def test_a_zip_archive(tmp_path):
    files = make(tmp_path / "ct")
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "ct"))
    read = read_series(packed)
    np.testing.assert_array_equal(read.array, IMAGE)
    assert read.files == tuple(f"{packed}!{file.name}" for file in files)
    (volume,) = volumes_of(packed).series[0].volumes
    np.testing.assert_array_equal(read_volume(volume).array, IMAGE)
    # Beside its own folder it holds copies, which is said.
    both = [tmp_path / "ct", packed]
    error = volumes_of(both).series[0].volumes[0].problem
    assert type(error) is SlicesDuplicated and error.figures["copies"] == 5
    assert "5 of 10 slices are copies, of a SOP Instance UID that is there already" in str(error)
    read = read_series(both, duplicates="first")
    np.testing.assert_array_equal(read.array, IMAGE)
    assert read.problems[0].startswith("5 of 10 slices left out: ")


def test_missing_end_slices_are_a_shorter_volume_in_its_place(tmp_path):
    """Nothing in the headers tells: the affine, though, is that of the slices that are there."""
    files = make(tmp_path)
    for file in (files[0], files[4]):
        file.unlink()
    read = read_series(tmp_path)
    np.testing.assert_array_equal(read.array, IMAGE[1:4])
    np.testing.assert_allclose(read.affine[:3, 3], [-30, 12, 102.5])


def test_nothing_there(tmp_path):
    assert volumes_of(tmp_path).studies == ()
    with pytest.raises(DicomError, match="no such file or folder"):
        volumes_of(tmp_path / "nowhere", strict=True)


@pytest.mark.parametrize(
    ("folder", "volumes"),
    [
        ("dcm_qa_nih/In/20180918GE", [(15, 64, 64)] * 10),
        ("mr_series_siemens_t1post", [(22, 320, 280)]),
        ("dcm_qa_agfa", [(25, 64, 64)] * 2),
        ("dcm_qa_enh", [(6, 64, 64)] * 4 + [(32, 64, 64)] * 2),
    ],
)
def test_series_of_scanners(shared_data, folder, volumes):
    archive = volumes_of(shared_data / "data" / "dicom" / folder)
    found = [volume for series in archive.series for volume in series.volumes]
    assert sorted(volume.shape for volume in found) == sorted(volumes)
    assert all(volume.problem is None for volume in found)


def test_the_tilted_series_is_refused_with_figures(shared_data):
    (series,) = volumes_of(shared_data / "data" / "dicom" / "dcm_qa_ct").series
    error = series.volumes[0].problem
    assert type(error) is GantryTilted and len(error.files) == 28
    assert error.figures == pytest.approx(
        {"tilt_deg": 18.5, "gap_mm": 6.999, "step_mm": 4.002, "least_mm": 1.081,
         "largest_mm": 6.999}, abs=1e-3
    )  # fmt: skip
