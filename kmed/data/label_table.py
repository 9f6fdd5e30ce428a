"""Labels of whole images in a table, beside a folder of pictures, NIfTI or DICOM."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from kmed.data.class_folders import named_by_path
from kmed.data.image_files import image_files
from kmed.data.image_lookup import ATTRIBUTES, ImageLookup
from kmed.data.label_columns import table_labels
from kmed.data.label_kinds import Labelled, checked_kind, official_split, require_kind, split_part
from kmed.data.label_rows import Row, column_named, plain, read_rows, require_columns
from kmed.data.sample import DataError, Sample

# The names, from the best, by which a column is found; letters and digits alone count.
_FILE = (
    *("file", "filename", "filepath", "path", "imagefile", "imagepath", "imagename", "image"),
    *("imageid", "imageindex", "img", "imgpath", "volume", "scan", "sopinstanceuid"),
    *("seriesinstanceuid", "series", "studyinstanceuid", "study", "id", "patientid", "name"),
)
_PATIENT = ("patient", "patientid", "subject", "subjectid", "participant", "participantid")
_SPLIT = ("split", "partition", "subset")


def label_table(
    path: str | os.PathLike,
    *,
    images: str | os.PathLike | None = None,
    labels: Sequence[str] | None = None,
    kind: str | None = None,
    file_column: str | None = None,
    label_columns: str | Sequence[str] | None = None,
    patient_column: str | None = None,
    split_column: str | None = None,
    patient: str | Callable[[str], str] | None = None,
    channels: int | None = None,
    modality: str | None = None,
) -> Labelled:
    """Makes samples of the images that a table names, with the labels that it gives.

    Images without a row are left out, and a warning counts those that lie beside images with one.
    A row of a DICOM study, patient or folder with several series labels each of them.

    Args:
        path: text with a header, columns parted by comma, semicolon or tab.
        images: folder that the rows' paths start from; None: the table's own.
        labels: names of the classes in the order of their indices; None: the different values,
            sorted, or the names of several columns.
        kind: "binary", "multiclass", "multilabel", "ordinal" or None for what the labels say;
            several columns with one 1 in each row are "multiclass" if asked for.
        file_column: names the image: a path, a name with or without suffix, the folder of a series,
            a Series, SOP or Study Instance UID or a Patient ID. None: found by its name, such as
            `file`, `image`, `SeriesInstanceUID`, `id`.
        label_columns: one column of names or whole numbers; one of names joined by "|" (none of
            them: "No Finding"); or several of 0 and 1, for images with several labels. None: found
            by its name, such as `label`, `class`, `finding`, or what is left beside the others.
        patient_column: None: found by its name, such as `patient_id`, unless `patient` is given.
        split_column: of "train", "val" or "test". None: found by its name, such as `split`.
        patient: as in `image_folder`, instead of a column. Without both: the Patient ID of DICOM;
            every other file is a patient of its own.
        channels: as in `image_files`, for pictures.
        modality: DICOM of this Modality only, for instance "CT".

    Returns:
        The samples in the order of the table.

    Raises:
        DataError: naming file and line: an image that is not there, an unknown class, a blank cell,
            an image twice with different labels, patients or parts of the split.
    """
    require_kind(kind)
    path = Path(path)
    columns, rows = read_rows(path)
    chosen = [label_columns] if isinstance(label_columns, str) else list(label_columns or ())
    require_columns(path, columns, file_column, patient_column, split_column, *chosen)
    if patient_column and patient:
        raise ValueError("`patient` and `patient_column` both tell the patient; give one")
    free = [name for name in columns if name not in chosen]
    file_column = file_column or column_named(free, _FILE)
    if file_column is None:
        raise DataError(
            f"{path}: no column is called `file`, `image` or the like; say which names the images "
            f"with file_column=, one of {', '.join(columns)}"
        )
    free = [name for name in free if name != file_column]
    if patient is None:
        patient_column = patient_column or column_named(free, _PATIENT)
    split_column = split_column or column_named(free, _SPLIT)
    free = [name for name in free if name not in (patient_column, split_column)]
    lookup = ImageLookup(path.parent if images is None else images, modality)
    found = _found(rows, file_column, lookup)
    targets, names, several = table_labels(path, rows, chosen, free, labels=labels, kind=kind)
    kind = checked_kind(kind, len(names), several=several, where=str(path))
    patients = [_cell(row, patient_column) for row in rows]
    parts = [_part(row, split_column) for row in rows]
    facts = list(zip(targets, patients, parts, strict=True))
    kept, first = [], {}
    for row, number, image in found:
        key = image if isinstance(image, Path) else tuple(header.path for header in image)
        other = first.setdefault(key, number)
        if other == number:
            kept.append((number, image))
        elif facts[other] != facts[number]:
            raise DataError(
                f"{row.where}: {row.cells[file_column]!r} is also in {rows[other].where}, with "
                "another label, patient or part of the split"
            )
    of_path = {
        str(file): patients[number] for number, image in kept for file in _paths(image)
    }  # fmt: skip
    if patient_column is not None:
        patient = of_path.__getitem__
    samples = _samples([image for _, image in kept], lookup.root, patient, channels)
    samples = [replace(s, label=targets[n]) for s, (n, _) in zip(samples, kept, strict=True)]
    _count_left_out(path, lookup, [image for _, image in kept])
    split = official_split(samples, [parts[number] for number, _ in kept])
    return Labelled(tuple(samples), names, kind, split)


def _found(rows: list[Row], column: str, lookup: ImageLookup) -> list[tuple[Row, int, object]]:
    attribute = ATTRIBUTES.get(plain(column))
    found = [
        (row, number, image)
        for number, row in enumerate(rows)
        for image in lookup.find(row.cells[column], row.where, attribute)
    ]
    first = found[0][2]
    for row, _, image in found:
        if isinstance(image, Path) != isinstance(first, Path):
            raise DataError(f"{row.where}: {_paths(image)[0]} is of another kind than the first")
        if not isinstance(image, Path) and image[0].modality != first[0].modality:
            raise DataError(
                f"{row.where}: finds {image[0].modality} ({image[0].path}) where the first row has "
                f"{first[0].modality}; choose one with modality="
            )
    return found


def _paths(image) -> list[Path]:
    return [image] if isinstance(image, Path) else [header.path for header in image]


def _cell(row: Row, column: str | None) -> str | None:
    if column is not None and not row.cells[column]:
        raise DataError(f"{row.where}: {column} is blank")
    return None if column is None else row.cells[column]


def _part(row: Row, column: str | None) -> str | None:
    name = _cell(row, column)
    part = None if name is None else split_part(name)
    if name is not None and part is None:
        raise DataError(f"{row.where}: {column} must be train, val or test; received {name!r}")
    return part


def _samples(images: list, root: Path, patient, channels) -> list[Sample]:
    if isinstance(images[0], Path):
        named = named_by_path(images, root)
        return image_files(named, patient=patient, channels=channels)
    from kmed.data.dicom.images import dicom_samples  # slow to import, rarely needed

    return dicom_samples(images, root, patient=patient)


def _count_left_out(path: Path, lookup: ImageLookup, images: list) -> None:
    beside = lookup.images_beside(images)
    if len(beside) > len(images):
        warnings.warn(
            f"{path}: {len(beside) - len(images)} of {len(beside)} images have no row and are "
            "left out",
            stacklevel=3,
        )
