"""Writes a volume that a network made of a series as derived DICOM images on the same planes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    CTImageStorage,
    MRImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    generate_uid,
)

import kmed
from kmed.data.dicom.errors import DicomError
from kmed.data.dicom.header import read_dataset
from kmed.data.dicom.hushed import hushed
from kmed.data.dicom.series import Series
from kmed.results.dicom.codes import Code
from kmed.results.dicom.rescale import Rescale, rescale_of
from kmed.results.dicom.source_planes import Instance, Planes, source_of, source_planes
from kmed.results.dicom.study import (
    coded,
    copied,
    decimal,
    lossy,
    new_object,
    reference,
    require_text,
    save,
)

SERIES_NUMBER = 304
ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")
SPATIAL_RESAMPLING = Code("113085", "DCM", "Spatial resampling")

_STORAGE = {"CT": CTImageStorage, "MR": MRImageStorage}
# What of the series is true of its derivatives too.
_SERIES = ("PatientPosition", "ProtocolName")
_TECHNIQUE = {
    "CT": (
        *("KVP", "ScanOptions", "ContrastBolusAgent", "ContrastBolusRoute", "ConvolutionKernel"),
        "AcquisitionNumber",
    ),
    "MR": (
        *("ScanningSequence", "SequenceVariant", "ScanOptions", "MRAcquisitionType"),
        *("RepetitionTime", "EchoTime", "InversionTime", "EchoTrainLength", "FlipAngle"),
        *("MagneticFieldStrength", "ImagingFrequency", "ImagedNucleus", "ContrastBolusAgent"),
        "AcquisitionNumber",
    ),
}


@hushed()
def write_derived(
    folder: str | os.PathLike,
    array: np.ndarray,
    series: Series,
    *,
    description: str,
    modality: str | None = None,
    technique: bool = False,
    window: tuple[float, float] | None = None,
    derivation: Code | tuple[str, str, str] = ARTIFICIAL_INTELLIGENCE,
    algorithm: str = "kmed",
    algorithm_version: str = kmed.__version__,
    series_number: int = SERIES_NUMBER,
) -> list[Path]:
    """Writes derived images of a series, one file a slice, as a new series of the same study.

    The images lie on the planes of the source, in its frame of reference, and refer to it. They
    are CT or MR Image Storage, also where the source is an enhanced multi-frame object: those
    objects describe an acquisition per frame, which a derived image does not have. Images of any
    other modality become Multi-frame Grayscale Word Secondary Capture, the one class for images
    of any origin that has a geometry.

    Whole values within 16 bits come back exactly; others to half a step of 1 / 65535 of their
    range or less. Attributes of an acquisition are left empty, or "RM" where MR demands a value,
    unless `technique` says that they hold for the new images as well.

    Reference: DICOM PS3.3, A.3 (CT Image IOD), A.4 (MR Image IOD), A.8.4 (Multi-frame Grayscale
    Word SC Image IOD), C.7.6.1 (General Image: Image Type, Derivation, Source Image Sequence).

    Args:
        folder: of slice-0001.dcm and so on, inferior first where the planes are axial. It must not
            exist or be empty; it appears whole or not at all.
        array: `(D, H, W)` on the array of `series`, in HU where the images are CT.
        series: the source, as `read_series` returned it.
        description: what was done, for people: Series Description and Derivation Description, 64
            characters at most.
        modality: of the new images, for instance "CT" of a CT made from MR; None: the series'.
        technique: whether the contrast is still that of the source, so that its kV, contrast
            agent, echo time and so on are true of the new images; never for another modality.
        window: `(center, width)` to show them with; None: the range of the values.
        derivation: code of what was done, by default that of artificial intelligence.
        algorithm: name of what made the images, for instance of the network.
        algorithm_version: its version.
        series_number: of the new series.

    Returns:
        The files in the order of the planes; one file of all planes for Secondary Capture.

    Raises:
        ValueError: an array that is not on the series' grid, not finite or not of numbers.
        DicomError: a series without files, or that isn't that of its files; a folder with files.
    """
    values = _checked(array, series)
    target = (modality or series.modality).upper()
    if technique and target != series.modality.upper():
        raise ValueError(
            f"`technique` is that of {series.modality}; images of {target} do not have it"
        )
    require_text(description=description, algorithm=algorithm, algorithm_version=algorithm_version)
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DicomError(
            f"{folder}: is not empty; derived images need a folder of their own", files=[folder]
        )
    planes = source_planes(series)
    sources = [read_dataset(source_of(name)) for name in dict.fromkeys(series.files)]
    # Multi-frame Secondary Capture stores nothing below 0.
    rescale = rescale_of(values, signed=None if target in _STORAGE else False)
    stack = planes.stacked(values)
    base = _base(sources, series, planes, target, technique, series_number, description)
    base.DerivationDescription = f"{description} ({algorithm} {algorithm_version})"
    base.DerivationCodeSequence = coded(*derivation)
    if series.resampled:
        base.DerivationCodeSequence += coded(*SPATIAL_RESAMPLING)
    _describe_pixels(base, stack, rescale, target, window)
    whole = _slices if target in _STORAGE else _frames
    unfinished = folder.with_name(f".{os.getpid()}.part.{folder.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        names = [
            save(ds, unfinished / f"slice-{number:04d}.dcm").name
            for number, ds in enumerate(whole(base, stack, planes, rescale, series), 1)
        ]
        os.replace(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return [folder / name for name in names]


def _checked(array, series: Series) -> np.ndarray:
    values = np.asarray(array)
    if values.shape != series.array.shape or values.dtype.kind not in "iufb":
        raise ValueError(
            f"`array` must hold numbers on the array of `series`, {series.array.shape}; received "
            f"{values.dtype} of shape {values.shape}"
        )
    if values.dtype.kind == "b":
        values = values.astype(np.uint8)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError(
            "`array` must be finite; received NaN or infinity, which DICOM images can't store"
        )
    return values


def _base(
    sources: Sequence[Dataset], series: Series, planes: Planes, modality, technique, number, text
) -> Dataset:
    """What all files share, but pixels."""
    study = sources[0]
    sop_class = _STORAGE.get(modality, MultiFrameGrayscaleWordSecondaryCaptureImageStorage)
    ds = new_object(study, sop_class, modality, now=datetime.now())
    ds.update(copied(study, _SERIES))
    ds.update(lossy(sources))
    ds.PatientPosition = ds.get("PatientPosition", "")
    ds.SeriesInstanceUID, ds.SeriesNumber = generate_uid(prefix=None), number
    ds.SeriesDescription = text
    ds.FrameOfReferenceUID = series.frame_of_reference_uid or generate_uid(prefix=None)
    ds.PositionReferenceIndicator = study.get("PositionReferenceIndicator") or ""
    ds.ImageType = ["DERIVED", "SECONDARY"]
    burned = {str(source.get("BurnedInAnnotation") or "") for source in sources}
    if "YES" in burned or burned == {"NO"}:
        ds.BurnedInAnnotation = "YES" if "YES" in burned else "NO"
    if modality == "CT":
        ds.ImageType, ds.KVP = ["DERIVED", "SECONDARY", "AXIAL"], None
    elif modality == "MR":
        ds.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
        ds.ScanningSequence, ds.SequenceVariant = "RM", "NONE"
        ds.ScanOptions = ds.MRAcquisitionType = ""
        ds.RepetitionTime = ds.EchoTime = ds.EchoTrainLength = None
    ds.AcquisitionNumber = None
    if technique:
        ds.update(copied(study, _TECHNIQUE.get(modality, ())))
        if "InversionTime" in ds and "IR" not in copied(study, ("ScanningSequence",)).get(
            "ScanningSequence", ""
        ):
            del ds.InversionTime  # allowed with inversion recovery only
    return ds


def _describe_pixels(ds: Dataset, stack, rescale: Rescale, modality, window) -> None:
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = stack.shape[1:]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 16, 15
    ds.PixelRepresentation = int(rescale.signed)
    # MR Image Storage has no rescale of its own; it is written where the values need one.
    if modality != "MR" or rescale[:2] != (1.0, 0.0):
        ds.RescaleSlope, ds.RescaleIntercept = decimal(rescale.slope), decimal(rescale.intercept)
        ds.RescaleType = "HU" if modality == "CT" else "US"
    if window is None:
        low, high = float(stack.min()), float(stack.max())
        window = ((low + high) / 2, max(high - low, 1.0))
    ds.WindowCenter, ds.WindowWidth = (decimal(value) for value in window)


def _slices(base: Dataset, stack, planes: Planes, rescale: Rescale, series: Series):
    """One data set a plane."""
    base.ImageOrientationPatient = [decimal(value) for value in planes.orientation]
    base.PixelSpacing = [decimal(length) for length in planes.spacing_mm[1:]]
    base.SliceThickness = decimal(planes.thickness_mm)
    if base.Modality == "MR":
        base.SpacingBetweenSlices = decimal(planes.spacing_mm[0])
    everything = _sources(planes.instances, "NO" if series.resampled else "YES")
    for index, pixels in enumerate(stack):
        ds = Dataset()
        ds.update(base)
        ds.SOPInstanceUID, ds.InstanceNumber = generate_uid(prefix=None), index + 1
        ds.ImagePositionPatient = [decimal(value) for value in planes.positions_mm[index]]
        own = planes.sources[index]
        ds.SourceImageSequence = _sources([own], "YES") if own else everything
        ds.PixelData = rescale.stored(pixels).tobytes()
        yield ds


def _frames(base: Dataset, stack, planes: Planes, rescale: Rescale, series: Series):
    """One data set of all planes: Multi-frame Grayscale Word Secondary Capture."""
    base.ConversionType, base.NumberOfFrames, base.InstanceNumber = "SYN", len(stack), 1
    base.PresentationLUTShape = "IDENTITY"
    # Type 1 here: whoever can't rule out burned-in text has to say YES.
    base.BurnedInAnnotation = base.get("BurnedInAnnotation", "YES")
    if len(stack) > 1:
        base.FrameIncrementPointer = 0x52009230  # Per-Frame Functional Groups Sequence
    base.PatientOrientation = ""
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [decimal(length) for length in planes.spacing_mm[1:]]
    measures.SliceThickness = decimal(planes.thickness_mm)
    measures.SpacingBetweenSlices = decimal(planes.spacing_mm[0])
    orientation.ImageOrientationPatient = [decimal(value) for value in planes.orientation]
    shared.PixelMeasuresSequence = Items([measures])
    shared.PlaneOrientationSequence = Items([orientation])
    base.SharedFunctionalGroupsSequence = Items([shared])
    groups = []
    for place in planes.positions_mm:
        group, position = Dataset(), Dataset()
        position.ImagePositionPatient = [decimal(value) for value in place]
        group.PlanePositionSequence = Items([position])
        groups.append(group)
    base.PerFrameFunctionalGroupsSequence = Items(groups)
    preserved = "NO" if series.resampled else "YES"
    own = [source for source in planes.sources if source]
    base.SourceImageSequence = _sources(own or planes.instances, preserved)
    base.PixelData = rescale.stored(stack).tobytes()
    yield base


def _sources(instances: Sequence[Instance], preserved: str) -> Items:
    items = []
    for instance in instances:
        item = reference(instance)
        item.PurposeOfReferenceCodeSequence = coded(
            "121322", "DCM", "Source image for image processing operation"
        )
        item.SpatialLocationsPreserved = preserved
        items.append(item)
    return Items(items)
