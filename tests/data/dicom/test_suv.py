import math

import pytest
from pydicom.dataset import Dataset

from kmed.data.dicom.errors import UnitsUnknown
from kmed.data.dicom.suv import suv_factor

HALF_LIFE = 6586.2  # s, fluorine-18
DOSE = 370e6  # Bq


def pet(agent=(), **attributes):
    """70 kg, 370 MBq, scanned one half-life after the injection."""
    ds, drug = Dataset(), Dataset()
    ds.Modality, ds.Units, ds.DecayCorrection = "PT", "BQML", "START"
    ds.CorrectedImage = ["DECY", "ATTN", "SCAT"]
    ds.PatientWeight = "70"
    ds.SeriesDate = ds.AcquisitionDate = "20250305"
    ds.SeriesTime, ds.AcquisitionTime = "114946.2", "115500"
    drug.RadionuclideTotalDose, drug.RadionuclideHalfLife = str(DOSE), str(HALF_LIFE)
    drug.RadiopharmaceuticalStartTime = "100000.00"
    ds.RadiopharmaceuticalInformationSequence = [drug]
    for where, changes in ((ds, attributes), (drug, dict(agent))):
        for keyword, value in changes.items():
            if value is None:
                delattr(where, keyword)
            else:
                setattr(where, keyword, value)
    return ds


def private(ds, group, creator, offset, vr, value):
    ds.private_block(group, creator, create=True).add_new(offset, vr, value)
    return ds


def test_a_uniform_body_has_an_suv_of_one():
    # After one half-life 185 MBq are left; in 70,000 mL that is 2642.857 Bq/mL.
    assert 2642.857142857 * suv_factor(pet()) == pytest.approx(1, rel=1e-9)


def test_decay_corrected_to_the_injection():
    # The image holds the activity as it was when injected: all of the dose.
    factor = suv_factor(pet(DecayCorrection="ADMIN"))
    assert factor == pytest.approx(70 * 1000 / DOSE, rel=1e-12)


def test_the_injection_with_its_date():
    agent = {"RadiopharmaceuticalStartDateTime": "20250305100000.000000"}
    assert suv_factor(pet(agent)) == pytest.approx(suv_factor(pet()))
    # Goes before the time without date, and may be days before.
    agent["RadiopharmaceuticalStartTime"] = "110000"
    assert suv_factor(pet(agent)) == pytest.approx(suv_factor(pet()))
    agent = {
        "RadiopharmaceuticalStartDateTime": "20250304114946.2",
        "RadionuclideHalfLife": "86400",
    }
    assert suv_factor(pet(agent)) == pytest.approx(70 * 1000 / (DOSE / 2))


def test_an_offset_from_utc():
    agent = {"RadiopharmaceuticalStartDateTime": "20250305090000+0000"}
    found = suv_factor(pet(agent, TimezoneOffsetFromUTC="+0100"))
    assert found == pytest.approx(suv_factor(pet()))
    # Without the scan's own offset both are local times.
    agent = {"RadiopharmaceuticalStartDateTime": "20250305100000+0100"}
    assert suv_factor(pet(agent)) == pytest.approx(suv_factor(pet()))


def test_over_midnight():
    times = {"SeriesDate": "20250306", "AcquisitionDate": "20250306"}
    times |= {"SeriesTime": "001500", "AcquisitionTime": "001500"}
    found = suv_factor(pet({"RadiopharmaceuticalStartTime": "231500"}, **times))
    assert found == pytest.approx(70 * 1000 / (DOSE * 2 ** (-3600 / HALF_LIFE)))


def test_a_series_made_afterwards_is_no_scan():
    # GE's own scan time, of one half-life after the injection.
    ds = private(pet(SeriesTime="180000"), 0x0009, "GEMS_PETD_01", 0x0D, "DT", "20250305114946.20")
    assert suv_factor(ds) == pytest.approx(suv_factor(pet()))


