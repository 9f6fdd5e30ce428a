"""The headers of DICOM files: which images there are, which series they form, where they lie."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kmed.data.dicom.files import dicom_files
from kmed.data.dicom.header import Header, read_header
from kmed.data.sample import DataError


@dataclass(frozen=True, kw_only=True)
class SliceHeader:
    """What the geometry of a series needs of one file.

    Attributes:
        path: the file.
        instance_uid: SOP Instance UID.
        series_uid: Series Instance UID.
        study_uid: Study Instance UID.
        frame_of_reference_uid: "" where absent.
        patient: Patient ID, "" where absent.
        modality: "CT", "MR" ...
        shape: (rows, columns).
        spacing_mm: (between rows, between columns).
        orientation: direction of a row, then of a column, in LPS.
        position_mm: centre of the first pixel in LPS.
        thickness_mm: Slice Thickness, or None.
        refusal: why the slice can't be part of a volume, or None.
        header: all that was read of the file.
    """

    path: Path
    instance_uid: str
    series_uid: str
    study_uid: str
    frame_of_reference_uid: str
    patient: str
    modality: str
    shape: tuple[int, int]
    spacing_mm: tuple[float, ...] = ()
    orientation: tuple[float, ...] = ()
    position_mm: tuple[float, ...] = ()
    thickness_mm: float | None = None
    refusal: str | None = None
    header: Header | None = None


def image_headers(source: str | os.PathLike | Iterable[str | os.PathLike]) -> list[SliceHeader]:
    """Reads the headers of all images in a folder and its subfolders, or of a list of files.

    Hidden files, DICOMDIR and files with the suffix of another format are passed over, and so are
    DICOM objects that are no images: reports, segmentations, structure sets.

    Args:
        source: a folder, a file, a DICOMDIR, or files.

    Returns:
        One header an image, in the order of the paths.

    Raises:
        DataError: no image, or a file that is not DICOM or cut off.
    """
    named = isinstance(source, (str, os.PathLike))
    sources = dicom_files(source, strict=True).files
    for each in sources:
        if each.member is not None:
            raise DataError(f"{each.path}: a zip archive; unpack it first")
    headers = [slice_header(header) for header in map(read_header, sources) if header.is_image]
    if not headers:
        where = source if named else f"the {len(sources)} files given"
        raise DataError(f"{where}: no DICOM images found; give the folder of a series")
    return headers


def by_series(headers: list[SliceHeader]) -> dict[str, list[SliceHeader]]:
    """Groups headers by Series Instance UID, in order of appearance."""
    groups: dict[str, list[SliceHeader]] = {}
    for header in headers:
        groups.setdefault(header.series_uid, []).append(header)
    return groups


def slice_header(header: Header) -> SliceHeader:
    """Gives of a file's header what the geometry of a plain slice needs.

    Args:
        header: of an image.

    Returns:
        The slice, with a `refusal` where it is none.
    """
    common = {
        "path": header.source.path,
        "instance_uid": header.instance_uid,
        "series_uid": header.series_uid,
        "study_uid": header.study_uid,
        "frame_of_reference_uid": header.frame_of_reference_uid,
        "patient": header.patient,
        "modality": header.modality,
        "shape": (header.rows, header.columns),
        "header": header,
    }
    refusal = _refusal(header)
    if refusal:
        return SliceHeader(**common, refusal=refusal)
    (frame,) = header.frames
    return SliceHeader(
        **common,
        spacing_mm=frame.spacing_mm,
        orientation=frame.orientation,
        position_mm=frame.position_mm,
        thickness_mm=frame.thickness_mm,
    )


def _refusal(header: Header) -> str | None:
    """Says why this image is not one plain slice of a volume."""
    if header.number_of_frames > 1:
        return "multi-frame images are not supported; convert them to one file per slice"
    if header.samples != 1 or header.photometric != "MONOCHROME2":
        return (
            "only MONOCHROME2 with one sample per pixel is supported; "
            f"received {header.photometric[:20]!r} with {header.samples}"
        )
    if "MOSAIC" in header.image_type or len(header.frames) != 1:
        return "a mosaic of many slices in one picture is not supported; convert it to slices"
    if "LOCALIZER" in header.image_type:
        return "a localizer (scout) is no slice of a volume; leave it out"
    return header.frames[0].problem
