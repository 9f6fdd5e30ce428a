import pydicom
import pytest
from pydicom.dataset import Dataset

from kmed.results.dicom.study import body_part, inherited, lossy, require_text, save


def test_names_of_another_character_set_stay_the_same(tmp_path):
    source = Dataset()
    source.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    source.PatientName = "Yamada^Tarou=山田^太郎"
    item = Dataset()
    item.PatientID = "山"
    source.OtherPatientIDsSequence = [item]
    source.SOPClassUID, source.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3"
    read = pydicom.dcmread(save(source, tmp_path / "a.dcm"))
    new = inherited(read)
    new.SOPClassUID, new.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.4"
    again = pydicom.dcmread(save(new, tmp_path / "b.dcm"))
    assert again.SpecificCharacterSet == "ISO_IR 192"
    assert again.PatientName.ideographic == "山田^太郎"
    assert again.OtherPatientIDsSequence[0].PatientID == "山"


def test_invalid_values_and_private_attributes_are_left_out():
    source = Dataset()
    with pytest.warns(UserWarning):
        source.PatientBirthDate, source.PatientAge = "someday", "old"
    source.PatientSex, source.PatientWeight = "X", "70"
    source.PatientIdentityRemoved = "YES"
    item = Dataset()
    item.private_block(0x0011, "SOMEBODY", create=True).add_new(1, "LO", "secret")
    item.PatientID = "7"
    source.OtherPatientIDsSequence = [item]
    new = inherited(source)
    assert (new.PatientBirthDate, new.PatientSex, new.PatientWeight) == ("", "", 70)
    assert "PatientAge" not in new and len(new.OtherPatientIDsSequence[0]) == 1
    assert new.DeidentificationMethod  # type 1C where an identity was removed


@pytest.mark.parametrize(
    ("said", "laterality"),
    [
        ({}, ""),
        ({"BodyPartExamined": "KNEE", "Laterality": "L"}, "L"),
        ({"BodyPartExamined": "HEAD"}, None),
    ],
)
def test_a_side_where_there_may_be_one(said, laterality):
    source = Dataset()
    for keyword, value in said.items():
        setattr(source, keyword, value)
    assert body_part(source).get("Laterality") == laterality


def test_once_lossy_always_lossy():
    clean, compressed = Dataset(), Dataset()
    compressed.LossyImageCompression, compressed.LossyImageCompressionRatio = "01", [10, 20]
    assert len(lossy([clean])) == 0
    assert lossy([clean, compressed]).LossyImageCompressionRatio == [10, 20]


@pytest.mark.parametrize("text", ["", " ", "a\\b", "a\nb", "x" * 65])
def test_texts_that_do_not_fit(text):
    with pytest.raises(ValueError, match="`description` must be text"):
        require_text(description=text)
