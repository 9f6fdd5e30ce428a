"""What a new DICOM object takes from its source: patient and study, and what stays true."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from pydicom import config
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as Items
from pydicom.uid import PYDICOM_IMPLEMENTATION_UID, ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import PersonName, format_number_as_ds, validate_value

import kmed
from kmed.data.atomic import replacing
from kmed.results.dicom.source_planes import Instance

#: Attributes of the modules Patient, Patient Study and of clinical trials.
_PATIENT_GROUPS = (0x0010, 0x0012)
_NOT_PATIENT = ("ClinicalTrialSeriesID", "ClinicalTrialSeriesDescription")
_STUDY = frozenset(
    (
        *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "StudyDescription"),
        *("AccessionNumber", "IssuerOfAccessionNumberSequence", "ReferringPhysicianName"),
        *("ReferringPhysicianIdentificationSequence", "ReferencedStudySequence"),
        *("ProcedureCodeSequence", "AdmissionID", "AdmittingDiagnosesDescription"),
        "LongitudinalTemporalInformationModified",
    )
)
#: Type 2: there, though perhaps without a value.
_ALWAYS = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"),
    *("StudyID", "AccessionNumber", "ReferringPhysicianName"),
)
# Body parts without a left and a right one; any other needs a Laterality, if only an empty one.
_UNPAIRED = frozenset(
    (
        *("ABDOMEN", "ABDOMENPELVIS", "BLADDER", "BRAIN", "CHEST", "CHESTABDOMEN", "CSPINE"),
        *("HEAD", "HEADNECK", "HEART", "LIVER", "LSPINE", "NECK", "PANCREAS", "PELVIS"),
        *("PROSTATE", "SKULL", "SPINE", "SPLEEN", "STOMACH", "TSPINE", "UTERUS", "WHOLEBODY"),
    )
)
_SEXES = ("M", "F", "O")


def inherited(source: Dataset) -> Dataset:
    """Takes the patient and the study of a source, in UTF-8.

    Private attributes and values that their VR does not allow are left out; what must be there
    is then empty. Nothing of the source's series, equipment, acquisition or pixels is taken.

    Reference: DICOM PS3.3, C.7.1.1 (Patient), C.7.2.1 (General Study), C.7.2.2 (Patient Study).

    Args:
        source: header of a source image; it stays as it is.

    Returns:
        A data set with Specific Character Set ISO_IR 192.

    Example:
        >>> source = Dataset()
        >>> source.PatientID, source.StudyInstanceUID, source.KVP = "7", "1.2.3", "120"
        >>> new = inherited(source)
        >>> new.PatientID, new.PatientName == "", "KVP" in new
        ('7', True, False)
    """
    taken = Dataset()
    for tag in source.keys():  # noqa: SIM118 - pydicom's own iteration decodes every element
        if tag.group in _PATIENT_GROUPS or keyword_for_tag(tag) in _STUDY:
            element = source[tag]
            if element.keyword and element.keyword not in _NOT_PATIENT:
                _take(taken, element)
    if taken.get("PatientSex") not in _SEXES:
        taken.PatientSex = ""
    for keyword in _ALWAYS:
        if taken.get(keyword) is None:
            setattr(taken, keyword, "")
    how = ("DeidentificationMethod", "DeidentificationMethodCodeSequence")
    if taken.get("PatientIdentityRemoved") == "YES" and not any(taken.get(one) for one in how):
        taken.DeidentificationMethod = "Not stated by the source"  # type 1C
    taken.SpecificCharacterSet = "ISO_IR 192"
    return taken


def unnamed() -> Dataset:
    """A patient and a study without values, for highdicom, whose warnings repeat names."""
    ds = Dataset()
    for keyword in _ALWAYS:
        setattr(ds, keyword, "")
    return ds


def copied(source: Dataset, keywords: Iterable[str]) -> Dataset:
    """Takes the named attributes where the source has valid values of them, as `inherited`."""
    taken = Dataset()
    for keyword in keywords:
        if keyword in source and source[keyword].value not in (None, ""):
            _take(taken, source[keyword])
    return taken


def new_object(source: Dataset, sop_class: str, modality: str, *, now: datetime) -> Dataset:
    """Begins an object of a new series in the study of a source.

    Args:
        source: header of a source image.
        sop_class: SOP Class UID.
        modality: of the new series.
        now: when it is made.

    Returns:
        Patient, study, body part, equipment and SOP Common; a new SOP Instance UID.
    """
    ds = inherited(source)
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, generate_uid(prefix=None)
    ds.Modality = modality
    ds.update(body_part(source))
    ds.Manufacturer = ds.ManufacturerModelName = "kmed"
    ds.DeviceSerialNumber, ds.SoftwareVersions = "0", kmed.__version__
    ds.SeriesDate = ds.ContentDate = ds.InstanceCreationDate = now.strftime("%Y%m%d")
    ds.SeriesTime = ds.ContentTime = ds.InstanceCreationTime = now.strftime("%H%M%S")
    made = copied(source, ("Manufacturer", "ManufacturerModelName"))
    if "Manufacturer" in made:
        made.PurposeOfReferenceCodeSequence = coded("109101", "DCM", "Acquisition Equipment")
        ds.ContributingEquipmentSequence = Items([made])
    return ds


def body_part(source: Dataset) -> Dataset:
    """Takes Body Part Examined, and Laterality, empty where it may be needed and isn't known."""
    taken = copied(source, ("BodyPartExamined", "Laterality"))
    if "Laterality" not in taken and taken.get("BodyPartExamined") not in _UNPAIRED:
        taken.Laterality = ""
    return taken


