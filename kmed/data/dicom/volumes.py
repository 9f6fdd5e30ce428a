"""Files to studies, series and volumes: what belongs together, in order, and what does not."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kmed.data.dicom.errors import DicomError, NoGeometry, UnsupportedPixels
from kmed.data.dicom.files import LeftOut, Source, dicom_files
from kmed.data.dicom.frames import Frame
from kmed.data.dicom.geometry import stack
from kmed.data.dicom.header import Header, read_header, read_headers
from kmed.data.dicom.remarks import remarks
from kmed.data.dicom.splitting import Part, parts_of

_FARTHEST_MM = 1e6  # no part of a patient is a kilometre away: a damaged header
_PIXEL_MM = (1e-7, 1e5)


@dataclass(frozen=True, kw_only=True, eq=False)
class Volume:
    """Slices of one series that lie in one stack.

    Attributes:
        headers: of each slice that of its file.
        frames: the slices, sorted along their normal.
        shape: (slices, rows, columns).
        affine: `(4, 4)` index (slice, row, column, 1) to LPS mm; None where there is no grid.
        spacing_mm: of the same axes; None where there is no grid.
        split_by: by which attributes of which value these slices are told from others of the
            series; empty where the series is one volume.
        problem: why the volume can't be read as it is; None if it can.
        problems: what else to know.
    """

    headers: tuple[Header, ...]
    frames: tuple[Frame, ...]
    shape: tuple[int, int, int]
    affine: np.ndarray | None = None
    spacing_mm: tuple[float, float, float] | None = None
    split_by: dict[str, Any] = field(default_factory=dict)
    problem: DicomError | None = None
    problems: tuple[str, ...] = ()

    @property
    def placeless(self) -> bool:
        """Whether these are images that no decision makes a volume of."""
        unplaced = any(frame.problem or _wild(frame) for frame in self.frames)
        return unplaced or isinstance(self.problem, UnsupportedPixels)


@dataclass(frozen=True, kw_only=True, eq=False)
class SeriesInfo:
    """What one Series Instance UID holds.

    Attributes:
        series_uid: Series Instance UID.
        study_uid: Study Instance UID.
        patient: Patient ID, "" where absent.
        modality: "CT", "MR" ...
        volumes: one, or several that are split.
        left_out: localizers and other images that are no part of a volume.
    """

    series_uid: str
    study_uid: str
    patient: str
    modality: str
    volumes: tuple[Volume, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Study:
    """The series of one Study Instance UID.

    Attributes:
        study_uid: Study Instance UID.
        patient: Patient ID of its first series.
        series: in the order of their files.
    """

    study_uid: str
    patient: str
    series: tuple[SeriesInfo, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Archive:
    """What a folder holds.

    Attributes:
        studies: in the order of their files.
        left_out: files that are no DICOM images, or broken, and why.
    """

    studies: tuple[Study, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def series(self) -> tuple[SeriesInfo, ...]:
        """The series of all studies."""
        return tuple(series for study in self.studies for series in study.series)


def volumes_of(
    source: str | os.PathLike | Source | Iterable[str | os.PathLike | Source],
    *,
    strict: bool = False,
    tolerate_mm: float | None = None,
    workers: int | None = None,
) -> Archive:
    """Finds the studies, series and volumes of DICOM files; reads headers only.

    A series is split where its slices differ in patient, modality, orientation, size, pixel
    spacing or frame of reference, and where several lie at one place, by what tells these apart:
    echo, time point, b-value, acquisition and others, at last by the order of their numbers.
    Within a volume the slices are sorted by their positions along the normal.

    Reference: DICOM PS3.3, C.7.6.2 (Image Plane), C.7.6.16 (Multi-frame Functional Groups).

    Args:
        source: a folder (with its subfolders), a file, a zip archive, a DICOMDIR, or several.
        strict: raise at the first file that is broken or no DICOM, instead of leaving it out.
        tolerate_mm: how far a slice may lie off the regular grid; None: 5 % of the step,
            or the 0.1 mm to which headers round, but a quarter of the step at the most.
        workers: number of processes that read headers; None: this one alone.

    Returns:
        The archive. What is wrong with one volume is in its `problem`.

    Raises:
        DicomError: `source` does not exist; with `strict` a file that can't be read.
    """
    found = dicom_files(source, strict=strict)
    if strict:
        headers, left_out = [read_header(one) for one in found.files], []
    else:
        headers, left_out = read_headers(found.files, workers=workers)
    left_out = [*found.left_out, *left_out]
    return archive_of(headers, left_out, tolerate_mm=tolerate_mm)


def archive_of(
    headers: Iterable[Header],
    left_out: Iterable[LeftOut] = (),
    *,
    tolerate_mm: float | None = None,
) -> Archive:
    """Groups headers to studies, series and volumes.

    Args:
        headers: from `read_header`.
        left_out: files that could not be read.
        tolerate_mm: as of `volumes_of`.

    Returns:
        The archive; objects that are no images are among `left_out`.
    """
    left_out = list(left_out)
    studies: dict[str, dict[str, list[Header]]] = {}
    for header in headers:
        if not header.is_image:
            left_out.append(LeftOut(header.source.name, "no image: report, segmentation or plan"))
            continue
        study = studies.setdefault(header.study_uid, {})
        study.setdefault(header.series_uid, []).append(header)
    return Archive(
        studies=tuple(
            Study(
                study_uid=uid,
                patient=next(iter(series.values()))[0].patient,
                series=tuple(_series(group, tolerate_mm) for group in series.values()),
            )
            for uid, series in studies.items()
        ),
        left_out=tuple(left_out),
    )


def _series(headers: Sequence[Header], tolerate_mm: float | None) -> SeriesInfo:
    left_out, slices, placeless = [], [], {}
    for header in headers:
        if "LOCALIZER" in header.image_type:
            left_out.append(
                LeftOut(header.source.name, "a localizer (scout) is no slice of a volume")
            )
            continue
        colour = header.samples != 1 or header.photometric != "MONOCHROME2"
        if colour:
            problem = UnsupportedPixels(
                f"{header.source.name}: only MONOCHROME2 with one sample per pixel is supported "
                f"in volumes; received {header.photometric[:20]!r} with {header.samples}",
                files=[header.source.name],
            )
            placeless.setdefault((header.rows, header.columns), []).append(
                (header, header.frames, problem)
            )
            continue
        for frame in header.frames:
            why = frame.problem or _wild(frame)
            if why is None:
                slices.append((header, frame))
            else:
                problem = NoGeometry(f"{header.source.name}: {why}", files=[header.source.name])
                placeless.setdefault((header.rows, header.columns), []).append(
                    (header, (frame,), problem)
                )
    scouts = len(left_out)
    problems = (f"{scouts} localizer{'s' if scouts > 1 else ''} left out",) if scouts else ()
    parts = parts_of(slices) if slices else []
    volumes = [
        _volume(part, tolerate_mm, (*problems, *said))
        for part, said in zip(parts, remarks(parts), strict=True)
    ]
    volumes += [_pictures(group) for group in placeless.values()]
    first = headers[0]
    return SeriesInfo(
        series_uid=first.series_uid,
        study_uid=first.study_uid,
        patient=first.patient,
        modality=first.modality,
        volumes=tuple(volumes),
        left_out=tuple(left_out),
    )


def _wild(frame: Frame) -> str | None:
    """Why numbers that are finite can't be right."""
    if max(map(abs, frame.position_mm)) > _FARTHEST_MM:
        return f"ImagePositionPatient {list(frame.position_mm)} is beyond {_FARTHEST_MM:.0e} mm"
    least, most = _PIXEL_MM
    if not all(least <= one <= most for one in frame.spacing_mm):
        return f"PixelSpacing {list(frame.spacing_mm)} is beyond {least:.0e} to {most:.0e} mm"
    return None


