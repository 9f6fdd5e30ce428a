"""Images with the sentences that tell of them, from tables and JSON lines."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kmed.data.caption_rows import SUFFIXES, Columns, caption_columns, caption_rows
from kmed.data.class_folders import named_by_path
from kmed.data.file_kinds import kind_of
from kmed.data.image_files import image_files
from kmed.data.image_lookup import ATTRIBUTES, ImageLookup
from kmed.data.items import CrossModal, Item
from kmed.data.label_kinds import encoded, official_split, split_part
from kmed.data.label_rows import Row, plain
from kmed.data.sample import DataError, Sample

MODALITIES = ("image", "text")
_DEVELOPMENT = ("dev", "development")


@dataclass(frozen=True, kw_only=True)
class _Caption:
    """One row: an image and a sentence."""

    where: str
    image: Path | tuple
    files: tuple[Path, ...]
    text: str
    label: str | None
    patient: str | None
    part: str | None


def captions(
    path: str | os.PathLike,
    *,
    image: str | None = None,
    text: str | None = None,
    label: str | None = None,
    patient: str | Callable[[str], str] | None = None,
    labels: Sequence[str] | None = None,
    rank: int = 2,
    channels: int | None = None,
) -> CrossModal:
    """Makes items of the images and sentences that a table or JSON lines pair.

    An image may have several rows, each with a sentence of it. Equal sentences of one patient,
    but for blanks, are one item, which tells of several images; all that is connected so matches.

    Args:
        path: a .csv, .tsv or .jsonl file; or a folder with such files, called after the parts of
            the data set's split: train, and val, dev or test. Of train and dev alone, dev is the
            test part.
        image: column that names the image: a path, a name with or without suffix, a DICOM
            identifier. None: found by its name, such as `image`, `file`, `path`.
        text: column of the sentence. None: found by its name, such as `caption`, `text`, `report`.
        label: column of the class; None: `label` or `class`, if there is one. A blank is unknown.
        patient: column of the patient; or, as in `image_folder`, a regular expression with a group
            or a function of the image's path. None: a column such as `patient` or `case`; without
            one the Patient ID of DICOM; every other image is a patient of its own.
        labels: names of the classes in the order of their indices; None: from the data.
        rank: 2 of pictures, 3 of volumes.
        channels: as in `image_files`.

    Returns:
        The items "image" and "text", in the order of the rows.

    Raises:
        DataError: naming file and line: a line that cannot be read, a column or an image that is
            missing, an empty sentence, an image of two patients, labels or parts.
    """
    path = Path(path)
    rows: list[tuple[Row, Columns, str | None]] = []
    for file, part in caption_files(path):
        columns, read = caption_rows(file)
        of_patient = patient if isinstance(patient, str) and not _is_pattern(patient) else None
        found = caption_columns(
            file, columns, image=image, text=text, label=label, patient=of_patient
        )
        if patient is not None and of_patient is None:
            found = found._replace(patient=None)
        rows += [(row, found, part) for row in read]
    root = path if path.is_dir() else path.parent
    told = _resolved(rows, ImageLookup(root))
    return _items(told, _samples(told, root, patient, channels, rank), labels)


def caption_files(path: Path) -> list[tuple[Path, str | None]]:
    """Finds the files of a folder that pair images and sentences.

    Args:
        path: one file, or a folder.

    Returns:
        The files and the part of the split that each is, None if there is but one.

    Raises:
        DataError: if there are several whose names tell no parts.
    """
    if not path.is_dir():
        return [(path, None)]
    files = sorted(
        p
        for p in path.iterdir()
        if p.suffix.lower() in SUFFIXES and p.is_file() and p.name[0] != "."
    )
    if not files:
        raise DataError(f"{path}: holds no {', '.join(SUFFIXES)} file of images and sentences")
    if len(files) == 1:
        return [(files[0], None)]
    parts: dict[str, Path] = {}
    for file in files:
        part = _part(re.split(r"[_\-. ]", file.stem)[-1])
        if part in parts:
            raise DataError(f"{path}: {parts[part].name} and {file.name} are the same part")
        if part is not None:
            parts[part] = file
    if "train" not in parts or len(parts) < 2:
        raise DataError(
            f"{path}: holds {', '.join(file.name for file in files)}; name one of them, or call "
            "them train, val and test"
        )
    if "test" not in parts:
        parts["test"] = parts.pop("validation")
    return [(file, part) for part, file in parts.items()]


def _is_pattern(patient: str) -> bool:
    return "(" in patient


def _part(name: str) -> str | None:
    return "validation" if name.lower() in _DEVELOPMENT else split_part(name)


def _resolved(rows: list[tuple[Row, Columns, str | None]], lookup: ImageLookup) -> list[_Caption]:
    told = []
    for row, columns, part in rows:
        cells = row.cells
        sentence = " ".join(cells[columns.text].split())
        if not sentence:
            raise DataError(f"{row.where}: {columns.text} is blank; delete the row or write it")
        if part is None and columns.split is not None:
            part = _part(cells[columns.split])
            if part is None:
                raise DataError(
                    f"{row.where}: {columns.split} must be train, val or test; received "
                    f"{cells[columns.split]!r}"
                )
        if columns.patient is not None and not cells[columns.patient]:
            raise DataError(f"{row.where}: {columns.patient} is blank")
        attribute = ATTRIBUTES.get(plain(columns.image))
        for image in lookup.find(cells[columns.image], row.where, attribute):
            told.append(
                _Caption(
                    where=row.where,
                    files=(image,) if isinstance(image, Path) else tuple(h.path for h in image),
                    image=image,
                    text=sentence,
                    label=cells[columns.label] or None if columns.label else None,
                    patient=cells[columns.patient] if columns.patient else None,
                    part=part,
                )
            )
    first: dict[tuple[Path, ...], _Caption] = {}
    for row in told:
        other = first.setdefault(row.files, row)
        if (other.label, other.patient, other.part) != (row.label, row.patient, row.part):
            raise DataError(
                f"{row.where}: {row.files[0].name} is also in {other.where}, with another label, "
                "patient or part of the split"
            )
    return told


def _samples(
    told: list[_Caption],
    root: Path,
    patient: str | Callable[[str], str] | None,
    channels: int | None,
    rank: int,
) -> dict[tuple[Path, ...], Sample]:
    """A sample of each image, in the order of the rows."""
    images = {row.files: row for row in told}
    first, *_ = images.values()
    for row in images.values():
        if isinstance(row.image, Path) != isinstance(first.image, Path):
            raise DataError(f"{row.where}: {row.files[0]} is of another kind than the first image")
        volume = len(row.files) > 1 or kind_of(row.files[0]) == "nifti"
        if volume != (rank == 3):
            raise DataError(
                f"{row.where}: {row.files[0]} is a {'volume' if volume else 'picture'}, where "
                f"rank={rank} takes {'volumes' if rank == 3 else 'pictures'}; a sentence tells of "
                "a whole image"
            )
    if first.patient is not None:
        of_file = {str(file): row.patient for row in told for file in row.files}
        patient = of_file.__getitem__
    if isinstance(first.image, Path):
        named = named_by_path([row.image for row in images.values()], root)
        samples = image_files(named, patient=patient, channels=channels)
    else:
        from kmed.data.dicom.images import dicom_samples  # slow to import, rarely needed

        groups = [row.image for row in images.values()]
        samples = dicom_samples(groups, root, patient=patient)
    return dict(zip(images, samples, strict=True))


def _items(
    told: list[_Caption],
    samples: dict[tuple[Path, ...], Sample],
    labels: Sequence[str] | None,
) -> CrossModal:
    known = [row for row in told if row.label is not None]
    index, names = {}, ()
    if known:
        values = [row.label for row in known]
        indices, names = encoded(values, [row.where for row in known], labels=labels)
        index = dict(zip(values, indices, strict=True))
    index[None] = None
    samples = samples | {
        row.files: replace(samples[row.files], label=index[row.label]) for row in told
    }
    sentences: dict[tuple[str, str], list[_Caption]] = defaultdict(list)
    for row in told:
        sentences[samples[row.files].patient, row.text].append(row)
    key = _keys(samples, [[row.files for row in rows] for rows in sentences.values()])
    images = {
        row.files: Item(
            id=samples[row.files].id,
            patient=samples[row.files].patient,
            study=samples[row.files].patient,
            key=key[row.files],
            sample=samples[row.files],
            label=samples[row.files].label,
        )
        for row in told
    }
    texts, numbers = [], Counter()
    for (patient, sentence), rows in sentences.items():
        name = samples[rows[0].files].id
        numbers[name] += 1
        meant = {row.label for row in rows}
        texts.append(
            Item(
                id=f"{name}:{numbers[name]}",
                patient=patient,
                study=patient,
                key=key[rows[0].files],
                text=sentence,
                label=index[meant.pop()] if len(meant) == 1 else None,
            )
        )
    part = {row.files: row.part for row in told}
    return CrossModal(
        modalities=MODALITIES,
        items={"image": tuple(images.values()), "text": tuple(texts)},
        labels=tuple(names),
        split=official_split(samples.values(), [part[files] for files in samples]),
    )


def _keys(
    samples: dict[tuple[Path, ...], Sample], connected: list[list[tuple[Path, ...]]]
) -> dict[tuple[Path, ...], str]:
    """Gives the images that sentences connect one key, the id of the first of them."""
    above = {files: files for files in samples}

    def top(files):
        while above[files] != files:
            above[files] = above[above[files]]
            files = above[files]
        return files

    order = {files: number for number, files in enumerate(samples)}
    for group in connected:
        for files in group[1:]:
            one, other = sorted((top(group[0]), top(files)), key=order.__getitem__)
            above[other] = one
    return {files: samples[top(files)].id for files in samples}