def lossy(sources: Sequence[Dataset]) -> Dataset:
    """What a source that was compressed with loss obliges its derivatives to say.

    Reference: DICOM PS3.3, C.7.6.1.1.5 (Lossy Image Compression).

    Args:
        sources: headers of the source images.

    Returns:
        Lossy Image Compression with its ratio and method; nothing if no source was.
    """
    keywords = ("LossyImageCompressionRatio", "LossyImageCompressionMethod")
    source = next((one for one in sources if one.get("LossyImageCompression") == "01"), None)
    if source is None:
        return Dataset()
    taken = copied(source, keywords)
    taken.LossyImageCompression = "01"
    return taken


def reference(instance: Instance) -> Dataset:
    """Item that refers to a source image, or to a frame of it."""
    ds = Dataset()
    ds.ReferencedSOPClassUID = instance.sop_class_uid
    ds.ReferencedSOPInstanceUID = instance.instance_uid
    if instance.frame is not None:
        ds.ReferencedFrameNumber = instance.frame
    return ds


def coded(value: str, scheme: str, meaning: str) -> Items:
    """Code sequence of one item."""
    ds = Dataset()
    ds.CodeValue, ds.CodingSchemeDesignator, ds.CodeMeaning = value, scheme, meaning
    return Items([ds])


def decimal(value: float) -> str:
    """A decimal string of at most 16 characters, as exact as that allows."""
    return format_number_as_ds(float(value) + 0.0)


def save(ds: Dataset, path: str | os.PathLike) -> Path:
    """Writes an object as a DICOM file, whole or not at all.

    Args:
        ds: with SOP Class and Instance UID; its values are little endian.
        path: of the file; missing folders are made.

    Returns:
        The path.
    """
    path = Path(path)
    file = FileDataset(str(path), ds, preamble=b"\0" * 128)
    file.file_meta = FileMetaDataset()
    file.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    file.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.file_meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    file.file_meta.ImplementationVersionName = "KMED"
    with replacing(path) as unfinished:
        file.save_as(unfinished, enforce_file_format=True)
    return path


def require_text(**texts: str) -> None:
    """Refuses texts that VR LO can't hold.

    Args:
        **texts: by the name of the argument.

    Raises:
        ValueError: empty, over 64 characters, or with a backslash or control characters.
    """
    for argument, text in texts.items():
        if not text.strip() or len(text) > 64 or "\\" in text or not text.isprintable():
            raise ValueError(
                f"`{argument}` must be text of 1 to 64 characters without \\ or line breaks; "
                f"received {text!r}"
            )


def _take(taken: Dataset, element) -> None:
    """Adds a copy of an element, if its value is one that its VR allows."""
    vr = dictionary_VR(element.tag)
    value = _plain(element.VR, element.value)
    values = value if isinstance(value, list) else [value]
    if "SQ" in (vr, element.VR):
        if vr != element.VR or not value:
            return
    elif element.keyword != "StudyInstanceUID":  # which has to be that of the source as it is
        try:
            for one in values:
                if one not in (None, ""):
                    validate_value(vr, one, config.RAISE)
        except (ValueError, TypeError, AttributeError):
            return
    taken.add_new(element.tag, vr, value)


def _plain(vr: str, value):
    """A value without its source's character set, and items without private attributes."""
    if vr == "SQ":
        items = []
        for item in value or ():
            plain = Dataset()
            for element in item:
                if element.keyword and element.keyword != "SpecificCharacterSet":
                    _take(plain, element)
            items.append(plain)
        return Items(items)
    if isinstance(value, PersonName):
        return str(value)
    if vr in ("DS", "IS", "DA", "TM", "DT") and not isinstance(value, (list, tuple, MultiValue)):
        return "" if value is None else str(value)
    if isinstance(value, (list, tuple, MultiValue)):
        return [_plain(vr, one) for one in value]
    return value
