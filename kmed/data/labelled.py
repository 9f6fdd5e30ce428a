"""Chooses the source of labelled images that reads a path, by looking at what lies there."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from kmed.data.class_folders import SUFFIXES, class_folders, images_below, named_by_path
from kmed.data.file_kinds import kind_of
from kmed.data.image_files import image_files
from kmed.data.label_kinds import (
    Labelled,
    checked_kind,
    checked_names,
    encoded,
    official_split,
    require_kind,
)
from kmed.data.label_rows import SUFFIXES as TABLES
from kmed.data.label_table import label_table
from kmed.data.npz import array_headers, npz
from kmed.data.pairing import stem
from kmed.data.sample import DataError, Sample

_TABLE_NAMES = ("labels", "metadata")


def labelled(
    path: str | os.PathLike,
    *,
    kind: str | None = None,
    labels: Sequence[str] | None = None,
    table: str | os.PathLike | None = None,
    label: str | None = None,
    patient: str | Callable[[str], str] | None = None,
    channels: int | None = None,
    modality: str | None = None,
    file_column: str | None = None,
    label_columns: str | Sequence[str] | None = None,
    patient_column: str | None = None,
    split_column: str | None = None,
) -> Labelled:
    r"""Makes labelled samples of whatever lies at a path.

    Args:
        path: a .npz file (MedMNIST); a table (.csv, .tsv); a folder with one of these in it, a
            table called labels or metadata before others; phantoms; a folder of images whose names
            tell their `label`; or a folder with a folder per class.
        kind: "binary", "multiclass", "multilabel" or "ordinal"; None: what the labels say, never
            "ordinal".
        labels: names of the classes in the order of their indices; None: from the data.
        table: a table that lies elsewhere than in the folder of images `path`.
        label: a regular expression with one group that finds the class in the file's name without
            suffix, such as `r"_(\d)$"`.
        patient: as in `image_folder`; for pictures and NIfTI.
        channels: as in `image_files`, for pictures.
        modality: of DICOM beside a table, and of phantoms ("ct", "t1", "t2").
        file_column: as in `label_table`.
        label_columns: as in `label_table`.
        patient_column: as in `label_table`.
        split_column: as in `label_table`.

    Returns:
        The samples, the names of the classes, the kind, and the data set's own split if it has one.

    Raises:
        DataError: if nothing fits, or what fits is faulty.
        ValueError: if an argument does not fit what lies there.
    """
    require_kind(kind)
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    of_table = {
        "file_column": file_column,
        "label_columns": label_columns,
        "patient_column": patient_column,
        "split_column": split_column,
    }
    pictures = {"patient": patient, "channels": channels}
    names = {"labels": labels, "kind": kind}
    if table is None and label is None:
        found = _single_file(path)
        if found is not None and found.suffix.lower() in TABLES:
            path, table = found.parent, found
        elif found is not None:
            _refuse("a .npz file", {**of_table, "modality": modality, **pictures})
            return _from_npz(found, **names)
    if table is not None:
        _refuse("a table", {"label": label})
        return label_table(table, images=path, modality=modality, **names, **of_table, **pictures)
    _refuse(f"{path}, where there is no table", of_table)
    if label is not None:
        _refuse("images with the label in their names", {"modality": modality})
        return _from_names(path, label, **names, **pictures)
    if (path / "dataset.json").is_file() and "kmed" in _json(path / "dataset.json"):
        _refuse("phantoms", pictures)
        return _from_phantoms(path, modality or "ct", **names)
    _refuse("class folders", {"modality": modality})
    return class_folders(path, **names, **pictures)


def _refuse(what: str, arguments: dict) -> None:
    given = [name for name, value in arguments.items() if value is not None]
    if given:
        raise ValueError(f"`{given[0]}` has no meaning for {what}")


def _single_file(path: Path) -> Path | None:
    """The table or the .npz file that the path is or holds."""
    if path.is_file():
        if path.suffix.lower() in (*TABLES, ".npz"):
            return path
        raise DataError(f"{path}: expected a folder, a .csv or .tsv table, or a .npz file")
    files = sorted(p for p in path.iterdir() if p.is_file() and p.name[0] != ".")
    tables = [p for p in files if p.suffix.lower() in TABLES]
    for name in _TABLE_NAMES:
        called = [p for p in tables if p.stem.lower() == name]
        tables = called if len(called) == 1 else tables
        if called:
            break
    if len(tables) > 1:
        names = ", ".join(p.name for p in tables)
        raise DataError(f"{path}: holds several tables, {names}; choose one with table=")
    arrays = [p for p in files if kind_of(p) == "npz"]
    if len(arrays) > 1:
        raise DataError(f"{path}: holds {len(arrays)} .npz files; name one of them")
    return next(iter(tables + arrays), None)


def _from_npz(path: Path, *, labels: Sequence[str] | None, kind: str | None) -> Labelled:
    headers = array_headers(path)
    present = [p for p in ("train", "val", "test") if f"{p}_images" in headers]
    if not present:
        raise DataError(f"{path}: has no array 'train_images'; it has {', '.join(sorted(headers))}")
    missing = [f"{part}_labels" for part in present if f"{part}_labels" not in headers]
    if missing:
        raise DataError(f"{path}: has no array {missing[0]!r}")
    shape = headers[f"{present[0]}_labels"][0]
    several = len(shape) == 2 and shape[1] > 1
    samples: list[Sample] = []
    parts: list[str] = []
    for part in present:
        samples += npz(path, split=part, multilabel=several)
        parts += [{"val": "validation"}.get(part, part)] * (len(samples) - len(parts))
    if several:
        widths = {len(sample.label) for sample in samples}
        if len(widths) > 1:
            raise DataError(f"{path}: the parts differ in their number of labels: {widths}")
        count = widths.pop()
    else:
        if min(sample.label for sample in samples) < 0:
            raise DataError(f"{path}: a class index is 0 or above; received a negative one")
        count = max(sample.label for sample in samples) + 1
    names = checked_names(labels) or tuple(str(number) for number in range(count))
    if count > len(names) or (several and count < len(names)):
        raise DataError(f"{path}: has {count} classes, `labels` names {len(names)}")
    kind = checked_kind(kind, len(names), several=several, where=str(path))
    return Labelled(tuple(samples), names, kind, official_split(samples, parts))


def _from_names(path: Path, pattern: str, *, labels, kind, patient, channels) -> Labelled:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"`label` is no regular expression: {pattern!r} ({error})") from error
    if compiled.groups != 1:
        raise ValueError(f"`label` must have exactly one group; received {pattern!r}")
    of_files, files = images_below(path)
    if of_files == "dicom":
        raise DataError(f"{path}: `label` reads names of pictures and NIfTI; give DICOM a table")
    samples = image_files(named_by_path(files, path), patient=patient, channels=channels)
    values = []
    for file in files:
        name = stem(file, file, SUFFIXES)
        match = compiled.search(name)
        if match is None or not match.group(1):
            raise DataError(f"{file}: `label` {pattern!r} finds nothing in the name {name!r}")
        values.append(match.group(1))
    indices, names = encoded(values, [str(file) for file in files], labels=labels, kind=kind)
    kind = checked_kind(kind, len(names), several=False, where=str(path))
    samples = [replace(s, label=index) for s, index in zip(samples, indices, strict=True)]
    return Labelled(tuple(samples), names, kind, None)


def _from_phantoms(path: Path, modality: str, *, labels, kind) -> Labelled:
    from kmed.data.phantoms import phantom_source  # slow to import, rarely needed

    samples = phantom_source(path, modality=modality)
    names = checked_names(labels) or ("no lesion", "lesion")
    kind = checked_kind(kind, len(names), several=False, where=str(path))
    return Labelled(tuple(samples), names, kind, None)


def _json(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({error})") from error
    return content if isinstance(content, dict) else {}
