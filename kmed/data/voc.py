"""Boxes in the XML files of Pascal VOC, which LabelImg and most annotation programs write."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from kmed.data.drawn_boxes import DrawnBox, DrawnImage, DrawnSet
from kmed.data.drawn_images import count_left_out, find_image
from kmed.data.image_lookup import ImageLookup
from kmed.data.label_kinds import split_part
from kmed.data.pairing import files_below
from kmed.data.sample import DataError


def voc_boxes(path: str | os.PathLike, *, images: str | os.PathLike | None = None) -> DrawnSet:
    """Reads the boxes of a Pascal VOC folder.

    An image is the file of its XML's name, else the one in the tag `filename`. Stored corners are
    pixels counted from 1 that still belong to the object; (xmin - 1, ymin - 1, xmax, ymax) is its
    box; one that a program counted from 0 reaches out of the image by a pixel, which `annotated`
    reports. A box of one row or one column of pixels, which a click leaves behind, is degenerate.

    Reference: Everingham et al., "The PASCAL Visual Object Classes Challenge 2007 (VOC2007)
    Development Kit", sections 4 and 8.

    Args:
        path: a folder with `Annotations` and `JPEGImages` (or XML beside the images), or one file;
            `ImageSets/Main/train.txt`, `val.txt` and `test.txt` are its split.
        images: the folder of images, where it is another.

    Returns:
        What the files say, in the order of their names.

    Raises:
        DataError: an image that is not there, XML that cannot be read, an object without a name
            or a corner.
    """
    path = Path(path)
    root = path if path.is_dir() else path.parent
    folder = root / "Annotations" if (root / "Annotations").is_dir() else root
    files = files_below(folder if path.is_dir() else path, (".xml",))
    if not files:
        raise DataError(f"{folder}: no XML files of Pascal VOC in this folder")
    if images is None:
        beside = root.parent if root.name == "Annotations" else root
        images = beside / "JPEGImages" if (beside / "JPEGImages").is_dir() else beside
    lookup = ImageLookup(images)
    parts = _parts(folder.parent if folder.name == "Annotations" else root)
    drawn = []
    for file in files:
        name = file.relative_to(folder).with_suffix("").as_posix()
        part = parts.get(name, parts.get(file.stem))
        drawn.append(_image(file, name, part, lookup))
    if path.is_dir():
        count_left_out(folder, lookup, drawn)
    return DrawnSet(images=tuple(drawn), least_side=1.0)


@dataclass
class _Element:
    tag: str
    line: int
    text: str = ""
    children: list[_Element] = field(default_factory=list)

    def all(self, tag: str) -> list[_Element]:
        return [child for child in self.children if child.tag == tag]

    def get(self, *tags: str) -> _Element | None:
        found = self
        for tag in tags:
            found = next(iter(found.all(tag)), None)
            if found is None:
                return None
        return found


def _parsed(file: Path) -> _Element:
    """Reads XML; unlike ElementTree's, each element knows its line."""
    top = _Element("", 0)
    path = [top]
    parser = expat.ParserCreate()

    def start(tag: str, _: dict) -> None:
        element = _Element(tag, parser.CurrentLineNumber)
        path[-1].children.append(element)
        path.append(element)

    def text(part: str) -> None:
        path[-1].text += part

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: path.pop()
    parser.CharacterDataHandler = text
    try:
        parser.Parse(file.read_bytes(), True)
    except (OSError, expat.ExpatError, LookupError, ValueError) as error:
        raise DataError(f"{file}: cannot be read as XML ({error})") from error
    return top.children[0]


def _image(file: Path, name: str, part: str | None, lookup: ImageLookup) -> DrawnImage:
    element = _parsed(file)
    if element.tag != "annotation":
        raise DataError(f"{file}: no <annotation> of Pascal VOC; its element is <{element.tag}>")
    stated = element.get("filename")
    names = (name, file.stem, "" if stated is None else stated.text.strip())
    return DrawnImage(
        file=file,
        image=find_image(lookup, names, str(file)),
        boxes=tuple(_box(drawn, file) for drawn in element.all("object")),
        size=_size(element),
        part=part,
    )


def _box(element: _Element, file: Path) -> DrawnBox:
    name = element.get("name")
    if name is None or not name.text.strip():
        raise DataError(f"{file}, line {element.line}: an <object> needs a <name>")
    corners = []
    for tag in ("xmin", "ymin", "xmax", "ymax"):
        found = element.get("bndbox", tag)
        try:
            corners.append(float("" if found is None else found.text))
        except ValueError as error:
            raise DataError(
                f"{file}, line {(found or element).line}: <{tag}> of an <object> must be a number; "
                f"received {None if found is None else found.text.strip()!r}"
            ) from error
    difficult = element.get("difficult")
    return DrawnBox(
        element.line,
        name.text.strip(),
        (corners[0] - 1, corners[1] - 1, corners[2], corners[3]),
        difficult is not None and difficult.text.strip() in ("1", "true", "True"),
    )


def _size(element: _Element) -> tuple[int, int] | None:
    found = [element.get("size", tag) for tag in ("height", "width")]
    try:
        height, width = (int(float(tag.text)) for tag in found if tag is not None)
    except ValueError:
        return None
    return (height, width) if height > 0 and width > 0 else None  # some programs write 0


def _parts(root: Path) -> dict[str, str]:
    """Name of an image -> its part of the split."""
    lists = root / "ImageSets" / "Main"
    parts: dict[str, str] = {}
    for file in sorted(lists.glob("*.txt")) if lists.is_dir() else []:
        part = split_part(file.stem)  # of a class, such as `dog_train`, it is None
        if part is None:
            continue
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            if line.strip() and parts.setdefault(line.split()[0], part) != part:
                raise DataError(
                    f"{file}, line {number}: {line.split()[0]!r} is also in the list of "
                    f"{parts[line.split()[0]]}; an image belongs to one part"
                )
    both = lists / "trainval.txt"
    if both.is_file() and "train" not in parts.values():  # the official test part of VOC2007
        for line in both.read_text(encoding="utf-8").splitlines():
            if line.strip():
                parts.setdefault(line.split()[0], "train")
    return parts
