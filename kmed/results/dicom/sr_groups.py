"""Measurement groups of a Structured Report: of segments, of whole images, of boxes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code as ConceptCode
from pydicom.uid import generate_uid

from kmed.data.dicom.header import Header
from kmed.data.dicom.series import Series
from kmed.results.dicom.boxes import ImageBox, VolumeBox, corners, outlines_mm
from kmed.results.dicom.codes import Code, LabelCode
from kmed.results.dicom.source_planes import Instance, Planes

#: What the intensities of an image are: quantity and unit, by what they are called.
INTENSITIES = {
    "hu": (codes.DCM.AttenuationCoefficient, codes.UCUM.HounsfieldUnit),
    "mr": (codes.DCM.MRSignalIntensity, codes.UCUM.NoUnits),
    "suv": (codes.DCM.Suvbw, ConceptCode("{SUVbw}g/ml", "UCUM", "Standardized Uptake Value bw")),
    "bqml": (codes.DCM.NuclearMedicineTomographicActivity, codes.UCUM.BecquerelsPerMilliliter),
    "xray": (codes.DCM.XRayAttenuation, codes.UCUM.NoUnits),
    "echo": (codes.DCM.Echogenicity, codes.UCUM.NoUnits),
}
_OF_MODALITY = {"CT": "hu", "MR": "mr", "US": "echo"}
_OF_MODALITY |= dict.fromkeys(("CR", "DX", "MG", "XA", "RF"), "xray")
_MILLILITER = ConceptCode("ml", "UCUM", "milliliter")
_MILLIMETER = ConceptCode("mm", "UCUM", "millimeter")
_LONG_AXIS = ConceptCode("103339001", "SCT", "Long axis")


def intensity_codes(intensity: str | None, modality: str) -> tuple[ConceptCode, ConceptCode]:
    """Says what the intensities of an image are.

    Args:
        intensity: one of `INTENSITIES`; None: what those of the modality are, where it has one
            quantity only.
        modality: of the images.

    Returns:
        The quantity and its unit.

    Raises:
        ValueError: a modality whose intensities may be several things, and none is said.
    """
    name = intensity or _OF_MODALITY.get(modality)
    if name not in INTENSITIES:
        raise ValueError(
            f"`intensity` must be one of {', '.join(INTENSITIES)} to say what the mean intensity "
            f"of {modality} is, or the measures must leave it out; received {intensity!r}"
        )
    return INTENSITIES[name]


@dataclass(kw_only=True)
class Groups:
    """Makes the measurement groups of one report.

    Attributes:
        headers: of the source images, by the names of their files.
        coded: codes of the classes.
        algorithm: what measured.
        series: the series, where the images are one.
        planes: of the series, where boxes lie in its volume.
        segmentation: the DICOM Segmentation without pixels, if there is one.
        intensity: quantity and unit of mean intensities, if there are any.
    """

    headers: Mapping[str, Header]
    coded: Mapping[str, LabelCode]
    algorithm: sr.AlgorithmIdentification
    series: Series | None = None
    planes: Planes | None = None
    segmentation: Dataset | None = None
    intensity: tuple[ConceptCode, ConceptCode] | None = None

    def segment(self, name: str, values: Mapping[str, Any]) -> sr.Template:
        """Makes the group of one class.

        Args:
            name: of the class.
            values: its measures, see `write_sr`.

        Returns:
            TID 1411 of its segment, or TID 1501 of the images.

        Raises:
            ValueError: measures that are none.
        """
        settings = self._settings(name) | {"measurements": self._measurements(name, values)}
        if self.segmentation is None or values.get("voxels") == 0:
            return sr.MeasurementsAndQualitativeEvaluations(
                **settings, source_images=self._images()
            )
        index = values.get("index")
        if not isinstance(index, (int, np.integer)) or index < 1:
            raise ValueError(
                f"`measures` of {name!r} need `index`, the number of the segment, from 1 on; "
                f"received {index!r}"
            )
        images = _images_of_segment(self.segmentation, int(index))
        if images is None:
            raise ValueError(
                f"`measures` of {name!r} speak of segment {index}, in which the segmentation has "
                "no frame; give the one that was measured"
            )
        series = self.segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID
        segment = sr.ReferencedSegment(
            sop_class_uid=self.segmentation.SOPClassUID,
            sop_instance_uid=self.segmentation.SOPInstanceUID,
            segment_number=int(index),
            source_images=[_image(sr.SourceImageForSegmentation, one) for one in images] or None,
            source_series=None if images else sr.SourceSeriesForSegmentation(series),
        )
        return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
            **settings, referenced_segment=segment
        )

    def box(self, box: ImageBox | VolumeBox) -> sr.Template:
        """Makes the group of one detection.

        Args:
            box: where it lies.

        Returns:
            TID 1410, or TID 1411 of a cuboid that several planes cut.

        Raises:
            ValueError: a box outside of its image or volume.
        """
        settings = self._settings(box.label) | {
            "measurements": self._measurements(box.label, {"score": box.score}) or None
        }
        planar = sr.PlanarROIMeasurementsAndQualitativeEvaluations
        if isinstance(box, ImageBox):
            header = self.headers[box.file]
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
        series = self.series
        outlines, images = outlines_mm(box, series, self.planes)
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

    def _images(self) -> list[sr.SourceImageForMeasurementGroup] | None:
        """All images, where no segmentation refers to them: in a long series there are many."""
        if self.segmentation is not None:
            return None
        return [
            sr.SourceImageForMeasurementGroup(header.sop_class_uid, header.instance_uid)
            for header in self.headers.values()
        ]

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
        mean = values.get("mean_intensity")
        if mean is not None and not np.ndim(mean):  # of one channel
            rows.append((self.intensity[0], mean, self.intensity[1], codes.SCT.Mean))
        if values.get("score") is not None:
            if not 0 <= values["score"] <= 1:
                raise ValueError(
                    f"`score` of {name!r} must lie from 0 to 1; received {values['score']}"
                )
            percent = round(float(values["score"]) * 100, 6)
            rows.append((codes.DCM.CertaintyOfFinding, percent, codes.UCUM.Percent, None))
        measurements = []
        for quantity, value, unit, derivation in rows:
            if not np.isfinite(value):
                raise ValueError(f"{quantity.meaning} of {name!r} must be finite; received {value}")
            measurements.append(sr.Measurement(quantity, float(value), unit, derivation=derivation))
        return measurements


def _images_of_segment(segmentation: Dataset, number: int) -> list[Instance] | None:
    """Source images of a segment's frames, as far as frames have one; None without a frame.

    Of a segmentation with one segment its number may stand in the shared group, where highdicom's
    own look-up does not find it.
    """
    shared, found, images = segmentation.SharedFunctionalGroupsSequence[0], False, {}
    for group in segmentation.PerFrameFunctionalGroupsSequence:
        holder = group if "SegmentIdentificationSequence" in group else shared
        if holder.SegmentIdentificationSequence[0].ReferencedSegmentNumber != number:
            continue
        found = True
        for derivation in group.get("DerivationImageSequence") or ():
            for item in derivation.SourceImageSequence:
                frame = item.get("ReferencedFrameNumber")
                images[item.ReferencedSOPInstanceUID, frame] = Instance(
                    sop_class_uid=item.ReferencedSOPClassUID,
                    instance_uid=item.ReferencedSOPInstanceUID,
                    frame=None if frame is None else int(frame),
                )
    return list(images.values()) if found else None


def _image(kind, instance: Instance):
    frames = None if instance.frame is None else [instance.frame]
    return kind(
        referenced_sop_class_uid=instance.sop_class_uid,
        referenced_sop_instance_uid=instance.instance_uid,
        referenced_frame_numbers=frames,
    )


def _concept(code: Code) -> ConceptCode:
    return ConceptCode(code.value, code.scheme, code.meaning)
