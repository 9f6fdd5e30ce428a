"""Stand-ins for the planes of a series, from which highdicom takes geometry, patient and study."""

from __future__ import annotations

import re
from copy import copy

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, generate_uid
from pydicom.valuerep import format_number_as_ds

from kmed.data.dicom.errors import Damaged
from kmed.data.dicom.series import Series
from kmed.results.dicom.source_planes import Planes

_PATIENT = (0x0010, 0x0012)  # groups; the second has clinical trials and de-identification
_STUDY = (
    *("StudyInstanceUID", "StudyID", "AccessionNumber", "IssuerOfAccessionNumberSequence"),
    *("ReferringPhysicianName", "StudyDescription", "PositionReferenceIndicator"),
    *("Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions"),
    *("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"),
)


def plane_images(planes: Planes, series: Series, study: Dataset) -> list[Dataset]:
    """Makes a single-frame image without pixels for each plane of a series.

    Whatever the source is, multi-frame, mosaic or resampled, it comes to highdicom in this form.
    Each has an instance UID of its own, which no file has, and one row and column. The first has
    patient, study and equipment of the series, but for the patient's name: highdicom repeats one
    that it finds unlikely in a warning, so the name is to be set on what highdicom has made.

    Args:
        planes: of the series.
        series: the volume.
        study: what describes patient, study and equipment, as `study_of` reads it.

    Returns:
        Data sets in the order of the planes.
    """
    images = []
    for position in planes.positions_mm:
        ds = Dataset()
        ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, generate_uid(prefix=None)
        ds.Modality, ds.SeriesInstanceUID = series.modality, series.series_uid
        ds.StudyInstanceUID = series.study_uid
        ds.FrameOfReferenceUID = series.frame_of_reference_uid
        ds.Rows = ds.Columns = 1
        ds.ImagePositionPatient = [_ds(value) for value in position]
        ds.ImageOrientationPatient = [_ds(value) for value in planes.orientation]
        ds.PixelSpacing = [_ds(length) for length in planes.spacing_mm[1:]]
        ds.SliceThickness = _ds(planes.thickness_mm)
        ds.SpacingBetweenSlices = _ds(planes.spacing_mm[0])
        images.append(ds)
    first = images[0]
    for element in _elements(study, series):
        # What is empty in the source may be required not to be; where it may, it is set below.
        if not element.is_empty and (element.tag.group in _PATIENT or element.keyword in _STUDY):
            first.add(copy(element))
    methods = ("DeidentificationMethod", "DeidentificationMethodCodeSequence")
    if first.get("PatientIdentityRemoved") == "YES" and not any(k in first for k in methods):
        first.DeidentificationMethod = "Not stated by the source images"  # one is required
    first.PatientName = ""
    for keyword in ("PatientID", "AccessionNumber", "StudyID"):
        setattr(first, keyword, first.get(keyword) or "")
    first.ReferringPhysicianName = first.get("ReferringPhysicianName") or ""
    sex = str(first.get("PatientSex") or "").strip().upper()
    first.PatientSex = sex if sex in ("M", "F", "O") else ""
    # A date or time that is none would be refused, and is of no use in the new file either.
    for keyword in ("PatientBirthDate", "StudyDate"):
        value = str(study.get(keyword) or "").replace(".", "").strip()
        setattr(first, keyword, value if re.fullmatch(r"\d{8}", value) else "")
    value = str(study.get("StudyTime") or "").replace(":", "").strip()
    first.StudyTime = value if re.fullmatch(r"(\d\d){1,3}(\.\d{1,6})?", value) else ""
    return images


def _elements(study: Dataset, series: Series) -> list[DataElement]:
    try:
        return list(study)
    except Exception as error:
        # pydicom's errors of values differ from one VR to the next.
        name = series.files[0]
        raise Damaged(
            f"{name}: its header can't be read ({type(error).__name__}); the file is damaged",
            files=[name],
        ) from error


def _ds(value: float) -> str:
    """A decimal string of at most 16 characters, as exact as that allows."""
    return format_number_as_ds(float(np.round(value, 9)) + 0.0)
