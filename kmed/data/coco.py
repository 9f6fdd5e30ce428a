"""Boxes in JSON files of the COCO format."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from pathlib import Path

from kmed.data.drawn_boxes import DrawnBox, DrawnImage, DrawnSet
from kmed.data.drawn_images import find_image
from kmed.data.image_lookup import ImageLookup
from kmed.data.json_records import Record, read_records
from kmed.data.label_kinds import split_part
from kmed.data.sample import DataError

_LISTS = ("images", "annotations", "categories")


def coco_boxes(path: str | os.PathLike, *, images: str | os.PathLike | None = None) -> DrawnSet:
    """Reads the boxes of one JSON file of the COCO format, or of a folder with one for each part.

    A stored box is [x, y, width, height] in pixels, x from 0 at the left edge of the image. Crowds
    are marked difficult. An image without annotations is a negative. The classes are the categories
    in the order of their ids; one without boxes that is but the supercategory of others is none.

    Reference: Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014;
    https://cocodataset.org/#format-data (Object Detection).

    Args:
        path: the file, or what `coco_files` takes; the name of a file or of its folder tells the
            part of the split, such as `instances_val2017.json` or `valid/boxes.json`.
        images: the folder of images; None: the folder of the file, or the one above `annotations`.

    Returns:
        What the files say, in their order.

    Raises:
        DataError: naming file and line: an image that is not there, a record that lacks what it
            needs, an annotation of an unknown image.
    """
    path = Path(path)
    files = [path] if path.is_file() else coco_files(path)
    if not files:
        raise DataError(f"{path}: no JSON file with images and annotations of the COCO format")
    root = path.parent if path.is_file() else path
    if images is None:
        images = root.parent if root.name == "annotations" else root
    lookup = ImageLookup(images)
    drawn: list[DrawnImage] = []
    names: list[str] = []
    above: set[str] = set()
    for file in files:
        records = read_records(file, _LISTS)
        categories = _categories(records["categories"], file)
        names += [name for name in categories.values() if name not in names]
        for _, category in records["categories"]:
            above |= {str(category.get("supercategory"))} - {category["name"]}
        drawn += _images(records, categories, file, lookup)
    if not drawn:
        raise DataError(f"{files[0]}: lists no images")
    used = {box.name for image in drawn for box in image.boxes}
    names = [name for name in names if name in used or name not in above]
    return DrawnSet(images=tuple(drawn), names=tuple(names))


def coco_files(root: Path) -> list[Path]:
    """Lists the JSON files of the COCO format in a folder, its `annotations` and its parts.

    Args:
        root: the folder.

    Returns:
        The files, sorted; only those called `instances_...` if there are any, for COCO repeats the
        images in files of key points and captions.
    """
    folders = [root]
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        if folder.name == "annotations" or split_part(folder.name):
            folders.append(folder)
    found = [file for folder in folders for file in sorted(folder.glob("*.json")) if _is_coco(file)]
    return [file for file in found if file.name.startswith("instances_")] or found


def _is_coco(file: Path) -> bool:
    content = file.read_bytes()  # a key may stand behind megabytes of others
    return all(b'"%b"' % key.encode() in content for key in _LISTS)


def _categories(records: list[Record], file: Path) -> dict[int, str]:
    categories: dict[int, str] = {}
    for record in records:
        index, name = _needed(record, "id", int, file), _needed(record, "name", str, file)
        if index in categories or name in categories.values():
            raise DataError(
                f"{file}, line {record.line}: category {index}, {name!r}, is there twice"
            )
        categories[index] = name
    return dict(sorted(categories.items()))


def _images(records, categories: dict[int, str], file: Path, lookup: ImageLookup):
    boxes: dict[int, list[DrawnBox]] = defaultdict(list)
    listed = {_needed(record, "id", int, file) for record in records["images"]}
    if len(listed) < len(records["images"]):
        raise DataError(f"{file}: two images have one id")
    for record in records["annotations"]:
        image = _needed(record, "image_id", int, file)
        if image not in listed:
            raise DataError(
                f"{file}, line {record.line}: an annotation of image {image}, which is not listed"
            )
        boxes[image].append(_box(record, categories, file))
    words = re.split(r"[\W\d_]+", file.stem)  # such as instances_train2017
    part = next(filter(None, map(split_part, [*words, file.parent.name])), None)
    # COCO names an image without the folder of its part, which may stand beside `annotations`.
    folders = [words[-1], f"images/{words[-1]}", file.stem.rpartition("_")[2]]
    folders = [file.parent.name, *folders, f"images/{folders[-1]}"]
    for record in records["images"]:
        name = _needed(record, "file_name", str, file)
        size = record.value.get("height"), record.value.get("width")
        yield DrawnImage(
            file=file,
            line=record.line,
            image=find_image(
                lookup,
                [*(f"{folder}/{name}" for folder in folders), name, name.rpartition("/")[2]],
                f"{file}, line {record.line}",
            ),
            boxes=tuple(boxes[record.value["id"]]),
            size=size if all(type(side) is int and side > 0 for side in size) else None,
            part=part,
        )


def _box(record: Record, categories: dict[int, str], file: Path) -> DrawnBox:
    category = _needed(record, "category_id", int, file)
    stored = _needed(record, "bbox", list, file)
    if len(stored) != 4 or not all(type(value) in (int, float) for value in stored):
        raise DataError(
            f"{file}, line {record.line}: `bbox` must be [x, y, width, height] in pixels; "
            f"received {stored}"
        )
    x, y, width, height = stored
    name = categories.get(category, f"category {category}")
    crowd = bool(record.value.get("iscrowd"))
    return DrawnBox(record.line, name, (x, y, x + width, y + height), crowd)


def _needed(record: Record, key: str, kind: type, file: Path):
    value = record.value.get(key)
    if type(value) is not kind:
        raise DataError(
            f"{file}, line {record.line}: needs {key!r}, {kind.__name__}; received {value!r}"
        )
    return value
