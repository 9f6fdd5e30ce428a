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
from pydicom.sr.coding import Code as ConceptCode
from pydicom.uid import generate_uid

import kmed
from kmed.data.atomic import replacing
from kmed.data.dicom.errors import DicomError, NoGeometry
from kmed.data.dicom.header import Header, read_dataset, read_header
from kmed.data.dicom.series import Series
from kmed.results.codes import Code, LabelCode, label_codes_of
from kmed.results.dicom_boxes import ImageBox, VolumeBox, corners, outlines_mm, require_boxes
from kmed.results.dicom_study import inherited
from kmed.results.source_planes import Instance, Planes, source_of, source_planes, study_of

SERIES_NUMBER = 301

#: What the intensities of an image are: quantity and unit, by what they are called.
INTENSITIES = {
    "hu": (codes.DCM.AttenuationCoefficient, codes.UCUM.HounsfieldUnit),
    "mr": (codes.DCM.MRSignalIntensity, codes.UCUM.NoUnits),
    "suv": (codes.DCM.Suvbw, ConceptCode("{SUVbw}g/ml", "UCUM", "Standardized Uptake Value bw")),
    "bqml": (codes.DCM.NuclearMedicineTomographicActivity, codes.UCUM.BecquerelsPerMilliliter),
    "stored": (ConceptCode("PIXELVALUE", "99KMED", "Pixel value"), codes.UCUM.NoUnits),
}
_OF_MODALITY = {"CT": "hu", "MR": "mr"}
_PROCEDURES = {
    "CT": codes.LN.CTUnspecifiedBodyRegion,
    "MR": codes.LN.MRIUnspecifiedBodyRegion,
    "PT": codes.LN.PETUnspecifiedBodyRegion,
    "NM": codes.LN.NMUnspecifiedBodyRegion,
    "CR": codes.LN.XRUnspecifiedBodyRegion,
    "DX": codes.LN.XRUnspecifiedBodyRegion,
}
_MILLILITER = ConceptCode("ml", "UCUM", "milliliter")
_MILLIMETER = ConceptCode("mm", "UCUM", "millimeter")
_LONG_AXIS = ConceptCode("103339001", "SCT", "Long axis")
_SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")


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
        label_codes: codes of names that `kmed.results.codes` doesn't know, see `label_code`.
        intensity: what `mean_intensity` is, one of `INTENSITIES`; None: Hounsfield units of CT,
            signal intensity of MR, and for any other modality it has to be said.
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
    measures = dict(measures or {})
    names = list(dict.fromkeys([*measures, *(box.label for box in boxes)]))
    coded = label_codes_of(names, label_codes)
    found = _Sources(source, boxes)
    segmentation = None if seg is None else _segmentation(seg, found)
    groups = _Groups(
        found,
        coded,
        segmentation,
        sr.AlgorithmIdentification(name=algorithm, version=algorithm_version),
    )
    if any(values.get("mean_intensity") is not None for values in measures.values()):
        groups.intensity = _intensity(intensity, found.modality)
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
        procedure_reported=_PROCEDURES.get(found.modality, codes.SCT.ImagingProcedure),
        title=codes.DCM.ImagingMeasurementReport,
        imaging_measurements=[
            *(groups.segment(name, values) for name, values in measures.items()),
            *(groups.box(box) for box in boxes),
        ],
    )
    evidence = found.evidence()
    if segmentation is not None:
        evidence.append(_evidence(found.study, segmentation))
    document = sr.Comprehensive3DSR(
        evidence=evidence,
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
    path = Path(path)
    with replacing(path) as unfinished:
        document.save_as(unfinished, enforce_file_format=True)
    return path


class _Sources:
    """The images that a report speaks of."""

    def __init__(self, source, boxes):
        self.series = source if isinstance(source, Series) else None
        self.planes: Planes | None = None
        if self.series is not None:
            if not self.series.files:
                raise NoGeometry("a report refers to images; the series has no source files")
            files = [*self.series.files]
        else:
            single = isinstance(source, (str, os.PathLike))
            files = [str(file) for file in ([source] if single else source)]
        files += [box.file for box in boxes if isinstance(box, ImageBox)]
        self.headers = {name: read_header(source_of(name)) for name in dict.fromkeys(files)}
        if not self.headers:
            raise ValueError("`source` must be a series or the files of images; received none")
        first, *others = self.headers.values()
        for header in others:
            if header.study_uid != first.study_uid:
                raise DicomError(
                    f"{header.source.name}: is of another study than {first.source.name}; a report "
                    "is about the images of one study",
                    files=[header.source.name, first.source.name],
                )
        self.study = study_of(self.series) if self.series else read_dataset(first.source)
        self.modality = first.modality
        if any(isinstance(box, VolumeBox) for box in boxes):
            if self.series is None or not self.series.frame_of_reference_uid:
                raise NoGeometry(
                    "a box in a volume needs a series with a Frame of Reference UID; give boxes in "
                    "the images instead"
                )
            self.planes = source_planes(self.series)

    def evidence(self) -> list[Dataset]:
        """What highdicom reads of the images: who, which study, which instance."""
        return [_evidence(self.study, header) for header in self.headers.values()]


def _evidence(study: Dataset, header: Header) -> Dataset:
    ds = inherited(study)
    ds.SOPClassUID, ds.SOPInstanceUID = header.sop_class_uid, header.instance_uid
    ds.StudyInstanceUID, ds.SeriesInstanceUID = header.study_uid, header.series_uid
    ds.Modality = header.modality
    if header.is_image:
        ds.Rows, ds.Columns = header.rows, header.columns
    return ds


def _segmentation(path, found: _Sources) -> Header:
    header = read_header(source_of(str(path)))
    if header.sop_class_uid not in _SEGMENTATIONS:
        raise DicomError(f"{path}: is no DICOM Segmentation", files=[path])
    if header.study_uid != next(iter(found.headers.values())).study_uid:
        raise DicomError(f"{path}: is of another study than the images measured", files=[path])
    return header


def _intensity(intensity: str | None, modality: str) -> tuple[ConceptCode, ConceptCode]:
    name = intensity or _OF_MODALITY.get(modality)
    if name not in INTENSITIES:
        raise ValueError(
            f"`intensity` must be one of {', '.join(INTENSITIES)} to say what the mean of "
            f"{modality} is; received {intensity!r}"
        )
    return INTENSITIES[name]


class _Groups:
    """Measurement groups of a report."""

    def __init__(self, found, coded, segmentation, algorithm):
        self.found, self.coded, self.algorithm = found, coded, algorithm
        self.segmentation = segmentation
        self.intensity: tuple[ConceptCode, ConceptCode] | None = None
        instances = [
            Instance(sop_class_uid=h.sop_class_uid, instance_uid=h.instance_uid)
            for h in found.headers.values()
        ]
        self.instances = instances

    def segment(self, name: str, values: Mapping[str, Any]):
        """The group of one class."""
        settings = self._settings(name) | {"measurements": self._measurements(name, values)}
        if self.segmentation is None or values.get("voxels") == 0:
            images = [_image(sr.SourceImageForMeasurementGroup, one) for one in self.instances]
            return sr.MeasurementsAndQualitativeEvaluations(**settings, source_images=images)
        index = values.get("index")
        if not isinstance(index, (int, np.integer)) or index < 1:
            raise ValueError(
                f"`measures` of {name!r} need `index`, the number of the segment, from 1 on; "
                f"received {index!r}"
            )
        segment = sr.ReferencedSegment(
            sop_class_uid=self.segmentation.sop_class_uid,
            sop_instance_uid=self.segmentation.instance_uid,
            segment_number=int(index),
            source_images=[_image(sr.SourceImageForSegmentation, one) for one in self.instances],
        )
        return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
            **settings, referenced_segment=segment
        )

    def box(self, box: ImageBox | VolumeBox):
        """The group of one detection."""
        settings = self._settings(box.label) | {
            "measurements": self._measurements(box.label, {"score": box.score}) or None
        }
        planar = sr.PlanarROIMeasurementsAndQualitativeEvaluations
        if isinstance(box, ImageBox):
            header = self.found.headers[box.file]
            several = header.number_of_frames > 1
            image = Instance(
                sop_class_uid=header.sop_class_uid,
                instance_uid=header.instance_uid,
                frame=box.frame + 1 if several else None,
            )
            region = sr.ImageRegion(
                graphic_type="POLYLINE",
                graphic_data=corners(box, header),
                source_image=_image(sr.SourceImageForRegion, image),
            )
            return planar(**settings, referenced_region=region)
        series = self.found.series
        outlines, images = outlines_mm(box, series, self.found.planes)
        frame_of_reference = series.frame_of_reference_uid
        if len(outlines) == 1:
            region = sr.ImageRegion3D(
                graphic_type="POLYGON",
                graphic_data=outlines[0],
                frame_of_reference_uid=frame_of_reference,
            )
            return planar(**settings, referenced_region=region)
        surface = sr.VolumeSurface(
            graphic_type="POLYGON",
            graphic_data=outlines,
            frame_of_reference_uid=frame_of_reference,
            source_images=[_image(sr.SourceImageForSegmentation, one) for one in images] or None,
            source_series=None if images else sr.SourceSeriesForSegmentation(series.series_uid),
        )
        return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
            **settings, referenced_volume_surface=surface
        )

    def _settings(self, name: str) -> dict[str, Any]:
        code = self.coded[name]
        place = code.region or (code.type if code.laterality else None)
        sites = None
        if place:
            side = _concept(code.laterality) if code.laterality else None
            sites = [sr.FindingSite(_concept(place), laterality=side)]
        return {
            "tracking_identifier": sr.TrackingIdentifier(
                uid=generate_uid(prefix=None), identifier=name
            ),
            "finding_type": _concept(code.type),
            "finding_category": _concept(code.category),
            "finding_sites": sites,
            "algorithm_id": self.algorithm,
        }

    def _measurements(self, name: str, values: Mapping[str, Any]) -> list[sr.Measurement]:
        rows = []
        if values.get("volume_ml") is not None:
            rows.append((codes.SCT.Volume, values["volume_ml"], _MILLILITER, None))
        if values.get("area_mm2") is not None:
            rows.append((codes.SCT.Area, values["area_mm2"], codes.UCUM.SquareMillimeter, None))
        if values.get("longest_extent_mm") is not None and values.get("voxels") != 0:
            solid = "area_mm2" not in values
            longest = codes.IBSI.Maximum3DDiameterOfAMesh if solid else _LONG_AXIS
            rows.append((longest, values["longest_extent_mm"], _MILLIMETER, None))
        if values.get("mean_intensity") is not None:
            if np.ndim(values["mean_intensity"]):
                raise ValueError(
                    f"`mean_intensity` of {name!r} must be one number; received "
                    f"{values['mean_intensity']}"
                )
            rows.append((self.intensity[0], values["mean_intensity"], self.intensity[1], "mean"))
        if values.get("score") is not None:
            if not 0 <= values["score"] <= 1:
                raise ValueError(
                    f"`score` of {name!r} must lie from 0 to 1; received {values['score']}"
                )
            percent = float(values["score"]) * 100
            rows.append((codes.DCM.CertaintyOfFinding, percent, codes.UCUM.Percent, None))
        measurements = []
        for quantity, value, unit, derivation in rows:
            if not np.isfinite(value):
                raise ValueError(f"{quantity.meaning} of {name!r} must be finite; received {value}")
            mean = codes.SCT.Mean if derivation else None
            measurements.append(sr.Measurement(quantity, float(value), unit, derivation=mean))
        return measurements


def _image(kind, instance: Instance):
    frames = None if instance.frame is None else [instance.frame]
    return kind(
        referenced_sop_class_uid=instance.sop_class_uid,
        referenced_sop_instance_uid=instance.instance_uid,
        referenced_frame_numbers=frames,
    )


def _concept(code: Code) -> ConceptCode:
    return ConceptCode(code.value, code.scheme, code.meaning)
