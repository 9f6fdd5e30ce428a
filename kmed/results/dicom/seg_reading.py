"""Reads DICOM Segmentations, kmed's and others', on their own grid or on that of a series."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from pydicom.dataset import Dataset

from kmed.data.dicom.attributes import filled, shortened, whole
from kmed.data.dicom.errors import Damaged, DicomError, NotDicom, SlicesDuplicated
from kmed.data.dicom.files import Source
from kmed.data.dicom.header import read_dataset
from kmed.data.dicom.pixels import stored_values
from kmed.data.dicom.series import Series
from kmed.results.dicom.codes import Code
from kmed.results.dicom.frame_places import Place, own_grid, places_in

_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
_LABELMAP = "1.2.840.10008.5.1.4.1.1.66.7"


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One segment as its file describes it.

    Attributes:
        number: Segment Number.
        label: Segment Label.
        category: Segmented Property Category.
        type: Segmented Property Type.
        laterality: first modifier of the type or of the region; None without.
        region: first Anatomic Region; None without.
        algorithm: Segment Algorithm Name, "" without.
    """

    number: int
    label: str
    category: Code | None
    type: Code | None
    laterality: Code | None = None
    region: Code | None = None
    algorithm: str = ""


@dataclass(frozen=True, kw_only=True)
class Segments:
    """A segmentation; its frames are decoded when they are asked for.

    Attributes:
        name: the file.
        kind: "binary", "fractional" or "labelmap".
        segments: as the file lists them; one of them may be empty.
        shape: voxels `(D, H, W)`.
        spacing_mm: voxel size (d, h, w).
        affine: `(4, 4)` array index (d, h, w, 1) to LPS mm.
        frame_of_reference_uid: "" where absent.
        series_uids: Series Instance UIDs of the images it refers to.
    """

    name: str
    kind: str
    segments: tuple[Segment, ...]
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    affine: np.ndarray
    frame_of_reference_uid: str
    series_uids: tuple[str, ...]
    _dataset: Dataset = field(repr=False)
    _numbers: tuple[int | None, ...] = field(repr=False)
    _places: tuple[Place, ...] = field(repr=False)

    def mask(self, number: int) -> np.ndarray:
        """Gives the voxels of one segment, which may overlap others.

        Args:
            number: Segment Number.

        Returns:
            `(D, H, W)`: bool, or of a fractional segmentation float32 from 0 to 1.

        Raises:
            ValueError: no such segment.
            DicomError: pixels that can't be decoded.
        """
        if number not in (numbers := [segment.number for segment in self.segments]):
            raise ValueError(f"{self.name}: no segment {number}; there are {numbers}")
        mask = np.zeros(self.shape, np.float32 if self.kind == "fractional" else bool)
        for index, place in enumerate(self._places):
            if self._numbers[index] in (number, None):
                place.of(mask)[...] = self._values(index, number)
        return mask

    def labels(self) -> np.ndarray:
        """Gives all segments as one label map.

        Returns:
            `(D, H, W)` Segment Numbers, 0 where there is no segment; uint8, or uint16 where a
            number is above 255.

        Raises:
            DicomError: segments that overlap; a fractional segmentation.
        """
        if self.kind == "fractional":
            raise DicomError(
                f"{self.name}: a fractional segmentation has no label map; take mask(number) of a "
                "segment and choose a threshold",
                files=[self.name],
            )
        listed = [segment.number for segment in self.segments]
        most = max(listed, default=0)
        labels = np.zeros(self.shape, np.uint8 if most <= 255 else np.uint16)
        for index, place in enumerate(self._places):
            number, view = self._numbers[index], place.of(labels)
            if number is None:
                stored = self._stored(index)
                view[...] = np.where(np.isin(stored, listed), stored, 0)
                continue
            inside = self._values(index, number)
            shared = inside & (view != 0) & (view != number)
            if shared.any():
                other = int(view[shared][0])
                raise DicomError(
                    f"{self.name}: segments {other} and {number} overlap, in {shared.sum()} voxels "
                    "of one slice and perhaps in others, so there is no one label map; take "
                    "mask(number) of each",
                    files=[self.name],
                    figures={"segments": (other, number), "voxels": int(shared.sum())},
                )
            view[inside] = number
        return labels

    def _stored(self, index: int) -> np.ndarray:
        return stored_values(self._dataset, frames=[index])[0]

    def _values(self, index: int, number: int) -> np.ndarray:
        stored = self._stored(index)
        if self.kind == "labelmap":
            return stored == number
        if self.kind == "binary":
            return stored != 0
        most = whole(self._dataset, "MaximumFractionalValue") or 0
        if most < 1 or stored.max() > most:
            raise Damaged(
                f"{self.name}: frame {index + 1} has the value {stored.max()}, its Maximum "
                f"Fractional Value is {most}",
                files=[self.name],
            )
        return stored.astype(np.float32) / np.float32(most)


