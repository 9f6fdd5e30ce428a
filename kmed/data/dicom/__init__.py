"""DICOM, both ways: files, headers, pixels, volumes, an archive's index, de-identification."""

from kmed.data.dicom.convert import to_nifti_files
from kmed.data.dicom.deidentification.deidentify import Deidentifier, Options, deidentify
from kmed.data.dicom.described import described
from kmed.data.dicom.index import ArchiveIndex
from kmed.data.dicom.pipeline import decoded
from kmed.data.dicom.samples import dicom_images, dicom_series
from kmed.data.dicom.series import Series, read_series, read_volume
from kmed.data.dicom.volumes import volumes_of

__all__ = [
    "ArchiveIndex",
    "Deidentifier",
    "Options",
    "Series",
    "decoded",
    "deidentify",
    "described",
    "dicom_images",
    "dicom_series",
    "read_series",
    "read_volume",
    "to_nifti_files",
    "volumes_of",
]
