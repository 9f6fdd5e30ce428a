"""Which objects are refused before any attribute is looked at."""

import pytest
from pydicom.dataset import Dataset

from kmed.data.dicom.deidentification.burned_in import BurnedInText, NotCleanable, require_cleanable

STORAGE = "1.2.840.10008.5.1.4.1.1."


def image(sop_class="2", **attributes):
    ds = Dataset()
    ds.SOPClassUID, ds.Rows, ds.Columns, ds.Modality = STORAGE + sop_class, 8, 8, "CT"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


@pytest.mark.parametrize("sop_class", ["2", "2.1", "4", "4.1", "128", "1.1.1", "66.4", "481.2"])
def test_plain_images_pass(sop_class):
    require_cleanable(image(sop_class))


@pytest.mark.parametrize(
    "attributes",
    [
        {"BurnedInAnnotation": "YES"},
        {"RecognizableVisualFeatures": "YES"},
        {"Modality": "US"},
        {"Modality": "XC"},
        {"Modality": "OT"},
        {"Modality": "RF"},
        {"ImageType": ["DERIVED", "SECONDARY"]},
        {"ImageType": ["DERIVED", "PRIMARY", "SCREEN SAVE"], "BurnedInAnnotation": "NO"},
        {"ImageType": ["DERIVED", "PRIMARY", "LABEL"], "BurnedInAnnotation": "NO"},
        {"sop_class": "7", "BurnedInAnnotation": "NO"},
        {"sop_class": "7.4"},
    ],
)
def test_text_in_pixels_is_refused_unless_allowed(attributes):
    with pytest.raises(BurnedInText, match=r"scan\.dcm: .*allow_burned_in=True") as refused:
        require_cleanable(image(**attributes), name="scan.dcm")
    assert refused.value.files == ("scan.dcm",)
    require_cleanable(image(**attributes), allow_burned_in=True)


def test_burned_in_no_clears_a_device():
    require_cleanable(image(Modality="US", BurnedInAnnotation="NO"))
    require_cleanable(image(ImageType=["DERIVED", "SECONDARY"], BurnedInAnnotation="NO"))


@pytest.mark.parametrize(
    "sop_class, what",
    [
        ("88.11", "structured report"),
        ("88.33", "structured report"),
        ("104.1", "encapsulated document"),
        ("104.2", "encapsulated document"),
        ("11.1", "presentation state"),
        ("66", "raw data"),
    ],
)
def test_documents_are_refused_in_any_case(sop_class, what):
    with pytest.raises(NotCleanable, match=what):
        require_cleanable(image(sop_class), allow_burned_in=True)


@pytest.mark.parametrize("uid", ["", "1.3.12.2.1107.5.9.1", "1.2.840.10008.1.3.10"])
def test_what_the_standard_does_not_store_is_refused(uid):
    ds = image()
    ds.SOPClassUID = uid
    with pytest.raises(NotCleanable):
        require_cleanable(ds, allow_burned_in=True)
