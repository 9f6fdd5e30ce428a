"""Writes measurements of segments and detected boxes as a DICOM Structured Report, TID 1500."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

import kmed
from kmed.data.atomic import replacing
from kmed.data.dicom.errors import DicomError, NoGeometry
from kmed.data.dicom.header import Header, read_dataset, read_header
from kmed.data.dicom.hushed import hushed
from kmed.data.dicom.series import Series
from kmed.results.dicom.boxes import ImageBox, VolumeBox, require_boxes
from kmed.results.dicom.codes import LabelCode, label_codes_of
from kmed.results.dicom.source_planes import source_of, source_planes
from kmed.results.dicom.sr_groups import Groups, intensity_codes
from kmed.results.dicom.study import inherited, require_text, unnamed

SERIES_NUMBER = 301

_PROCEDURES = {
    "CT": codes.LN.CTUnspecifiedBodyRegion,
    "MR": codes.LN.MRIUnspecifiedBodyRegion,
    "PT": codes.LN.PETUnspecifiedBodyRegion,
    "NM": codes.LN.NMUnspecifiedBodyRegion,
    "CR": codes.LN.XRUnspecifiedBodyRegion,
    "DX": codes.LN.XRUnspecifiedBodyRegion,
}
_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"


@hushed()
def write_sr(
    path: str | os.PathLike,
    source: Series | str | os.PathLike | Sequence[str | os.PathLike],
    *,
    measures: Mapping[str, Mapping[str, Any]] | None = None,
    boxes: Iterable[ImageBox | VolumeBox] = (),
    seg: str | os.PathLike | None = None,
    label_codes: Mapping[str, tuple[str, ...] | LabelCode] | None = None,
    intensity: str | None = None,
    algorithm: str = "kmed",
    algorithm_version: str = kmed.__version__,
    series_number: int = SERIES_NUMBER,
    description: str = "Measurements",
) -> Path:
    """Writes one Comprehensive 3D SR with an imaging measurement report.

    Each class of `measures` is a measurement group: of its segment (TID 1411) with `seg`, else of
    the source images as a whole (TID 1501), and so is a class without a voxel, which has no
    segment to refer to. Each box is a group too: a planar region of an image (TID 1410, SCOORD), a
    planar region or a volume surface in the patient (TID 1410, 1411, SCOORD3D).

    Reference: DICOM PS3.16, TID 1500 (Measurement Report), TID 1410, 1411, 1419, 1501.

    Args:
        path: of the file; missing folders are made, and it appears whole or not at all.
        source: the series, or the files of single images, that were measured.
        measures: by class what `kmed.results.quantities` gives: `index` (the segment's number),
            `voxels`, `volume_ml` or `area_mm2`, `longest_extent_mm`, `mean_intensity`, and
            perhaps `score` from 0 to 1; what is None or missing is left out.
        boxes: detections; a `VolumeBox` needs a series.
        seg: the DICOM Segmentation of the same series, as `write_seg` wrote it.
        label_codes: codes of names that `kmed.results.dicom.codes` doesn't know, see `label_code`.
        intensity: what `mean_intensity` is, one of `sr_groups.INTENSITIES`; None:
            what it is in this modality; that of PET has to be said. That of several channels is
            left out.
        algorithm: name of what measured, for instance of the network.
        algorithm_version: its version.
        series_number: of the new series.
        description: Series Description.

    Returns:
        The path.

    Raises:
        ValueError: labels without a code, boxes or measures that are none, a unit not said.
        DicomError: images or a segmentation that can't be read or don't belong together.
    """
    boxes = list(boxes)
    require_boxes(boxes)
    require_text(algorithm=algorithm, algorithm_version=algorithm_version, description=description)
    measures = dict(measures or {})
    names = list(dict.fromkeys([*measures, *(box.label for box in boxes)]))
    coded = label_codes_of(names, label_codes)
    series = source if isinstance(source, Series) else None
    headers = _headers(source, boxes)
    first = next(iter(headers.values()))
    segmentation = [] if seg is None else [_segmentation(seg, first)]
    groups = Groups(
        headers=headers,
        coded=coded,
        algorithm=sr.AlgorithmIdentification(name=algorithm, version=algorithm_version),
        series=series,
        segmentation=read_dataset(segmentation[0].source) if segmentation else None,
    )
    if any(np.isscalar(values.get("mean_intensity")) for values in measures.values()):
        groups.intensity = intensity_codes(intensity, first.modality)
    if any(isinstance(box, VolumeBox) for box in boxes):
        if series is None or not series.frame_of_reference_uid:
            raise NoGeometry(
                "a box in a volume needs a series with a Frame of Reference UID; give boxes in "
                "the images instead"
            )
        groups.planes = source_planes(series)
    report = sr.MeasurementReport(
        observation_context=sr.ObservationContext(
            observer_device_context=sr.ObserverContext(
                observer_type=codes.DCM.Device,
                observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
                    uid=generate_uid(entropy_srcs=["kmed", algorithm, algorithm_version]),
                    name=algorithm,
                    manufacturer_name="kmed",
                    model_name=algorithm_version,
                ),
            )
        ),
        procedure_reported=_PROCEDURES.get(first.modality, codes.SCT.ImagingProcedure),
        title=codes.DCM.ImagingMeasurementReport,
        imaging_measurements=[
            *(groups.segment(name, values) for name, values in measures.items()),
            *(groups.box(box) for box in boxes),
        ],
    )
    speaks_of = [*headers.values(), *segmentation]
    try:
        document = sr.Comprehensive3DSR(
            evidence=[_evidence(header) for header in speaks_of],
            content=report,
            series_instance_uid=generate_uid(prefix=None),
            series_number=series_number,
            sop_instance_uid=generate_uid(prefix=None),
            instance_number=1,
            manufacturer="kmed",
            manufacturer_model_name="kmed",
            software_versions=kmed.__version__,
            device_serial_number="0",
            is_complete=True,
            series_description=description,
            specific_character_set="ISO_IR 192",
        )
    except KeyError as error:  # highdicom of classes it has no module table for
        raise DicomError(
            f"{first.source.name}: is of a SOP class that is retired or private "
            f"({first.sop_class_uid}); a report needs one of the standard's",
            files=[first.source.name],
        ) from error
    document.update(inherited(read_dataset(first.source)))
    path = Path(path)
    with replacing(path) as unfinished:
        document.save_as(unfinished, enforce_file_format=True)
    return path


def _headers(source, boxes) -> dict[str, Header]:
    """Headers of the images that the report speaks of, by the names of their files."""
    if isinstance(source, Series):
        if not source.files:
            raise NoGeometry("a report refers to images; the series has no source files")
        files = list(source.files)
    elif isinstance(source, (str, os.PathLike)):
        files = [str(source)]
    else:
        files = [str(file) for file in source]
    files += [box.file for box in boxes if isinstance(box, ImageBox)]
    headers = {name: read_header(source_of(name)) for name in dict.fromkeys(files)}
    if not headers:
        raise ValueError("`source` must be a series or the files of images; received none")
    first, *others = headers.values()
    for header in others:
        _require_study(header, first)
    return headers


def _require_study(header: Header, first: Header) -> None:
    if header.study_uid != first.study_uid:
        raise DicomError(
            f"{header.source.name}: is of another study than {first.source.name}; a report is "
            "about the images of one study",
            files=[header.source.name, first.source.name],
        )


def _segmentation(path: str | os.PathLike, first: Header) -> Header:
    header = read_header(source_of(str(path)))
    if header.sop_class_uid != _SEGMENTATION:
        raise DicomError(f"{path}: is no DICOM Segmentation", files=[path])
    _require_study(header, first)
    return header


def _evidence(header: Header) -> Dataset:
    """An image as highdicom reads it: which study, which instance."""
    ds = unnamed()
    ds.SOPClassUID, ds.SOPInstanceUID = header.sop_class_uid, header.instance_uid
    ds.StudyInstanceUID, ds.SeriesInstanceUID = header.study_uid, header.series_uid
    ds.Modality = header.modality
    if header.is_image:
        ds.Rows, ds.Columns = header.rows, header.columns
    return ds
