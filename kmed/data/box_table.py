"""Boxes in a table: a row for each box, beside pictures or DICOM."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from kmed.data.box_columns import FORMS, box_columns
from kmed.data.dicom.boxes import patient_mm_on_slices, plane_mm_to_pixels
from kmed.data.drawn_boxes import DrawnBox, DrawnImage, DrawnSet
from kmed.data.drawn_images import count_left_out, find_image
from kmed.data.image_lookup import ATTRIBUTES, ImageLookup
from kmed.data.label_kinds import split_part
from kmed.data.label_rows import Row, plain, read_rows
from kmed.data.pictures import picture_header
from kmed.data.sample import DataError

if TYPE_CHECKING:
    from kmed.data.dicom.slices import SliceHeader

_NO = ("", "0", "no", "false")
_BLANK = ("", "nan", "none", "null")


def box_table(
    path: str | os.PathLike,
    *,
    images: str | os.PathLike | None = None,
    columns: Mapping[str, str] | None = None,
    unit: str | None = None,
    names: Sequence[str] | None = None,
) -> DrawnSet:
    """Reads a table with a row for each box, of pictures or DICOM.

    A row whose corners are blank says that its image is a negative. Images without a row are left
    out, and a warning counts them. Coordinates in the patient need DICOM; each slice of the series
    that a row names is then an image of its own.

    Args:
        path: text with a header, columns parted by comma, semicolon or tab.
        images: folder that the rows' paths start from; None: the table's own.
        columns: role -> column, where the names do not tell, as in `box_columns`.
        unit: as in `box_columns`. Pixels count from 0 at the left and upper edge of the image.
        names: of the classes, where the table gives their indices; or of the one class, where it
            has no column for it.

    Returns:
        What the table says, the images in the order of their first rows.

    Raises:
        DataError: naming file and line: an image that is not there, a cell that is no number, rows
            of one image that differ in patient or part of the split.
    """
    path = Path(path)
    header, rows = read_rows(path)
    found, form, unit = box_columns(path, header, columns, unit)
    lookup = ImageLookup(path.parent if images is None else images)
    attribute = ATTRIBUTES.get(plain(found["file"]))
    named: dict[str, list[_Image]] = {}
    drawn: dict[Path, _Image] = {}
    for row, name in zip(rows, _classes(rows, found, names), strict=True):
        key = row.cells[found["file"]]
        facts = _facts(row, found)
        if key not in named:
            several = unit == "patient_mm"
            images_of_key = _images(lookup, key, row.where, attribute, several=several)
            fresh = [_Image(image, row, facts) for image in images_of_key]
            named[key] = [drawn.setdefault(image.path, image) for image in fresh]
        for image in named[key]:
            if image.facts != facts:
                raise DataError(
                    f"{row.where}: {key!r} is also in {image.row.where}, with another patient or "
                    "part of the split"
                )
        numbers = _numbers(row, [found[role] for role in FORMS[form]])
        if numbers is not None:
            difficult = row.cells.get(found.get("difficult"), "").lower() not in _NO
            _draw(named[key], numbers, form, unit, row, name, difficult)
    result = tuple(
        DrawnImage(
            file=path,
            line=_line(image.row),
            image=image.image,
            boxes=tuple(image.boxes),
            patient=image.facts[0],
            part=image.facts[1],
        )
        for image in drawn.values()
    )
    count_left_out(path, lookup, result)
    return DrawnSet(images=result)


@dataclass
class _Image:
    image: Path | SliceHeader
    row: Row
    facts: tuple[str | None, str | None]
    boxes: list[DrawnBox] = field(default_factory=list)

    @property
    def path(self) -> Path:
        return self.image if isinstance(self.image, Path) else self.image.path

    @cached_property
    def size(self) -> tuple[int, int]:
        is_picture = isinstance(self.image, Path)
        return picture_header(self.image).size if is_picture else self.image.shape


def _images(lookup: ImageLookup, key: str, where: str, attribute, *, several: bool) -> list:
    if not several:
        return [find_image(lookup, [key], where, attribute)]
    found = lookup.find(key, where, attribute)
    if any(isinstance(group, Path) for group in found):
        raise DataError(f"{where}: {found[0]} is no DICOM file; boxes in the patient need one")
    slices = [header for group in found for header in group]
    if len({header.frame_of_reference_uid for header in slices}) > 1:
        raise DataError(
            f"{where}: {key!r} names series of several frames of reference, whose coordinates "
            "differ; name the one of the boxes by its Series Instance UID"
        )
    # From the feet upwards, whatever the files are called.
    return sorted(slices, key=lambda header: (header.series_uid, header.position_mm[::-1]))


def _classes(rows: list[Row], found: Mapping[str, str], names: Sequence[str] | None) -> list[str]:
    """Name of the class of each row."""
    column = found.get("label")
    if column is None:
        if names is None or len(names) > 1:
            _require_no_words(rows, set(rows[0].cells) - set(found.values()))
        if names is not None and len(names) > 1:
            raise DataError(f"{rows[0].where}: no column tells the class, one of {names}")
        return [names[0] if names else "object"] * len(rows)
    values = [row.cells[column] for row in rows]
    indices = {value for value in values if value}
    if names is None or indices & set(names) or not all(map(str.isdecimal, indices)):
        return values
    known = dict(zip(map(str, range(len(names))), names, strict=True))
    return [known.get(value, value) for value in values]


def _require_no_words(rows: list[Row], columns: set[str]) -> None:
    """Refuses to take what may be different classes for one."""
    for column in sorted(columns):
        for row in rows:
            if any(map(str.isalpha, row.cells[column])) and not _is_number(row.cells[column]):
                raise DataError(
                    f"{row.where}: {column!r} may tell the class ({row.cells[column]!r}); say so "
                    f"with columns={{'label': {column!r}}}, or name the one class with labels=[...]"
                )


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell.lower() in _BLANK
    return True


def _facts(row: Row, found: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Patient and part of the split."""
    values = [row.cells[found[role]] if role in found else None for role in ("patient", "split")]
    part = None if values[1] is None else split_part(values[1])
    if values[1] and part is None:
        raise DataError(f"{row.where}: split must be train, val or test; received {values[1]!r}")
    if values[0] == "":
        raise DataError(f"{row.where}: {found['patient']} is blank")
    return values[0], part