def read_seg(path: str | os.PathLike | Source, series: Series | None = None) -> Segments:
    """Reads a DICOM Segmentation.

    With a series its frames are laid on the planes of the series by position, orientation and
    spacing, whatever the order of the frames; nothing is interpolated. Without one, its grid goes
    from its first to its last frame, in kmed's orientation.

    Reference: DICOM PS3.3, A.51 (Segmentation IOD), C.8.20 (Segmentation).

    Args:
        path: the file.
        series: the volume on whose array the segments are wanted.

    Returns:
        The segments.

    Raises:
        DicomError: no segmentation; damaged; of another frame of reference or grid than the
            series; frames that lie on no regular grid.
    """
    ds = read_dataset(path, pixels=True)
    name = path.name if isinstance(path, Source) else str(path)
    if str(filled(ds, "SOPClassUID")) not in (_SEGMENTATION, _LABELMAP):
        raise NotDicom(
            f"{name}: no DICOM Segmentation but {shortened(ds, 'Modality')}", files=[name]
        )
    kind = str(filled(ds, "SegmentationType")).lower()
    if kind not in ("binary", "fractional", "labelmap"):
        raise Damaged(f"{name}: Segmentation Type {kind[:16]!r} is unknown", files=[name])
    try:
        segments = tuple(map(_segment, ds.SegmentSequence))
        numbers = tuple(_segment_numbers(ds, kind))
        sources = [str(item.SeriesInstanceUID) for item in ds.get("ReferencedSeriesSequence", ())]
    except Exception as error:
        # pydicom's errors of values differ from one VR to the next.
        raise Damaged(
            f"{name}: its segments can't be read ({error}); the file is damaged", files=[name]
        ) from error
    if kind == "labelmap":
        background = whole(ds, "PixelPaddingValue") or 0
        segments = tuple(s for s in segments if s.number not in (0, background))
    unknown = {n for n in numbers if n is not None} - {segment.number for segment in segments}
    if unknown:
        raise Damaged(f"{name}: frames of segments {sorted(unknown)}, not listed", files=[name])
    reference = str(filled(ds, "FrameOfReferenceUID") or "")
    grid = own_grid(ds, name) if series is None else None
    if series is not None:
        if reference and series.frame_of_reference_uid not in ("", reference):
            raise DicomError(
                f"{name}: another frame of reference than the series, so that their positions "
                "can't be compared; give the series that was segmented",
                files=[name],
            )
        places = places_in(ds, name, series)
    else:
        places = grid.places
    _require_once(name, numbers, places)
    return Segments(
        name=name,
        kind=kind,
        segments=segments,
        shape=tuple(series.array.shape) if series is not None else grid.shape,
        spacing_mm=tuple(series.spacing_mm) if series is not None else grid.spacing_mm,
        affine=np.array(series.affine) if series is not None else grid.affine,
        frame_of_reference_uid=reference,
        series_uids=tuple(sources),
        _dataset=ds,
        _numbers=numbers,
        _places=places,
    )


def _require_once(name: str, numbers: tuple[int | None, ...], places: tuple[Place, ...]) -> None:
    seen = {}
    for index, key in enumerate(zip(numbers, (place.plane for place in places), strict=True)):
        if key in seen:
            raise SlicesDuplicated(
                f"{name}: frames {seen[key] + 1} and {index + 1} are of one segment and one plane",
                files=[name],
                figures={"frames": (seen[key] + 1, index + 1)},
            )
        seen[key] = index


def _segment_numbers(ds: Dataset, kind: str) -> Iterator[int | None]:
    """Segment Number of each frame; None of a label map's, which hold all segments."""
    shared = (ds.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    for item in ds.PerFrameFunctionalGroupsSequence:
        if kind == "labelmap":
            yield None
            continue
        holder = item if "SegmentIdentificationSequence" in item else shared
        yield int(holder.SegmentIdentificationSequence[0].ReferencedSegmentNumber)


def _segment(item: Dataset) -> Segment:
    first = partial(_code, item)
    types = item.get("SegmentedPropertyTypeCodeSequence") or [Dataset()]
    regions = item.get("AnatomicRegionSequence") or [Dataset()]
    return Segment(
        number=int(item.SegmentNumber),
        label=str(item.get("SegmentLabel") or ""),
        category=first("SegmentedPropertyCategoryCodeSequence"),
        type=first("SegmentedPropertyTypeCodeSequence"),
        laterality=_code(types[0], "SegmentedPropertyTypeModifierCodeSequence")
        or _code(regions[0], "AnatomicRegionModifierSequence"),
        region=first("AnatomicRegionSequence"),
        algorithm=str(item.get("SegmentAlgorithmName") or ""),
    )


def _code(holder: Dataset, keyword: str) -> Code | None:
    items = holder.get(keyword)
    if not items:
        return None
    value = items[0].get("CodeValue") or items[0].get("LongCodeValue") or ""
    scheme, meaning = items[0].get("CodingSchemeDesignator"), items[0].get("CodeMeaning")
    return Code(str(value), str(scheme or ""), str(meaning or ""))
