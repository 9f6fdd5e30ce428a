"""Chooses the reader of drawn boxes that fits a path, checks the boxes and makes samples."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from kmed.data.box_checks import Problem, checked_objects, require_sound
from kmed.data.box_table import box_table
from kmed.data.coco import coco_boxes, coco_files
from kmed.data.drawn_boxes import DrawnImage, DrawnSet
from kmed.data.drawn_images import drawn_samples
from kmed.data.label_kinds import checked_names, official_split
from kmed.data.label_rows import SUFFIXES as TABLES
from kmed.data.mask_boxes import mask_boxes
from kmed.data.pairing import files_below
from kmed.data.pictures import picture_header
from kmed.data.sample import DataError, Sample
from kmed.data.splits import Split
from kmed.data.voc import voc_boxes
from kmed.data.yolo_settings import NAME_LISTS
from kmed.data.yolo_text import yolo_boxes

#: What `annotated` reads.
FORMATS = ("voc", "coco", "yolo", "table", "masks")
_BY_SUFFIX = {".xml": "voc", ".json": "coco", **dict.fromkeys(TABLES, "table")}
_BY_SUFFIX |= dict.fromkeys((".yaml", ".yml", ".data"), "yolo")
_TABLE_NAMES = ("boxes", "annotations", "bbox", "labels")


class Annotated(NamedTuple):
    """A data set with boxes.

    Attributes:
        samples: each with `objects`; one without boxes is a negative.
        labels: names of the classes of objects in the order of their indices; background is none.
        split: the data set's own split, or None where it has none. A part that it does not have is
            empty, and an image that is in no part is in `samples` alone.
        problems: the faults that `fix` mended.
        sizes: (height, width) of each sample's image.
    """

    samples: tuple[Sample, ...]
    labels: tuple[str, ...]
    split: Split | None
    problems: tuple[Problem, ...]
    sizes: tuple[tuple[int, int], ...]


def annotated(
    path: str | os.PathLike,
    *,
    format: str | None = None,
    labels: Sequence[str] | None = None,
    images: str | os.PathLike | None = None,
    patient: str | Callable[[str], str] | None = None,
    channels: int | None = None,
    columns: Mapping[str, str] | None = None,
    unit: str | None = None,
    fix: bool = False,
) -> Annotated:
    r"""Makes samples with boxes of whatever lies at a path.

    Every box is checked, as `checked_objects` says: a faulty one is an error with file and line
    unless `fix` drops or clips it and reports it.

    Args:
        path: a folder of Pascal VOC, of COCO's JSON files, of YOLO's text files, one with a table
            of boxes, or one with `images` and `masks`; or the file of one of these; or a folder of
            masks.
        format: one of `FORMATS`; None: what lies there.
        labels: names of the classes of objects in the order of their indices; None: what the format
            says, else the names of the boxes, sorted. Masks of several classes need them: class c
            of a mask is `labels[c - 1]`.
        images: folder of the images, where it is another.
        patient: as in `image_folder`; None: the table's column or the Patient ID of DICOM; every
            other picture is a patient of its own.
        channels: as in `image_files`, for pictures.
        columns: as in `box_columns`, for tables.
        unit: as in `box_columns`, for tables.
        fix: drop boxes that are degenerate, outside, duplicated or of an unknown class, clip those
            that reach out of their image, and report it in `problems`.

    Returns:
        The samples, the names of the classes, the data set's own split, what was mended.

    Raises:
        DataError: if nothing fits, what fits cannot be read, or there are faults and no `fix`.
        ValueError: if an argument does not fit what lies there.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> root = Path(tempfile.mkdtemp())
        >>> Image.new("L", (8, 6)).save(root / "a.png")
        >>> Image.new("L", (8, 6)).save(root / "b.png")
        >>> _ = (root / "boxes.csv").write_text("file,x1,y1,x2,y2,label\na,1,2,5,6,cell\nb,,,,,\n")
        >>> found = annotated(root)
        >>> found.labels, [(s.id, s.objects.boxes.tolist()) for s in found.samples]
        (('cell',), [('a', [[1.0, 2.0, 5.0, 6.0]]), ('b', [])])
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if format not in (None, *FORMATS):
        raise ValueError(f"`format` must be one of {FORMATS}; received {format!r}")
    format = format or _format_of(path)
    if format != "table" and (columns is not None or unit is not None):
        raise ValueError(f"`columns` and `unit` are for tables; {path} is read as {format!r}")
    names = checked_names(labels)
    if format == "masks":
        return _of_masks(path, images, names, patient, channels)
    if format == "table":
        table = path if path.is_file() else _table(path)
        drawn = box_table(table, images=images, columns=columns, unit=unit, names=names)
    elif format == "yolo":
        drawn = yolo_boxes(path, images=images, names=names)
    else:
        drawn = {"voc": voc_boxes, "coco": coco_boxes}[format](path, images=images)
    names = names or drawn.names or _sorted_names(drawn)
    if not names:
        raise DataError(f"{path}: no image has a box; name the classes with labels=")
    _require_images_once(drawn)
    samples, sizes = drawn_samples(drawn, patient=patient, channels=channels)
    samples, problems = _checked(drawn, samples, sizes, names)
    if not fix:
        require_sound(problems, path)
    return Annotated(
        tuple(samples), names, _split(drawn, samples, path), tuple(problems), tuple(sizes)
    )


