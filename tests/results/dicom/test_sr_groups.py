import pytest

from kmed.results.dicom.sr_groups import INTENSITIES, intensity_codes


def test_intensities_by_modality_or_as_said():
    quantity, unit = intensity_codes(None, "CT")
    assert (quantity.value, unit.value) == ("112031", "[hnsf'U]")
    assert intensity_codes("suv", "PT")[1].value == "{SUVbw}g/ml"
    assert intensity_codes(None, "DX") == INTENSITIES["xray"]


@pytest.mark.parametrize("said", [None, "counts"])
def test_what_pet_stores_has_to_be_said(said):
    with pytest.raises(ValueError, match="to say what the mean intensity of PT is"):
        intensity_codes(said, "PT")
