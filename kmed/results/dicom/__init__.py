"""Findings as DICOM objects: segmentations, reports, presentation states, derived images."""

from kmed.results.dicom.boxes import ImageBox, VolumeBox
from kmed.results.dicom.capture import write_capture
from kmed.results.dicom.derived import write_derived
from kmed.results.dicom.presentation import write_presentation
from kmed.results.dicom.seg import write_seg
from kmed.results.dicom.seg_reading import read_seg
from kmed.results.dicom.sr import write_sr

__all__ = [
    "ImageBox",
    "VolumeBox",
    "read_seg",
    "write_capture",
    "write_derived",
    "write_presentation",
    "write_seg",
    "write_sr",
]