def _format_of(path: Path) -> str:
    if path.is_file():
        if path.suffix.lower() in _BY_SUFFIX:
            return _BY_SUFFIX[path.suffix.lower()]
        raise DataError(f"{path}: boxes are read from {', '.join(_BY_SUFFIX)} files, or a folder")
    if (path / "Annotations").is_dir():
        return "voc"
    if coco_files(path):
        return "coco"
    settings = ("*.yaml", "*.yml", "*.data", "*.names", *NAME_LISTS)
    if (path / "labels").is_dir() or any(any(path.glob(pattern)) for pattern in settings):
        return "yolo"
    if _tables(path):
        return "table"
    if (path / "images").is_dir() and (path / "masks").is_dir():
        return "masks"
    for suffix, found in ((".xml", "voc"), (".txt", "yolo")):
        if files_below(path, (suffix,)):
            return found
    raise DataError(
        f"{path}: no boxes found. Known are Pascal VOC (Annotations/*.xml), COCO (.json), YOLO "
        "(labels/*.txt), a table (.csv, .tsv) and folders `images` and `masks`; masks that lie "
        "elsewhere: format='masks', images=FOLDER"
    )


def _tables(path: Path) -> list[Path]:
    return [file for suffix in TABLES for file in sorted(path.glob(f"*{suffix}"))]


def _table(path: Path) -> Path:
    tables = _tables(path)
    for name in _TABLE_NAMES:
        called = [table for table in tables if table.stem.lower() == name]
        if len(called) == 1:
            return called[0]
    if len(tables) != 1:
        names = ", ".join(table.name for table in tables) or "none"
        raise DataError(f"{path}: needs one .csv or .tsv table, found {names}; give its path")
    return tables[0]


def _of_masks(path: Path, images, names, patient, channels) -> Annotated:
    if images is None and path.is_dir() and (path / "masks").is_dir():
        path, images = path / "masks", path / "images"
    if images is None:
        raise ValueError("`images` must name the folder of images; `path` is that of the masks")
    names = names or ("object",)
    samples = mask_boxes(
        images, path, classes=len(names) + 1, patient=patient, channels=channels
    )  # fmt: skip
    sizes = tuple(picture_header(sample.files[0]).size for sample in samples)
    return Annotated(tuple(samples), names, None, (), sizes)


def _sorted_names(drawn: DrawnSet) -> tuple[str, ...]:
    names = {box.name for image in drawn.images for box in image.boxes}
    return tuple(sorted(names, key=int if all(map(str.isdecimal, names)) else None))


def _require_images_once(drawn: DrawnSet) -> None:
    first: dict[Path, DrawnImage] = {}
    for image in drawn.images:
        other = first.setdefault(image.path, image)
        if other is not image:
            raise DataError(f"{image.file}: {image.path} is also the image of {other.file}")


def _checked(
    drawn: DrawnSet, samples: list[Sample], sizes: list[tuple[int, int]], names: tuple[str, ...]
) -> tuple[list[Sample], list[Problem]]:
    index = {name: number for number, name in enumerate(names)}
    problems: list[Problem] = []
    result = []
    for sample, image, size in zip(samples, drawn.images, sizes, strict=True):
        if image.size is not None and image.size != size:
            what = "says that its image has {1} x {0} px, it has {3} x {2} (ignored)"
            problems.append(Problem(image.file, image.line, what.format(*image.size, *size), None))
        objects, faults = checked_objects(image, size, index, least_side=drawn.least_side)
        problems += faults
        result.append(replace(sample, objects=objects))
    return result, problems


def _split(drawn: DrawnSet, samples: list[Sample], where: Path) -> Split | None:
    parts = [image.part for image in drawn.images]
    listed = [sample for sample, part in zip(samples, parts, strict=True) if part]
    split = official_split(listed, [part for part in parts if part])
    if split is not None and len(listed) < len(samples):
        warnings.warn(
            f"{where}: {len(samples) - len(listed)} of {len(samples)} images are in no part of "
            "the split",
            stacklevel=3,
        )
    return split
