"""Writes a volume as a DICOM series: CT Image Storage or MR Image Storage, one file per slice."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    PYDICOM_IMPLEMENTATION_UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)
from pydicom.valuerep import format_number_as_ds

_STORAGE = {"CT": CTImageStorage, "MR": MRImageStorage}
CT_INTERCEPT = -1024


@dataclass(frozen=True, kw_only=True)
class StudyHeader:
    """What the files of one study share.

    Attributes:
        patient_id: Patient ID (0010,0020).
        patient_name: Patient's Name (0010,0010).
        entropy: words that all UIDs are derived from; equal words give equal files.
        date: Study Date, YYYYMMDD.
        attributes: further attributes by keyword, the same in every file.
    """

    patient_id: str
    patient_name: str
    entropy: tuple[str, ...]
    date: str
    attributes: dict[str, Any] = field(default_factory=dict)

    def uid(self, *words: str) -> str:
        """UID of one thing of the study, the same at every call."""
        # A separator keeps ("1", "23") apart from ("12", "3").
        return generate_uid(entropy_srcs=["\x1f".join(("kmed", *self.entropy, *words))])


def write_series(
    folder: Path,
    array: np.ndarray,
    affine: np.ndarray,
    study: StudyHeader,
    *,
    modality: str,
    name: str,
    number: int,
    attributes: dict[str, Any] | None = None,
) -> list[Path]:
    """Writes one file per slice.

    The instance numbers run from superior to inferior, against the array: a reader has to sort by
    position.

    Reference: DICOM PS3.3, A.3 (CT Image IOD), A.4 (MR Image IOD), C.7.6.2 (Image Plane Module).

    Args:
        folder: where to write; it is made, and must be empty.
        array: `(D, H, W)`; CT: HU from -1024 to 3071, MR: 0 to 4095.
        affine: `(4, 4)` array index (d, h, w, 1) to LPS mm, without shear.
        study: attributes shared by the study.
        modality: "CT" or "MR".
        name: Series Description; with it the series gets its UID.
        number: Series Number.
        attributes: further attributes of this series by keyword.

    Returns:
        The files in the order of the array's slices.

    Raises:
        ValueError: values that 12 bits can't hold.
    """
    low = CT_INTERCEPT if modality == "CT" else 0
    if array.min() < low or array.max() > low + 4095:
        raise ValueError(
            f"`array` must hold values from {low} to {low + 4095} for {modality}; "
            f"received {array.min()} to {array.max()}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    stored = (array.astype(np.int32) - low).astype("<u2")
    base = _series(study, modality, name, number, affine, array.shape)
    for keyword, value in {**study.attributes, **(attributes or {})}.items():
        setattr(base, keyword, value)
    files = []
    for index, pixels in enumerate(stored):
        path = folder / f"slice-{index + 1:04d}.dcm"
        _write_slice(path, base, pixels, affine, study, name, index, len(stored))
        files.append(path)
    return files


def _series(study, modality, name, number, affine, shape) -> Dataset:
    """Everything but what a slice adds."""
    steps = affine[:3, :3]
    spacing = np.linalg.norm(steps, axis=0)  # d, h, w
    along_row, down_column = steps[:, 2] / spacing[2], steps[:, 1] / spacing[1]
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    # Patient, study, series, frame of reference, equipment.
    ds.PatientName, ds.PatientID = study.patient_name, study.patient_id
    ds.PatientBirthDate, ds.PatientSex = "", "O"
    ds.StudyInstanceUID, ds.StudyID = study.uid("study"), "1"
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = study.date
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = f"12{number:02d}00"
    ds.StudyTime = "120000"
    ds.ReferringPhysicianName = ds.AccessionNumber = ""
    ds.StudyDescription = "Synthetic abdomen"
    ds.Modality, ds.SeriesDescription, ds.SeriesNumber = modality, name, number
    ds.SeriesInstanceUID = study.uid("series", name)
    ds.PatientPosition = "HFS"
    ds.BodyPartExamined = "ABDOMEN"
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = study.uid("frame"), ""
    ds.Manufacturer, ds.ManufacturerModelName = "kmed", "phantom"
    ds.DeviceSerialNumber, ds.SoftwareVersions = "0", "1"
    # Image plane and pixels.
    ds.AcquisitionNumber = 1
    ds.PixelSpacing = [_ds(spacing[1]), _ds(spacing[2])]
    ds.ImageOrientationPatient = [_ds(v) for v in (*along_row, *down_column)]
    ds.SliceThickness = _ds(spacing[0])
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = shape[1:]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.SOPClassUID = _STORAGE[modality]
    if modality == "CT":
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = CT_INTERCEPT, 1, "HU"
        ds.KVP = 120
        ds.WindowCenter, ds.WindowWidth = 50, 400
    else:
        ds.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
        ds.ScanningSequence, ds.SequenceVariant = "SE", "NONE"
        ds.ScanOptions, ds.MRAcquisitionType, ds.EchoTrainLength = "", "2D", 1
        ds.MagneticFieldStrength, ds.ImagedNucleus = "1.5", "1H"
        ds.SpacingBetweenSlices = _ds(spacing[0])
    return ds


def _write_slice(path, base, pixels, affine, study, name, index, count) -> None:
    ds = FileDataset(str(path), Dataset(), preamble=b"\0" * 128)
    ds.update(base)
    ds.SOPInstanceUID = study.uid("instance", name, str(index))
    ds.InstanceNumber = count - index
    ds.ImagePositionPatient = [_ds(v) for v in (affine @ (index, 0, 0, 1))[:3]]
    ds.PixelData = pixels.tobytes()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    # Set here, for pydicom would put its own version into the file.
    ds.file_meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    ds.file_meta.ImplementationVersionName = "KMED"
    ds.save_as(path, enforce_file_format=True)


def _ds(value: float) -> str:
    """A decimal string of at most 16 characters, as exact as that allows."""
    rounded = float(np.round(value, 9)) + 0.0  # no negative zero, no 0.30000000000000004
    return format_number_as_ds(rounded)
