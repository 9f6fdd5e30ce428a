"""Which columns of a table tell the image, the box and its class, and in which unit."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from kmed.data.label_rows import column_named, plain, require_columns
from kmed.data.sample import DataError

#: Pixels; fractions of width and height; mm from the image's left and upper edge; mm in the
#: patient.
UNITS = ("px", "fraction", "mm", "patient_mm")

# What the columns are called, the best name first; letters and digits alone count.
_NAMES = {
    "file": (
        *("file", "filename", "filepath", "path", "imagefile", "imagepath", "imagename", "image"),
        *("imageid", "imageindex", "img", "imgpath", "sopinstanceuid", "seriesinstanceuid"),
        *("seriesuid", "series", "studyinstanceuid", "patientid", "id", "name"),
    ),
    "x1": ("x1", "xmin", "minx", "left", "bboxx1", "bboxxmin", "x", "bboxx", "coordx", "centerx"),
    "y1": ("y1", "ymin", "miny", "top", "bboxy1", "bboxymin", "y", "bboxy", "coordy", "centery"),
    "z1": ("z1", "zmin", "minz", "bboxz1", "bboxzmin", "z", "coordz", "centerz"),
    "x2": ("x2", "xmax", "maxx", "right", "bboxx2", "bboxxmax"),
    "y2": ("y2", "ymax", "maxy", "bottom", "bboxy2", "bboxymax"),
    "z2": ("z2", "zmax", "maxz", "bboxz2", "bboxzmax"),
    "width": ("width", "w", "bboxw", "bboxwidth", "boxwidth"),
    "height": ("height", "h", "bboxh", "bboxheight", "boxheight"),
    "diameter": ("diameter", "diametermm"),
    "label": (
        *("label", "class", "classname", "category", "categoryname", "finding", "findingname"),
        *("findinglabel", "findinglabels", "labelname", "lesion", "lesiontype"),
        *("target", "type", "diagnosis", "classid", "categoryid"),
    ),
    "patient": ("patient", "patientid", "subject", "subjectid", "participant", "participantid"),
    "split": ("split", "partition", "subset"),
    "difficult": ("difficult", "iscrowd", "ignore"),
}
_OPTIONAL = ("label", "patient", "split", "difficult")
_SIDES = ("x1", "y1", "z1", "x2", "y2", "z2", "width", "height", "diameter")
#: How a row may give a box: its roles in the order of the numbers.
FORMS = {
    "corners": ("x1", "y1", "x2", "y2"),
    "size": ("x1", "y1", "width", "height"),
    "cuboid": ("x1", "y1", "z1", "x2", "y2", "z2"),
    "sphere": ("x1", "y1", "z1", "diameter"),
}


def box_columns(
    path: str | os.PathLike,
    columns: Sequence[str],
    chosen: Mapping[str, str] | None,
    unit: str | None,
) -> tuple[dict[str, str], str, str]:
    """Finds the columns of boxes in a table by their names.

    Args:
        path: the table, for error messages.
        columns: all of its columns.
        chosen: columns that the user names, by role: "file", "x1", "y1", "x2", "y2", "width",
            "height", "z1", "z2", "diameter", "label", "patient", "split", "difficult".
        unit: one of `UNITS`; None: mm where a column's name ends so, else pixels; in the patient
            where there is a third coordinate.

    Returns:
        Role -> column; the form of the box, "corners", "size", "cuboid" or "sphere"; the unit.

    Raises:
        DataError: if there is no column for the image or the box.
        ValueError: a role or a unit that does not exist, or that does not fit the columns.

    Example:
        >>> box_columns("t.csv", ["img", "x", "y", "width", "height", "label"], None, None)[1:]
        ('size', 'px')
    """
    chosen = dict(chosen or {})
    unknown = [role for role in chosen if role not in _NAMES]
    if unknown:
        raise ValueError(f"`columns` names {unknown[0]!r}; it may name {', '.join(_NAMES)}")
    if unit not in (None, *UNITS):
        raise ValueError(f"`unit` must be one of {UNITS}; received {unit!r}")
    require_columns(path, columns, *chosen.values())
    found = dict(chosen)
    for role, names in _NAMES.items():
        free = [name for name in columns if name not in found.values()]
        endings = [*names, *(f"{name}mm" for name in names)] if role in _SIDES else names
        column = None if role in found else column_named(free, endings)
        if column is not None:
            found[role] = column
    if "file" not in found:
        raise DataError(
            f"{path}: no column is called `file`, `image` or the like; say which names the image "
            f"with columns={{'file': ...}}, one of {', '.join(columns)}"
        )
    complete = [form for form, roles in FORMS.items() if all(role in found for role in roles)]
    solid = [form for form in complete if form in ("cuboid", "sphere")]
    if not complete:
        raise DataError(
            f"{path}: needs columns x1, y1, x2, y2, or x, y, width, height, of each box; it has "
            f"{', '.join(columns)}; name them with columns={{'x1': ..., ...}}"
        )
    form = solid[0] if solid and unit in (None, "patient_mm") else complete[0]
    roles = FORMS[form]
    if unit is None:
        millimetres = any(plain(found[role]).endswith("mm") for role in roles)
        unit = "patient_mm" if solid else "mm" if millimetres else "px"
    if (unit == "patient_mm") != (form in ("cuboid", "sphere")):
        raise ValueError(f"{path}: unit={unit!r} does not fit boxes given by {', '.join(roles)}")
    return {role: found[role] for role in ("file", *roles, *_OPTIONAL) if role in found}, form, unit
