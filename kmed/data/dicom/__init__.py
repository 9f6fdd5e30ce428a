"""DICOM, both ways: files, headers, pixels, volumes, an archive's index, de-identification."""

from kmed.data.dicom.samples import dicom_series
from kmed.data.dicom.series import read_series

__all__ = ["dicom_series", "read_series"]
