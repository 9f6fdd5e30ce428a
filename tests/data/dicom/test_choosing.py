"""Which series and which volume is meant, refused where it isn't said."""

from pathlib import Path

import numpy as np
import pydicom
import pytest

from kmed.data.dicom.choosing import one_volume, refuse_shared
from kmed.data.dicom.errors import DicomError, OrientationMixed, SizeMixed, SlicesDuplicated
from kmed.data.dicom.samples import dicom_series
from kmed.data.dicom.series import read_series
from kmed.data.dicom.volumes import volumes_of
from kmed.data.dicom.writer import StudyHeader, write_series
from kmed.data.sample import DataError

SHAPE = (5, 6, 7)
AXIAL = np.array([[0, 0, 0.8, -30], [0, 0.7, 0, 12], [2.5, 0, 0, 100], [0, 0, 0, 1.0]])


def make(folder: Path, *, modality="CT", name="ct") -> list[Path]:
    study = StudyHeader(patient_id="p1", patient_name="A^B", entropy=("p1",), date="20250101")
    array = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    return write_series(folder, array, AXIAL, study, modality=modality, name=name, number=1)


def edit(file, **attributes):
    ds = pydicom.dcmread(file)
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    ds.save_as(file)


def test_several_series_in_one_folder(tmp_path):
    make(tmp_path / "a")
    make(tmp_path / "b", name="late")
    for file in (tmp_path / "b").iterdir():
        file.rename(tmp_path / "a" / f"b-{file.name}")
    with pytest.raises(DataError, match=r"2 series; choose one with series_uid=\n.*5 slices") as e:
        read_series(tmp_path / "a")
    uid = str(e.value).splitlines()[2].split(":")[0].strip()
    assert read_series(tmp_path / "a", series_uid=uid).series_uid == uid
    with pytest.raises(DataError, match=r"no series 1\.2\.3; there are"):
        read_series(tmp_path / "a", series_uid="1.2.3")
    ids = [sample.id for sample in dicom_series(tmp_path / "a")]
    assert len(set(ids)) == 2 and all(i.startswith("a/1.2.") for i in ids)


def test_several_volumes_and_which(tmp_path):
    for echo in ("4.6", "9.2"):
        for file in make(tmp_path / echo, modality="MR"):
            edit(file, EchoTime=echo, SOPInstanceUID=pydicom.uid.generate_uid())
    with pytest.raises(SlicesDuplicated, match=r"EchoTime; choose one .* volume=0 to 1"):
        read_series(tmp_path)
    for number, echo in enumerate(("4.6", "9.2")):
        assert {Path(f).parent.name for f in read_series(tmp_path, volume=number).files} == {echo}
    with pytest.raises(DataError, match="`volume` must be from 0 to 1; received 2"):
        read_series(tmp_path, volume=2)


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        ({"Rows": 7, "Columns": 6}, SizeMixed, r"one size \(rows, columns\).*\(7, 6\)"),
        ({"PixelSpacing": [0.7, 0.9]}, SizeMixed, r"one PixelSpacing.*\(0\.7, 0\.9\)"),
        (
            {"ImageOrientationPatient": [1, 0, 0, 0, 0.8, 0.6]},
            OrientationMixed,
            "one ImageOrientationPatient",
        ),
        ({"FrameOfReferenceUID": "1.2.3"}, OrientationMixed, "one frame of reference"),
        ({"Modality": "PT"}, DicomError, "one Modality; this one has PT"),
        ({"PatientID": "MRN-77"}, DicomError, "one patient .here numbered.; this one has 2"),
        ({"PatientID": ""}, DicomError, "one patient .here numbered.; this one has 2"),
    ],
)
def test_a_slice_of_another_kind_names_itself_and_its_figures(tmp_path, change, kind, said):
    files = make(tmp_path)
    edit(files[3], **change)
    with pytest.raises(DicomError, match=said) as error:
        read_series(tmp_path)
    assert type(error.value) is kind and "MRN" not in str(error.value)
    assert error.value.files[0] == str(files[3])
    assert error.value.figures["volumes"] == 2 and sorted(error.value.figures["slices"]) == [1, 4]


def test_slices_of_two_patients_that_would_complete_each_other(tmp_path):
    """One Series Instance UID for all: neither patient's part lacks a slice within itself."""
    mine, other = make(tmp_path / "a"), make(tmp_path / "b")
    for number in range(5):
        (other if number < 2 else mine)[number].unlink()
    for file in other[2:]:
        edit(file, PatientID="p2", SOPInstanceUID=pydicom.uid.generate_uid())
    with pytest.raises(DicomError, match="one patient"):
        read_series(tmp_path)
    (series,) = volumes_of(tmp_path).series
    assert [volume.split_by for volume in series.volumes] == [{"patient": 1}, {"patient": 2}]
    assert [len({h.patient for h in volume.headers}) for volume in series.volumes] == [1, 1]


def test_a_series_of_two_studies(tmp_path):
    make(tmp_path / "a")
    for file in make(tmp_path / "b"):
        edit(file, StudyInstanceUID="1.2.3", SOPInstanceUID=pydicom.uid.generate_uid())
    uid = read_series(tmp_path / "a").series_uid
    for options in ({}, {"series_uid": uid}):
        with pytest.raises(DicomError, match="two studies hold a series of the same") as error:
            read_series(tmp_path, **options)
        assert [Path(file).parent.name for file in error.value.files] == ["a", "b"]
    refuse_shared(volumes_of(tmp_path / "a").series)
    assert [sample.id for sample in dicom_series(tmp_path)] == ["a", "b"]


@pytest.mark.parametrize("number", [-1, 1, 7])
def test_a_volume_that_is_not_there(tmp_path, number):
    make(tmp_path)
    (series,) = volumes_of(tmp_path).series
    assert one_volume(series) is one_volume(series, 0)
    with pytest.raises(DicomError, match=f"from 0 to 0; received {number}"):
        one_volume(series, number)


def test_images_without_a_place_are_named_before_volumes_are_to_be_chosen(tmp_path):
    files = make(tmp_path)
    edit(files[2], PhotometricInterpretation="MONOCHROME1")
    (series,) = volumes_of(tmp_path).series
    with pytest.raises(DicomError, match="slice-0003.*only MONOCHROME2"):
        one_volume(series)
