"""DICOM, both ways: files, headers, pixels, volumes, an archive's index, de-identification."""

from kmed.data.dicom.series import dicom_series, read_series

__all__ = ["dicom_series", "read_series"]
