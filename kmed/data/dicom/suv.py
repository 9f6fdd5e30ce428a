"""Standardized uptake values of PET, or a refusal that says what the header lacks."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from pydicom.dataset import Dataset
from pydicom.valuerep import DA, DT, TM

from kmed.data.dicom.attributes import filled, number, private_numbers
from kmed.data.dicom.errors import UnitsUnknown

_PHILIPS = (0x7053, "Philips PET Private Group")
_GE = (0x0009, "GEMS_PETD_01")
# A time of injection without a date is taken from the day of the scan, or from the evening before
# it, which only an agent that would have decayed by another day makes sure.
_DATELESS_HALF_LIFE_S = 6 * 3600
_DATELESS_DELAY_S = 12 * 3600
_LEAST_DOSE_BQ = 1e5  # less is a dose written in MBq


def suv_factor(ds: Dataset) -> float:
    """Gives the factor from modality values of PET to SUV by body weight (g/mL).

    Reference: QIBA Profile FDG-PET/CT, vendor-neutral pseudo-code for SUV
    (qibawiki.rsna.org, Standardized Uptake Value); DICOM PS3.3, C.8.9.1 (PET Series).

    Args:
        ds: header of a PET image.

    Returns:
        SUVbw = modality value * factor.

    Raises:
        UnitsUnknown: no PET image, no attenuation or decay correction, units that can't be
            converted, or weight, dose, half-life or a time that is missing or impossible.
    """
    name = str(getattr(ds, "filename", None) or "data set")

    def refuse(message: str, **figures):
        raise UnitsUnknown(
            f"{name}: SUV can't be computed: {message}; read it with values='units'",
            files=[name],
            figures=figures,
        )

    units = str(filled(ds, "Units") or "").strip().upper()
    if ds.get("Modality") != "PT":
        refuse("it is no PET image (Modality is not PT)")
    if units == "GML":
        kind = str(filled(ds, "SUVType") or "BW").strip().upper()
        if kind != "BW":
            refuse(f"its values are SUV by {kind[:20]}, not by body weight")
        return 1.0
    if units not in ("BQML", "CNTS"):
        refuse(f"Units must be BQML, CNTS or GML; received {units[:20] or 'none'}")
    corrected = {str(word).strip().upper() for word in _words(ds, "CorrectedImage")}
    missing = {"ATTN", "DECY"} - corrected
    if missing:
        refuse(f"Corrected Image lacks {' and '.join(sorted(missing))}")
    scale = 1.0
    if units == "CNTS":
        philips = _positive(private_numbers(ds, *_PHILIPS, 0x00, 1))
        if philips is not None:
            return philips
        scale = _positive(private_numbers(ds, *_PHILIPS, 0x09, 1))
        if scale is None:
            refuse("Units are CNTS without Philips' private scale factors")
    weight_kg = number(ds, "PatientWeight")
    if weight_kg is None or not 0 < weight_kg < 1000:
        refuse("Patient's Weight is missing or not from 0 to 1000 kg")
    return scale * weight_kg * 1000 / _decayed_dose(ds, refuse)


def _decayed_dose(ds: Dataset, refuse) -> float:
    """Dose in Bq at the time to which the image's decay is corrected."""
    sequence = filled(ds, "RadiopharmaceuticalInformationSequence")
    if sequence is None or len(sequence) != 1:
        found = 0 if sequence is None else len(sequence)
        refuse(f"one radiopharmaceutical is needed; received {found}", radiopharmaceuticals=found)
    agent = sequence[0]
    dose = number(agent, "RadionuclideTotalDose")
    if dose is None or not _LEAST_DOSE_BQ <= dose < 1e13:
        refuse(f"Radionuclide Total Dose must be in Bq, above {_LEAST_DOSE_BQ:g}; received {dose}")
    correction = str(filled(ds, "DecayCorrection") or "").strip().upper()
    if correction == "ADMIN":
        return dose
    if correction != "START":
        refuse(f"Decay Correction must be START or ADMIN; received {correction[:20] or 'none'}")
    half_life = number(agent, "RadionuclideHalfLife")
    if half_life is None or not half_life > 0:
        refuse(f"Radionuclide Half Life must be above 0 s; received {half_life}")
    scan = _scan_start(ds, half_life, refuse)
    delay = _delay(agent, scan, half_life, _zone(ds), refuse)
    decayed = dose * 2 ** (-delay / half_life)
    if not decayed > 1:
        refuse(f"nothing is left of the dose after {delay:.0f} s", delay_s=delay)
    return decayed


