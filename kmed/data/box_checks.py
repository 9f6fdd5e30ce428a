"""Finds the faults of drawn boxes, and mends those that can be mended where it is asked to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from kmed.data.drawn_boxes import DrawnBox, DrawnImage
from kmed.data.sample import DataError, Objects

#: Pixels that a corner may lie outside of the image unreported: coordinates are rounded.
ROUNDING_PX = 0.5
_SHOWN = 10


class Problem(NamedTuple):
    """A fault of one box, or of what an annotation says of its image.

    Attributes:
        file: the annotation's.
        line: in that file, from 1, or None.
        what: the fault and, behind it, what `fix` makes of it.
        box: (x1, y1, x2, y2) in pixels as it was drawn, or None.
    """

    file: Path
    line: int | None
    what: str
    box: tuple[float, float, float, float] | None

    def __str__(self) -> str:
        box = "" if self.box is None else f", box ({', '.join(f'{v:g}' for v in self.box)})"
        return f"{self.file}{'' if self.line is None else f', line {self.line}'}: {self.what}{box}"


def checked_objects(
    drawn: DrawnImage,
    size: tuple[int, int],
    index: Mapping[str, int],
    *,
    least_side: float = 0.0,
) -> tuple[Objects, list[Problem]]:
    """Checks the boxes of one image, and gives those that are left when their faults are mended.

    A box of an unknown class is dropped, and so are a degenerate one (a side of no length, a corner
    that is no number), one that lies outside of the image, and the second of two that are equal in
    place and class. One that reaches out of the image is clipped.

    Args:
        drawn: the image and its boxes.
        size: (height, width) of the image.
        index: name of a class -> its index.
        least_side: both sides of a box must be longer, pixels.

    Returns:
        The boxes that are left, and the faults in the order of the boxes.

    Example:
        >>> boxes = (DrawnBox(1, "cell", (2, 1, 9, 4)), DrawnBox(2, "cell", (5, 1, 5, 4)))
        >>> image = DrawnImage(file=Path("a.xml"), image=Path("a.png"), boxes=boxes)
        >>> objects, problems = checked_objects(image, (6, 8), {"cell": 0})
        >>> objects.boxes.tolist()
        [[2.0, 1.0, 8.0, 4.0]]
        >>> print(problems[0])
        a.xml, line 1: reaches 1 px out of the image of 8 x 6 px (clipped), box (2, 1, 9, 4)
    """
    kept: dict[tuple, DrawnBox] = {}
    problems = []
    for box in drawn.boxes:
        corners, fault = _mended(box, size, index, least_side)
        if fault is None and (box.name, corners) in kept:
            first = kept[box.name, corners].line
            place = "" if first is None else f" the one in line {first}"
            corners, fault = None, f"duplicated: equal to{place or ' another'} (dropped)"
        if fault is not None:
            problems.append(Problem(drawn.file, box.line, fault, box.corners))
        if corners is not None:
            kept.setdefault((box.name, corners), box)
    objects = Objects(
        boxes=[corners for _, corners in kept],
        labels=[index[name] for name, _ in kept],
        difficult=[box.difficult for box in kept.values()],
    )
    return objects, problems


def require_sound(problems: Sequence[Problem], where: Path) -> None:
    """Refuses a data set with faults.

    Args:
        problems: all that were found.
        where: the data set.

    Raises:
        DataError: that lists the first ten and says how many there are.
    """
    if not problems:
        return
    listed = "\n".join(f"  {problem}" for problem in problems[:_SHOWN])
    more = f"\n  and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    raise DataError(
        f"{where}: {len(problems)} fault{'s' * (len(problems) > 1)} in the annotations; correct "
        f"the files, or pass fix=True for what stands in brackets\n{listed}{more}"
    )


def _mended(
    box: DrawnBox, size: tuple[int, int], index: Mapping[str, int], least_side: float
) -> tuple[tuple[float, ...] | None, str | None]:
    """Gives the corners that are left of a box, and its fault."""
    if box.fault is not None:
        return None, f"{box.fault} (dropped)"
    if box.name not in index:
        return None, f"unknown class {box.name!r}; known are {', '.join(index)} (dropped)"
    if not all(map(math.isfinite, box.corners)):
        return None, f"degenerate: a corner of {box.name} is no number (dropped)"
    height, width = size
    x1, y1, x2, y2 = box.corners
    if x2 - x1 <= least_side or y2 - y1 <= least_side:
        return None, f"degenerate: {box.name} of {x2 - x1:g} x {y2 - y1:g} px (dropped)"
    inside = (max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height)))
    out = max(abs(a - b) for a, b in zip(box.corners, inside, strict=True))
    image = f"the image of {width} x {height} px"
    if inside[2] - inside[0] <= least_side or inside[3] - inside[1] <= least_side:
        return None, f"outside of {image}: {box.name} (dropped)"
    return inside, f"reaches {out:g} px out of {image} (clipped)" if out > ROUNDING_PX else None
