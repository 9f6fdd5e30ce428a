"""Writes pictures drawn on DICOM images as Secondary Capture in the study of their source."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import numpy as np
from pydicom.sequence import Sequence as Items
from pydicom.uid import SecondaryCaptureImageStorage, generate_uid

from kmed.data.dicom.header import read_dataset, read_header
from kmed.data.dicom.hushed import hushed
from kmed.results.dicom.source_planes import Instance, source_of
from kmed.results.dicom.study import coded, copied, lossy, new_object, reference, require_text, save

SERIES_NUMBER = 303


@hushed()
def write_capture(
    path: str | os.PathLike,
    picture: np.ndarray,
    file: str | os.PathLike,
    *,
    frame: int | None = None,
    description: str = "Detections",
    series_number: int = SERIES_NUMBER,
    instance_number: int = 1,
    series_uid: str | None = None,
) -> Path:
    """Writes a picture drawn on a source image as Secondary Capture in the source's study.

    Reference: DICOM PS3.3, A.8.1 (Secondary Capture Image IOD).

    Args:
        path: of the file; missing folders are made, and it appears whole or not at all.
        picture: `(H, W)` grey or `(H, W, 3)` RGB, uint8.
        file: the DICOM file that it shows.
        frame: 0-based number of the frame of a multi-frame file that it shows.
        description: Series Description and Derivation Description.
        series_number: of the new series.
        instance_number: of the picture within its series.
        series_uid: Series Instance UID, where several pictures are one series; None: a new one.

    Returns:
        The path.

    Raises:
        ValueError: no picture of 8 bits.
        DicomError: a source that can't be read.
    """
    picture = np.asarray(picture)
    grey = picture.ndim == 2
    if picture.dtype != np.uint8 or not (grey or picture.shape[2:] == (3,)) or not picture.size:
        raise ValueError(
            "`picture` must be (H, W) or (H, W, 3) uint8; received "
            f"{picture.dtype} of shape {picture.shape}"
        )
    require_text(description=description)
    header, source = read_header(source_of(str(file))), read_dataset(source_of(str(file)))
    ds = new_object(
        source, SecondaryCaptureImageStorage, header.modality or "OT", now=datetime.now()
    )
    ds.update(lossy([source]))
    burned = str(source.get("BurnedInAnnotation") or "")
    if burned in ("YES", "NO"):
        ds.BurnedInAnnotation = burned
    ds.ConversionType, ds.ImageType = "WSD", ["DERIVED", "SECONDARY"]
    ds.SeriesInstanceUID = series_uid or generate_uid(prefix=None)
    ds.SeriesNumber, ds.InstanceNumber = series_number, instance_number
    ds.SeriesDescription = ds.DerivationDescription = description
    ds.PatientOrientation = copied(source, ("PatientOrientation",)).get("PatientOrientation", "")
    item = reference(
        Instance(
            sop_class_uid=header.sop_class_uid,
            instance_uid=header.instance_uid,
            frame=None if frame is None or header.number_of_frames == 1 else frame + 1,
        )
    )
    item.PurposeOfReferenceCodeSequence = coded(
        "121322", "DCM", "Source image for image processing operation"
    )
    ds.SourceImageSequence = Items([item])
    ds.Rows, ds.Columns = picture.shape[:2]
    ds.SamplesPerPixel = 1 if grey else 3
    ds.PhotometricInterpretation = "MONOCHROME2" if grey else "RGB"
    if not grey:
        ds.PlanarConfiguration = 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    pixels = np.ascontiguousarray(picture).tobytes()
    ds.PixelData = pixels + b"\0" * (len(pixels) % 2)
    ds["PixelData"].VR = "OB"
    return save(ds, path)
