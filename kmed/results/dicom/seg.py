"""Writes the labels of a volume as a DICOM Segmentation on the planes of its series."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import Segmentation, SegmentDescription
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code as ConceptCode
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

import kmed
from kmed.data.atomic import replacing
from kmed.data.dicom.errors import NoGeometry
from kmed.data.dicom.series import Series
from kmed.results.dicom.codes import Code, LabelCode, label_codes_of
from kmed.results.dicom.plane_images import plane_images
from kmed.results.dicom.source_planes import Instance, Planes, source_planes, study_of
from kmed.results.drawing import color

KINDS = ("binary", "fractional")
SERIES_NUMBER = 300

_LEVELS = 255  # Maximum Fractional Value: a probability of 1
_LONGEST = 64  # characters of VR LO


def write_seg(
    path: str | os.PathLike,
    labels: np.ndarray | None,
    series: Series,
    *,
    label_names: Sequence[str],
    label_codes: Mapping[str, tuple[str, ...] | LabelCode] | None = None,
    kind: str = "binary",
    probabilities: np.ndarray | None = None,
    algorithm: str = "kmed",
    algorithm_version: str = kmed.__version__,
    series_number: int = SERIES_NUMBER,
    description: str = "Segmentation",
) -> Path:
    """Writes a segmentation of a series as one DICOM file.

    Its frames lie where the slices of the series lie, whatever the order of the array's axes, and
    refer to them. Those of a resampled series and of a mosaic have planes of their own, and the
    file refers to the source images as a whole. A class is a segment of its own number, also when
    it is empty; frames without a voxel of their segment are left out.

    Memory: of the pixels, the stored ones, one bit or byte a voxel of each frame that is kept.

    Reference: DICOM PS3.3, A.51 (Segmentation IOD), C.8.20.2 (Segmentation Image Module).

    Args:
        path: of the file; missing folders are made, and it appears whole or not at all.
        labels: `(D, H, W)` class indices from 0 to 255, 0 = background, on the array of `series`.
            May be None where `kind` is "fractional", and then is not stored.
        series: the volume that was segmented, as `read_series` returned it.
        label_names: of the classes, the background first.
        label_codes: codes of names that `kmed.results.dicom.codes` doesn't know, see `label_code`.
        kind: "binary", or "fractional", which stores `probabilities` in steps of 1 / 255.
        probabilities: `(D, H, W, K)` from 0 to 1 of the K classes of `label_names`.
        algorithm: name of what made the segmentation, for instance of the network.
        algorithm_version: its version.
        series_number: of the new series.
        description: Series Description and Content Description, 64 characters at most.

    Returns:
        The path.

    Raises:
        ValueError: arrays, names or codes that do not fit each other.
        DicomError: a series without files or frame of reference, or that isn't that of its files.
    """
    names = _checked_names(label_names)
    coded = label_codes_of(names, label_codes)
    _check_texts(algorithm=algorithm, algorithm_version=algorithm_version, description=description)
    if not series.files or not series.frame_of_reference_uid:
        missing = "Frame of Reference UID" if series.files else "source files"
        raise NoGeometry(
            f"a DICOM Segmentation refers to images in a frame of reference; the series has no "
            f"{missing}: write its labels as NIfTI instead",
            files=series.files[:1],
        )
    frames = _Frames(kind, labels, probabilities, series, names)
    planes = source_planes(series)
    occupied = frames.occupied(planes)
    study = study_of(series)
    templates = plane_images(planes, series, study)
    identification = AlgorithmIdentificationSequence(
        name=algorithm, version=algorithm_version, family=codes.DCM.ArtificialIntelligence
    )
    seg = Segmentation(
        source_images=templates,
        # One pixel a frame: highdicom arranges the frames and describes them, for one of which
        # it needs no more than whether a segment occurs in it; the pixels follow one by one.
        pixel_array=occupied.astype(np.uint8)[:, np.newaxis, np.newaxis],
        segmentation_type=kind.upper(),
        segment_descriptions=[
            _segment(number, name, coded[name], identification)
            for number, name in enumerate(names, 1)
        ],
        series_instance_uid=generate_uid(prefix=None),
        series_number=series_number,
        sop_instance_uid=generate_uid(prefix=None),
        instance_number=1,
        manufacturer="kmed",
        manufacturer_model_name="kmed",
        software_versions=kmed.__version__,
        device_serial_number="0",
        max_fractional_value=_LEVELS,
        content_label="SEGMENTATION",
        content_description=description,
        series_description=description,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        specific_character_set="ISO_IR 192",
    )
    seg.PatientName = study.get("PatientName") or ""
    seg.SegmentsOverlap = "NO" if kind == "binary" or len(names) == 1 else "UNDEFINED"
    order = _refer(seg, planes, templates)
    shape = planes.stacked(series.array).shape[1:]
    seg.Rows, seg.Columns = shape
    seg.PixelData = frames.stored(planes, order)
    path = Path(path)
    with replacing(path) as unfinished:
        seg.save_as(unfinished, enforce_file_format=True)
    return path


class _Frames:
    """The pixels of planes and segments, of one kind."""

    def __init__(self, kind, labels, probabilities, series: Series, names: list[str]):
        self.binary, self.count, shape = kind == "binary", len(names), series.array.shape
        if kind not in KINDS:
            raise ValueError(f"`kind` must be one of {', '.join(KINDS)}; received {kind!r}")
        if self.binary == (probabilities is not None):
            raise ValueError(
                "`probabilities` are stored by kind='fractional' and by no other; received "
                f"kind={kind!r} {'with' if self.binary else 'without'} probabilities"
            )
        if labels is not None or self.binary:
            labels = np.asarray(labels)
            if labels.shape != shape or labels.dtype.kind not in "iub":
                raise ValueError(
                    f"`labels` must be class indices on the array of `series`, {shape}; received "
                    f"{labels.dtype} of shape {labels.shape}"
                )
            least, largest = (int(labels.min()), int(labels.max())) if labels.size else (0, 0)
            if least < 0 or largest > self.count:
                raise ValueError(
                    f"`label_names` must name every class, the background first; received "
                    f"{self.count + 1} names for labels from {least} to {largest}"
                )
        if not self.binary and np.shape(probabilities) != (*shape, self.count + 1):
            raise ValueError(
                "`probabilities` must be those of all `label_names` on the array of `series`, "
                f"{(*shape, self.count + 1)}; received {np.shape(probabilities)}"
            )
        self.array = labels if self.binary else probabilities

    def occupied(self, planes: Planes) -> np.ndarray:
        """Whether a segment occurs in a plane, `(S, K)`."""
        stack = planes.stacked(self.array)
        if self.binary:
            flat = (plane.ravel().astype(np.intp) for plane in stack)
            found = [np.bincount(p, minlength=self.count + 1)[1:] > 0 for p in flat]
        else:
            found = [[_levels(p[..., k]).any() for k in range(1, self.count + 1)] for p in stack]
        found = np.array(found, bool)
        if not found.any():
            found[0, 0] = True  # a file of no frames is not valid
        return found

    def stored(self, planes: Planes, order: Sequence[tuple[int, int]]) -> bytes:
        """Pixel Data of (plane, segment number) in `order`."""
        stack = planes.stacked(self.array)
        if self.binary:
            stored = b"".join(_packed(stack[plane] == segment for plane, segment in order))
        else:
            stored = b"".join(
                _levels(stack[plane][..., segment]).tobytes() for plane, segment in order
            )
        return stored + b"\0" * (len(stored) % 2)


def _levels(probabilities: np.ndarray) -> np.ndarray:
    least, largest = float(probabilities.min()), float(probabilities.max())
    if not (least >= 0 and largest <= 1):  # also where one is not a number
        raise ValueError(
            f"`probabilities` must lie from 0 to 1; received {least} to {largest}: apply a softmax "
            "or sigmoid to logits first"
        )
    return np.rint(np.asarray(probabilities, np.float32) * _LEVELS).astype(np.uint8)


def _packed(frames: Iterable[np.ndarray]) -> Iterator[bytes]:
    """Bits of frames, which follow each other within a byte too (PS3.5 8.1.1)."""
    rest = np.zeros(0, bool)
    for frame in frames:
        bits = np.concatenate([rest, frame.ravel()])
        whole = len(bits) // 8 * 8
        yield np.packbits(bits[:whole], bitorder="little").tobytes()
        rest = bits[whole:]
    yield np.packbits(rest, bitorder="little").tobytes()


def _refer(seg: Segmentation, planes: Planes, templates: list[Dataset]) -> list[tuple[int, int]]:
    """Puts the source images where the templates stand; gives (plane, segment) of each frame."""
    plane_of = {ds.SOPInstanceUID: plane for plane, ds in enumerate(templates)}
    shared, order = seg.SharedFunctionalGroupsSequence[0], []
    for item in seg.PerFrameFunctionalGroupsSequence:
        image = item.DerivationImageSequence[0].SourceImageSequence[0]
        plane = plane_of[image.ReferencedSOPInstanceUID]
        holder = item if "SegmentIdentificationSequence" in item else shared
        segment = int(holder.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        order.append((plane, segment))
    for (plane, _), item in zip(order, seg.PerFrameFunctionalGroupsSequence, strict=True):
        if planes.sources[plane] is None:
            item.DerivationImageSequence = []
        else:  # the segments of a plane share the item
            image = item.DerivationImageSequence[0].SourceImageSequence[0]
            image.update(_reference(planes.sources[plane]))
    seg.SourceImageSequence = [_reference(instance) for instance in planes.instances]
    seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence = [
        _reference(instance) for instance in planes.instances
    ]
    return order


def _reference(instance: Instance) -> Dataset:
    ds = Dataset()
    ds.ReferencedSOPClassUID = instance.sop_class_uid
    ds.ReferencedSOPInstanceUID = instance.instance_uid
    if instance.frame is not None:
        ds.ReferencedFrameNumber = instance.frame
    return ds


def _segment(number: int, name: str, code: LabelCode, identification) -> SegmentDescription:
    segment = SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=_concept(code.category),
        segmented_property_type=_concept(code.type),
        algorithm_type="AUTOMATIC",
        algorithm_identification=identification,
        anatomic_regions=[_concept(code.region)] if code.region else None,
        display_color=CIELabColor.from_rgb(*color(number)),
    )
    if code.laterality:
        side = Dataset()
        side.CodeValue, side.CodingSchemeDesignator, side.CodeMeaning = code.laterality
        if code.region:
            segment.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [side]
        else:
            types = segment.SegmentedPropertyTypeCodeSequence
            types[0].SegmentedPropertyTypeModifierCodeSequence = [side]
    return segment


def _concept(code: Code) -> ConceptCode:
    return ConceptCode(code.value, code.scheme, code.meaning)


def _checked_names(label_names: Sequence[str]) -> list[str]:
    names = [str(name) for name in label_names]
    if len(names) < 2 or len(names) > 256 or len(set(names)) != len(names):
        raise ValueError(
            "`label_names` must be the background's and 1 to 255 others that differ from each "
            f"other; received {names}"
        )
    for name in names[1:]:
        _check_texts(label_names=name)
    return names[1:]


def _check_texts(**texts: str) -> None:
    for argument, text in texts.items():
        if not text.strip() or len(text) > _LONGEST or re.search(r"[\\\x00-\x1f]", text):
            raise ValueError(
                f"`{argument}` must be text of 1 to {_LONGEST} characters without \\; "
                f"received {text!r}"
            )
