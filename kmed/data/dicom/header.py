"""The header of a DICOM file: what grouping, geometry and an archive's index need of it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import UID

from kmed.data.dicom.errors import Damaged, DicomError
from kmed.data.dicom.files import LeftOut, Source
from kmed.data.dicom.frames import Frame, frames_of
from kmed.data.dicom.hushed import hushed
from kmed.data.dicom.parsing import Parsed, parsed
from kmed.data.dicom.raw_values import integer, number, tag_of, text, words

_DIRECTORY = "1.2.840.10008.1.3.10"

_SOP_CLASS = tag_of(0x00080016)
_INSTANCE = tag_of(0x00080018)
_STUDY = tag_of(0x0020000D)
_SERIES = tag_of(0x0020000E)
_FRAME_OF_REFERENCE = tag_of(0x00200052)
_PATIENT = tag_of(0x00100020)
_MODALITY = tag_of(0x00080060)
_IMAGE_TYPE = tag_of(0x00080008)
_ROWS, _COLUMNS = tag_of(0x00280010), tag_of(0x00280011)
_SAMPLES, _PHOTOMETRIC = tag_of(0x00280002), tag_of(0x00280004)
_BITS_STORED = tag_of(0x00280101)
_NUMBER_OF_FRAMES = tag_of(0x00280008)
_SERIES_NUMBER, _INSTANCE_NUMBER = tag_of(0x00200011), tag_of(0x00200013)
_ACQUISITION_NUMBER, _DESCRIPTION = tag_of(0x00200012), tag_of(0x0008103E)
_CHARACTER_SET = tag_of(0x00080005)
_MEDIA_CLASS = tag_of(0x00020002)


@dataclass(frozen=True, kw_only=True)
class Header:
    """What geometry, grouping and an index need of one file.

    Attributes:
        source: the file.
        sop_class_uid: SOP Class UID.
        instance_uid: SOP Instance UID.
        series_uid: Series Instance UID.
        study_uid: Study Instance UID.
        frame_of_reference_uid: "" where absent.
        patient: Patient ID, "" where absent.
        modality: "CT", "MR" ...
        image_type: values of Image Type.
        transfer_syntax: Transfer Syntax UID, "" where unknown.
        rows: 0 where the object is no image.
        columns: 0 where the object is no image.
        samples: Samples per Pixel.
        photometric: Photometric Interpretation.
        bits_stored: Bits Stored, 0 where absent.
        number_of_frames: 1 where absent.
        series_number: None where absent.
        instance_number: None where absent.
        acquisition_number: None where absent.
        description: Series Description, for the user's own screen only.
        is_image: whether it is an image and has pixel data: no report, segmentation or plan.
        frames: of an image where each frame lies.
    """

    source: Source
    sop_class_uid: str
    instance_uid: str
    series_uid: str
    study_uid: str
    frame_of_reference_uid: str
    patient: str
    modality: str
    image_type: tuple[str, ...]
    transfer_syntax: str
    rows: int
    columns: int
    samples: int
    photometric: str
    bits_stored: int
    number_of_frames: int
    series_number: int | None
    instance_number: int | None
    acquisition_number: int | None
    description: str
    is_image: bool
    frames: tuple[Frame, ...] = ()


def read_dataset(
    source: Source | str | os.PathLike, *, pixels: bool = False, max_bytes: int | None = None
) -> FileDataset:
    """Reads a DICOM file whose lengths have been checked against the file first.

    Args:
        source: the file.
        pixels: whether to read the pixel data too; they are not decoded.
        max_bytes: what may be read; None: 256 MiB before the pixel data, or 4 GiB with them.

    Returns:
        The data set, with file meta; without a stated transfer syntax, where it is plain, with the
        one that was found.

    Raises:
        NotDicom: no DICOM file, or none that can be opened.
        Damaged: cut off, or it contradicts itself.
        TooLarge: more bytes, elements or nesting than allowed.
    """
    with hushed():
        return _parsed(_source(source), pixels, max_bytes).dataset


def read_header(source: Source | str | os.PathLike) -> Header:
    """Reads the header of one DICOM file; its pixels are not read.

    Args:
        source: the file.

    Returns:
        The header.

    Raises:
        DicomError: as `read_dataset`; also an image that lacks its UIDs, its size or its pixels.
    """
    source = _source(source)
    with hushed():
        return _header(_parsed(source, False, None), source)


def read_headers(
    sources: Iterable[Source | str | os.PathLike], *, workers: int | None = None
) -> tuple[list[Header], list[LeftOut]]:
    """Reads many headers and leaves out what is no DICOM.

    Args:
        sources: the files.
        workers: number of processes; None: none beside this one. A program that asks for them
            needs the guard `if __name__ == "__main__":`, as always with `multiprocessing`.

    Returns:
        The headers in the order of the files, and the files left out with the reason.
    """
    sources = [_source(source) for source in sources]
    if workers is None or workers < 2 or len(sources) < 2:
        with hushed():  # once for all of them: it takes its time
            read = list(map(_attempted, sources))
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            read = list(pool.map(_attempted, sources, chunksize=32))
    headers = [each for each in read if isinstance(each, Header)]
    return headers, [each for each in read if isinstance(each, LeftOut)]


def _attempted(source: Source) -> Header | LeftOut:
    try:
        return read_header(source)
    except DicomError as error:
        return LeftOut(source.name, str(error).removeprefix(f"{source.name}: "))


def _source(source: Source | str | os.PathLike) -> Source:
    return source if isinstance(source, Source) else Source(Path(source))


def _parsed(source: Source, pixels: bool, max_bytes: int | None) -> Parsed:
    with source.open() as stream:
        try:
            size = os.fstat(stream.fileno()).st_size if source.member is None else source.size
            return parsed(stream, size, source.name, pixels=pixels, max_bytes=max_bytes)
        except OSError as error:
            raise Damaged(
                f"{source.name}: can't be read ({error.strerror or type(error).__name__})",
                files=[source.name],
            ) from error


def _header(read: Parsed, source: Source) -> Header:
    ds, name = read.content, source.name
    sop_class = text(ds, _SOP_CLASS) or text(read.meta, _MEDIA_CLASS)
    modality = text(ds, _MODALITY)
    rows, columns = number(ds, _ROWS, name), number(ds, _COLUMNS, name)
    uids = [text(ds, tag) for tag in (_INSTANCE, _SERIES, _STUDY)]
    needed = ("SOP Class UID", "SOP Instance UID", "Series Instance UID", "Study Instance UID")
    missing = [what for what, uid in zip(needed, (sop_class, *uids), strict=True) if not uid]
    if missing and sop_class != _DIRECTORY:
        raise Damaged(
            f"{name}: damaged or cut off, it lacks {', '.join(missing)}", files=[source.name]
        )
    stored = _image_class(sop_class)
    is_image = modality != "SEG" and (stored or (stored is None and bool(rows and columns)))
    if is_image and not (rows and columns):
        raise Damaged(
            f"{name}: damaged or cut off, an image without rows or columns",
            files=[name],
            figures={"rows": rows, "columns": columns},
        )
    header = {
        "source": source,
        "sop_class_uid": sop_class,
        "instance_uid": uids[0],
        "series_uid": uids[1],
        "study_uid": uids[2],
        "frame_of_reference_uid": text(ds, _FRAME_OF_REFERENCE),
        "patient": words(ds, _PATIENT),
        "modality": modality,
        "image_type": tuple(v.strip() for v in text(ds, _IMAGE_TYPE).split("\\") if v.strip()),
        "transfer_syntax": read.syntax,
        "rows": rows,
        "columns": columns,
        "samples": number(ds, _SAMPLES, name) or 1,
        "photometric": text(ds, _PHOTOMETRIC),
        "bits_stored": number(ds, _BITS_STORED, name),
        "number_of_frames": _frame_count(ds, name),
        "series_number": integer(ds, _SERIES_NUMBER),
        "instance_number": integer(ds, _INSTANCE_NUMBER),
        "acquisition_number": integer(ds, _ACQUISITION_NUMBER),
        "description": words(ds, _DESCRIPTION),
        "is_image": is_image,
    }
    if not is_image:
        return Header(**header)
    _require_pixels(read, header, name)
    frames = _frames(ds, name)
    if len(frames) != header["number_of_frames"] and not frames[0].tile:
        raise Damaged(
            f"{name}: declares {header['number_of_frames']} frames and describes {len(frames)}; "
            "the file is damaged, copy it again",
            files=[name],
        )
    return Header(**header, frames=frames)


def _frames(ds: Dataset, name: str) -> tuple[Frame, ...]:
    try:
        return frames_of(ds)
    except DicomError as error:
        message = f"{name}: {error}"
        raise type(error)(message, files=[name], figures=error.figures) from error
    except Exception as error:
        # pydicom's errors of values differ from one VR to the next.
        raise Damaged(
            f"{name}: its frames can't be placed ({type(error).__name__}); its header is damaged",
            files=[name],
        ) from error


def _require_pixels(read: Parsed, header: dict, name: str) -> None:
    """Refuses more frames than bytes, before any list of frames is made."""
    frames = header["number_of_frames"]
    if not read.pixels:
        raise Damaged(f"{name}: cut off, an image without pixel data", files=[name])
    there = read.left if read.pixel_length is None else read.pixel_length
    if frames > 1 and frames > 8 * there:  # a frame has a pixel of one bit at the least
        raise Damaged(
            f"{name}: declares {frames} frames, its pixel data have {there} bytes; it is cut off "
            "or damaged: copy it again",
            files=[name],
            figures={"frames": frames, "bytes": there},
        )


@lru_cache(maxsize=256)
def _image_class(uid: str) -> bool | None:
    """Whether objects of a SOP class are images; None for a class that is not the standard's."""
    name = UID(uid).name
    return None if name == uid else "Image Storage" in name


def _frame_count(ds: Dataset, name: str) -> int:
    count = 1 if text(ds, _NUMBER_OF_FRAMES) in ("", "0") else integer(ds, _NUMBER_OF_FRAMES)
    if count is None or count < 1:
        raise Damaged(f"{name}: NumberOfFrames must be a positive number", files=[name])
    return count
