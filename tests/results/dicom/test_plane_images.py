import numpy as np
import pydicom
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from kmed.data.dicom.errors import Damaged
from kmed.data.dicom.series import read_series
from kmed.data.dicom.writer import StudyHeader, write_series
from kmed.results.dicom.plane_images import plane_images
from kmed.results.dicom.source_planes import source_planes, study_of

AFFINE = np.array([[0, 0, 0.8, -30], [0, 0.7, 0, 12], [2.5, 0, 0, 100], [0, 0, 0, 1.0]])


def images(folder, **attributes):
    study = StudyHeader(patient_id="p", patient_name="A^B", entropy=("x",), date="20250101")
    array = np.zeros((3, 4, 5), int)
    write_series(folder, array, AFFINE, study, modality="CT", name="s", number=1)
    for file in folder.iterdir():
        ds = pydicom.dcmread(file)
        for keyword, value in attributes.items():
            if value is None:
                del ds[keyword]
            else:
                ds.add_new(keyword, pydicom.datadict.dictionary_VR(keyword), value)
        ds.save_as(file)
    series = read_series(folder)
    return series, plane_images(source_planes(series), series, study_of(series))


def test_one_for_each_plane(tmp_path):
    series, found = images(tmp_path)
    assert len({image.SOPInstanceUID for image in found}) == len(series.files) == len(found)
    files = [pydicom.dcmread(file) for file in series.files]
    for image, file in zip(found, files, strict=True):
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
            assert image[keyword].value == file[keyword].value
        assert image.SeriesInstanceUID == file.SeriesInstanceUID
        assert image.SOPInstanceUID != file.SOPInstanceUID
    assert (
        found[0].PatientID == "p"
        and found[0].PatientName == ""
        and found[0].StudyDate == "20250101"
    )
    assert found[0].Manufacturer == "kmed"


@pytest.mark.filterwarnings("ignore:.*Invalid value for VR")
def test_attributes_that_are_absent_or_malformed(tmp_path):
    wrong = {"PatientBirthDate": "1950.02.03", "StudyTime": "noon", "PatientSex": "X"}
    _, found = images(tmp_path, PatientName=None, StudyDate=None, StudyID=None, **wrong)
    first = found[0]
    assert first.PatientName == "" and first.StudyDate == "" and first.StudyID == ""
    assert (first.PatientBirthDate, first.StudyTime, first.PatientSex) == ("19500203", "", "")


def test_a_header_that_can_not_be_read(tmp_path):
    series, _ = images(tmp_path)
    study = study_of(series)
    study[0x00100020] = RawDataElement(Tag(0x00100020), "ZZ", 4, b"abcd", 0, False, True)
    with pytest.raises(Damaged, match="slice-0001.dcm: its header can't be read"):
        plane_images(source_planes(series), series, study)