def test_the_scan_from_the_frames_reference_time():
    # A frame of 120 s: its activity averages t s after its start, where
    # exp(-k t) = (1 - exp(-k T)) / (k T); here that is Frame Reference Time after the scan's start.
    k, seconds = math.log(2) / HALF_LIFE, 120.0
    t = -math.log((1 - math.exp(-k * seconds)) / (k * seconds)) / k
    assert 59.8 < t < 60
    reference = 313.8 + t  # 11:49:46.2 to 11:55:00, and within the frame
    ds = pet(
        SeriesTime="180000",
        FrameReferenceTime=f"{reference * 1000:.6f}",
        ActualFrameDuration="120000",
    )
    assert suv_factor(ds) == pytest.approx(suv_factor(pet()), rel=1e-8)


def test_values_that_are_suv_already():
    assert suv_factor(pet(Units="GML", PatientWeight=None)) == 1
    assert suv_factor(pet(Units="GML", SUVType="BW")) == 1


def test_philips_counts():
    ds = private(pet(Units="CNTS"), 0x7053, "Philips PET Private Group", 0x00, "DS", "0.000551")
    assert suv_factor(ds) == pytest.approx(0.000551)
    ds = private(pet(Units="CNTS"), 0x7053, "Philips PET Private Group", 0x00, "DS", "0")
    private(ds, 0x7053, "Philips PET Private Group", 0x09, "DS", "1.5")
    assert suv_factor(ds) == pytest.approx(1.5 * suv_factor(pet()))


@pytest.mark.parametrize(
    ("agent", "attributes", "message"),
    [
        ({}, {"Modality": "CT"}, "no PET image"),
        ({}, {"Units": None}, "Units must be BQML, CNTS or GML; received none"),
        ({}, {"Units": "CNTS"}, "without Philips' private scale factors"),
        ({}, {"Units": "GML", "SUVType": "LBM"}, "SUV by LBM, not by body weight"),
        ({}, {"CorrectedImage": ["DECY"]}, "Corrected Image lacks ATTN"),
        ({}, {"CorrectedImage": None}, "Corrected Image lacks ATTN and DECY"),
        ({}, {"CorrectedImage": "ATTN"}, "Corrected Image lacks DECY"),
        ({}, {"DecayCorrection": "NONE"}, "must be START or ADMIN; received NONE"),
        ({}, {"PatientWeight": None}, "Patient's Weight is missing"),
        ({}, {"PatientWeight": "0"}, "Patient's Weight is missing or not from 0 to 1000 kg"),
        ({}, {"RadiopharmaceuticalInformationSequence": []}, "one radiopharmaceutical .* 0"),
        ({"RadionuclideTotalDose": None}, {}, "Total Dose must be in Bq"),
        ({"RadionuclideTotalDose": "370"}, {}, "Total Dose must be in Bq.*received 370"),
        ({"RadionuclideHalfLife": "0"}, {}, "Half Life must be above 0 s"),
        ({"RadiopharmaceuticalStartTime": None}, {}, "Start Time is missing"),
        ({"RadiopharmaceuticalStartTime": "115000"}, {}, "the injection is 14 s after the scan"),
        ({"RadiopharmaceuticalStartDateTime": "20250306100000"}, {}, "s after the scan"),
        ({"RadiopharmaceuticalStartDateTime": "2025"}, {}, "Start DateTime is invalid"),
        ({"RadionuclideHalfLife": "282240"}, {}, "needs Radiopharmaceutical Start DateTime"),
        ({"RadiopharmaceuticalStartDateTime": "20240101100000"}, {}, "nothing is left"),
        ({}, {"AcquisitionTime": None}, "Acquisition Date or Time is missing"),
        ({}, {"SeriesTime": "180000"}, "Frame Reference Time is missing"),
    ],
)
def test_refusals(agent, attributes, message):
    with pytest.raises(UnitsUnknown, match=f"SUV can't be computed: .*{message}"):
        suv_factor(pet(agent, **attributes))


def test_two_injections():
    ds = pet()
    ds.RadiopharmaceuticalInformationSequence = [*ds.RadiopharmaceuticalInformationSequence] * 2
    with pytest.raises(UnitsUnknown, match="received 2") as caught:
        suv_factor(ds)
    assert caught.value.figures == {"radiopharmaceuticals": 2}
