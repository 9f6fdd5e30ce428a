"""Rows of images with their sentences, from a table or from JSON lines."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from kmed.data.label_rows import SUFFIXES as TABLES
from kmed.data.label_rows import Row, column_named, read_rows, require_columns
from kmed.data.sample import DataError

SUFFIXES = (*TABLES, ".jsonl")

# The names, from the best, by which a column is found; letters and digits alone count.
_IMAGE = (
    *("image", "imagepath", "imagefile", "imagename", "imageid", "filename", "filepath", "file"),
    *("path", "img", "imgpath", "picture", "dicomid", "sopinstanceuid", "seriesinstanceuid"),
)
_TEXT = (
    *("caption", "captions", "text", "sentence", "report", "impression", "findings", "finding"),
    "description",
)
_LABEL = ("label", "class", "classname")
_PATIENT = (
    *("patient", "patientid", "subject", "subjectid", "participant", "participantid", "case"),
    "caseid",
)
_SPLIT = ("split", "partition", "subset")


class Columns(NamedTuple):
    """What the columns hold.

    Attributes:
        image: column of the images' names.
        text: column of the sentences.
        label: column of the classes, or None.
        patient: column of the patients, or None.
        split: column of the parts of the split, or None.
    """

    image: str
    text: str
    label: str | None
    patient: str | None
    split: str | None


def caption_rows(path: str | os.PathLike) -> tuple[tuple[str, ...], list[Row]]:
    """Reads a table (.csv, .tsv) or JSON lines (.jsonl).

    Reference: https://jsonlines.org: one JSON value a line, UTF-8.

    Args:
        path: the file.

    Returns:
        The names of the columns, and the rows; of JSON lines the texts and numbers alone, without
        blanks at their ends, where a missing value is empty.

    Raises:
        DataError: naming file and line, if a line cannot be read.
    """
    path = Path(path)
    if path.suffix.lower() in TABLES:
        return read_rows(path)
    rows = []
    try:
        with open(path, encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    rows.append(Row(where := f"{path}, line {number}", _cells(line, where)))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text ({error})") from error
    if not rows:
        raise DataError(f"{path}: has no lines")
    columns = tuple(dict.fromkeys(name for row in rows for name in row.cells))
    return columns, [Row(row.where, {n: row.cells.get(n, "") for n in columns}) for row in rows]


def caption_columns(
    path: str | os.PathLike,
    columns: Sequence[str],
    *,
    image: str | None = None,
    text: str | None = None,
    label: str | None = None,
    patient: str | None = None,
) -> Columns:
    """Finds the columns of images, sentences, labels and patients by their names.

    Args:
        path: the file, for error messages.
        columns: its columns.
        image: the column of images; None: called image, file, path or the like.
        text: the column of sentences; None: called caption, text, report or the like.
        label: the column of classes; None: called label or class, if there is one.
        patient: the column of patients; None: called patient, subject, case or the like, if any.

    Returns:
        The columns.

    Raises:
        DataError: naming the columns that there are, if one is missing.

    Example:
        >>> caption_columns("a.csv", ["Path", "Report", "case"])
        Columns(image='Path', text='Report', label=None, patient='case', split=None)
    """
    require_columns(path, columns, image, text, label, patient)
    free = [name for name in columns if name not in (image, text, label, patient)]
    image = image or column_named(free, _IMAGE)
    text = text or column_named([name for name in free if name != image], _TEXT)
    for name, found, called in (("image", image, "image, file"), ("text", text, "caption, report")):
        if found is None:
            raise DataError(
                f"{path}: no column is called {called} or the like; say which holds the "
                f"{'images' if name == 'image' else 'sentences'} with {name}=, one of "
                f"{', '.join(columns)}"
            )
    free = [name for name in free if name not in (image, text)]
    return Columns(
        image=image,
        text=text,
        label=label or column_named(free, _LABEL),
        patient=patient or column_named(free, _PATIENT),
        split=column_named(free, _SPLIT),
    )


def _cells(line: str, where: str) -> dict[str, str]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: cannot be read as JSON ({error})") from error
    if not isinstance(value, dict):
        raise DataError(f"{where}: expected an object with image and text; received {line[:40]!r}")
    return {
        name: str(cell).strip()
        for name, cell in value.items()
        if isinstance(cell, (str, int, float)) and not isinstance(cell, bool)
    }