def _scan_start(ds: Dataset, half_life: float, refuse) -> datetime:
    """Time to which START corrects: the start of the first bed position."""
    series = _moment(ds, "SeriesDate", "SeriesTime")
    acquired = _moment(ds, "AcquisitionDate", "AcquisitionTime")
    if acquired is None:
        refuse("Acquisition Date or Time is missing or invalid")
    if series is not None and series <= acquired:
        return series
    # The series was made afterwards, its time says nothing about the scan.
    try:
        vendor = _datetime(ds.private_block(*_GE)[0x0D].value)
    except Exception:
        # Absent, or not what its VR says: no standard binds the writer of a private attribute.
        vendor = None
    if vendor is not None and vendor <= acquired:
        return vendor
    reference, duration = number(ds, "FrameReferenceTime"), number(ds, "ActualFrameDuration")
    if reference is None or duration is None or min(reference, duration) <= 0:
        refuse("Series Time is after Acquisition Time, and Frame Reference Time is missing")
    # Within the frame the activity averages at this time after its start.
    decay, seconds = math.log(2) / half_life, duration / 1000
    average = math.log(decay * seconds / -math.expm1(-decay * seconds)) / decay
    return acquired - timedelta(seconds=reference / 1000 - average)


def _delay(
    agent: Dataset, scan: datetime, half_life: float, zone: timedelta | None, refuse
) -> float:
    """Seconds from the injection to the scan."""
    stated = filled(agent, "RadiopharmaceuticalStartDateTime")
    if stated is not None:
        injected = _datetime(stated, zone)
        if injected is None:
            refuse("Radiopharmaceutical Start DateTime is invalid")
        delay = (scan - injected).total_seconds()
        if delay < 0:
            refuse(f"the injection is {-delay:.0f} s after the scan", delay_s=delay)
        return delay
    time = _time(filled(agent, "RadiopharmaceuticalStartTime"))
    if time is None:
        refuse("Radiopharmaceutical Start Time is missing or invalid")
    if half_life > _DATELESS_HALF_LIFE_S:
        refuse(
            f"an agent with a half-life of {half_life:.0f} s may be injected days before; it needs "
            "Radiopharmaceutical Start DateTime",
            half_life_s=half_life,
        )
    delay = (scan - datetime.combine(scan.date(), time)).total_seconds() % 86400
    if delay > _DATELESS_DELAY_S:
        refuse(f"the injection is {86400 - delay:.0f} s after the scan", delay_s=delay - 86400)
    return delay


def _positive(values: tuple[float, ...] | None) -> float | None:
    return values[0] if values is not None and values[0] > 0 else None


def _words(ds: Dataset, keyword: str) -> list:
    value = filled(ds, keyword)
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)


def _moment(ds: Dataset, date: str, time: str) -> datetime | None:
    try:
        day, clock = DA(filled(ds, date) or None), _time(filled(ds, time))
    except (ValueError, TypeError):
        return None
    return None if day is None or clock is None else datetime.combine(day, clock)


def _time(value):
    try:
        clock = TM(value or None)
    except (ValueError, TypeError):
        return None
    # Without pydicom's own type, whose arithmetic differs.
    return None if clock is None else clock.replace(tzinfo=None)


def _datetime(value, zone: timedelta | None = None) -> datetime | None:
    """A DT as local time; one with an offset of its own is moved to `zone`."""
    try:
        moment = DT(value or None)
    except (ValueError, TypeError):
        return None
    # Shorter ones say no minute.
    if moment is None or len(str(value)) < 12 or not str(value)[:12].isdigit():
        return None
    local = datetime(*moment.timetuple()[:6], moment.microsecond)
    own = moment.utcoffset()
    return local if own is None or zone is None else local - own + zone


def _zone(ds: Dataset) -> timedelta | None:
    text = str(filled(ds, "TimezoneOffsetFromUTC") or "").strip()
    if len(text) != 5 or text[0] not in "+-" or not text[1:].isdigit():
        return None
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[3:]))
    return -offset if text[0] == "-" else offset