def _volume(part: Part, tolerate_mm: float | None, problems: tuple[str, ...]) -> Volume:
    headers = [header for header, _ in part.slices]
    frames = [frame for _, frame in part.slices]
    found = stack(
        frames,
        [header.source.name for header in headers],
        tolerate_mm=tolerate_mm,
        instances=[header.instance_uid for header in headers],
    )
    rows, columns = shape_of(headers[0], frames[0])
    return Volume(
        headers=tuple(headers[index] for index in found.order),
        frames=tuple(frames[index] for index in found.order),
        shape=(len(frames), rows, columns),
        affine=found.affine,
        spacing_mm=found.spacing_mm,
        split_by=part.split_by,
        problem=found.problem,
        problems=problems,
    )


def _pictures(group) -> Volume:
    """Images that no volume can hold, with the reason for the first of them."""
    pairs = [(header, frame) for header, frames, _ in group for frame in frames]
    header = pairs[0][0]
    return Volume(
        headers=tuple(one for one, _ in pairs),
        frames=tuple(frame for _, frame in pairs),
        shape=(len(pairs), header.rows, header.columns),
        problem=group[0][2],
    )


def shape_of(header: Header, frame: Frame) -> tuple[int, int]:
    """Rows and columns of a frame: of a mosaic those of its tile."""
    return (header.rows, header.columns) if frame.tile is None else frame.tile[2:]
