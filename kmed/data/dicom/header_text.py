"""Headers as compact text for an index, without names, dates and descriptions."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from functools import lru_cache
from typing import Any, NamedTuple

from pydicom.datadict import dictionary_VR

from kmed.data.dicom.deidentification.pseudonyms import Key
from kmed.data.dicom.errors import DicomError
from kmed.data.dicom.files import Source
from kmed.data.dicom.frames import Frame
from kmed.data.dicom.header import Header, read_header
from kmed.data.dicom.hushed import hushed

# What differs from file to file; the rest is alike in most files of a series and is stored once.
_OWN = ("instance_uid", "instance_number")
_SHARED = tuple(
    field.name
    for field in fields(Header)
    if field.name not in ("source", "frames", "description", *_OWN)
)
_FRAME = tuple(field.name for field in fields(Frame))
_PATIENT = _SHARED.index("patient")
_POSITION = _FRAME.index("position_mm")
# Words of a scanner; other words that tell volumes apart may be dates, names or anything.
_TECHNICAL = frozenset(("ConvolutionKernel", "FilterType", "StackID", "ImageType", "FrameType"))

NO_IMAGE = "no image: report, segmentation or plan"

#: What the text depends on: an index of other fields can't be read.
LAYOUT = ",".join((*_OWN, *_SHARED, *_FRAME))


class HeaderText(NamedTuple):
    """A header as text.

    Attributes:
        own: what is the file's alone.
        shared: what it has in common with other files.
    """

    own: str
    shared: str


def header_text(
    header: Header, hidden: Callable[[str], str], *, identifiers: bool = True
) -> HeaderText:
    """Writes a header as text.

    Series Description is left out. Words that tell frames apart are hidden, unless they are coded
    or technical: a dimension may be a date or anything else.

    Args:
        header: from `read_header`.
        hidden: from a word to what stands for it.
        identifiers: whether the Patient ID stays as it is; else it is hidden, too.

    Returns:
        The text; `header_of` reads it.
    """
    own = [getattr(header, name) for name in _OWN]
    frames = [[getattr(frame, name) for name in _FRAME] for frame in header.frames]
    keys = _FRAME.index("keys")
    for frame in frames:
        frame[keys] = [(name, _harmless(name, value, hidden)) for name, value in frame[keys]]
    if len(frames) == 1:
        own.append(frames[0][_POSITION])
        frames[0][_POSITION] = None
    shared = [getattr(header, name) for name in _SHARED]
    if header.patient and not identifiers:
        shared[_PATIENT] = hidden(header.patient)
    return HeaderText(_json(own), _json([shared, frames]))


def header_of(text: HeaderText, source: Source) -> Header:
    """Reads what `header_text` wrote.

    Args:
        text: the header's two parts.
        source: the file.

    Returns:
        The header, without description.
    """
    own = json.loads(text.own)
    shared, frames = _shared(text.shared)
    if len(frames) == 1:
        frame = dict(zip(_FRAME, frames[0], strict=True))
        frame["position_mm"] = _tuples(own.pop())
        made = (Frame(**frame),)
    else:
        made = tuple(Frame(**dict(zip(_FRAME, frame, strict=True))) for frame in frames)
    return Header(
        source=source,
        description="",
        frames=made,
        **dict(zip(_OWN, own, strict=True)),
        **dict(zip(_SHARED, shared, strict=True)),
    )


@lru_cache(maxsize=64)
def _shared(text: str) -> tuple:
    return _tuples(json.loads(text))


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _harmless(name: str, value: Any, hidden: Callable[[str], str]) -> Any:
    if isinstance(value, tuple):
        return tuple(_harmless(name, one, hidden) for one in value)
    if not isinstance(value, str) or name in _TECHNICAL or _coded(name):
        return value
    return hidden(value)


@lru_cache(maxsize=256)
def _coded(keyword: str) -> bool:
    try:
        return dictionary_VR(keyword) in ("CS", "UI")
    except (KeyError, ValueError):
        return False


class Reading(NamedTuple):
    """Files whose headers are to be read, and how patients are written.

    Attributes:
        sources: the files.
        key: of the pseudonyms that stand for patients and words.
        identifiers: whether Patient IDs stay as they are.
    """

    sources: tuple[Source, ...]
    key: Key
    identifiers: bool


class Row(NamedTuple):
    """A file's header as text, or why there is none.

    Attributes:
        study_uid: Study Instance UID.
        series_uid: Series Instance UID.
        text: the header; None for what is no image.
        reason: why it is left out; None for images.
    """

    study_uid: str
    series_uid: str
    text: HeaderText | None
    reason: str | None


def read_rows(reading: Reading) -> list[Row]:
    """Reads headers as text; one row a file, in their order."""
    with hushed():  # once: it takes its time
        return [_row(source, reading) for source in reading.sources]


def _row(source: Source, reading: Reading) -> Row:
    key = reading.key
    try:
        header = read_header(source)
    except DicomError as error:
        reason = str(error).removeprefix(f"{source.name}: ")
        return Row("", "", None, reason.encode(errors="replace").decode())
    if not header.is_image:
        return Row("", "", None, NO_IMAGE)
    text = header_text(header, key.patient, identifiers=reading.identifiers)
    return Row(header.study_uid, header.series_uid, text, None)