def _numbers(row: Row, columns: list[str]) -> list[float] | None:
    cells = [row.cells[column] for column in columns]
    if all(cell.lower() in _BLANK for cell in cells):
        return None
    try:
        return [float(cell) for cell in cells]
    except ValueError as error:
        raise DataError(
            f"{row.where}: {', '.join(columns)} must be numbers, or all blank for an image "
            f"without a box; received {', '.join(map(repr, cells))}"
        ) from error


def _draw(
    images: list[_Image], numbers: list[float], form: str, unit: str, row: Row, name: str, difficult
) -> None:
    """Puts a box on the images that it belongs to."""
    if not name:
        raise DataError(f"{row.where}: a box needs a class; the cell is blank")
    line = _line(row)
    if unit != "patient_mm":
        x1, y1, x2, y2 = numbers
        corners = (x1, y1, x1 + x2, y1 + y2) if form == "size" else (x1, y1, x2, y2)
        if unit == "fraction":
            height, width = images[0].size
            corners = (x1 * width, y1 * height, corners[2] * width, corners[3] * height)
        elif unit == "mm":
            if isinstance(images[0].image, Path):
                raise DataError(
                    f"{row.where}: {images[0].path} is no DICOM file; boxes in mm need one, for a "
                    "picture does not say the size of its pixels"
                )
            corners = plane_mm_to_pixels(corners, images[0].image)
        images[0].boxes.append(DrawnBox(line, name, corners, difficult))
        return
    if form == "sphere":
        *centre, diameter = numbers
        numbers = [v - diameter / 2 for v in centre] + [v + diameter / 2 for v in centre]
    met = patient_mm_on_slices(numbers, [image.image for image in images])
    for number, corners in met.items():
        images[number].boxes.append(DrawnBox(line, name, corners, difficult))
    if not met:
        corners, fault = (*numbers[:2], *numbers[3:5]), f"outside of all slices: {name}"
        images[0].boxes.append(DrawnBox(line, name, corners, difficult, fault))


def _line(row: Row) -> int:
    return int(row.where.rpartition(" ")[2])
