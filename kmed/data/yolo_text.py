"""Boxes in YOLO's text files: one file an image, a line for each box."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kmed.data import pictures
from kmed.data.drawn_boxes import DrawnBox, DrawnImage, DrawnSet
from kmed.data.label_kinds import split_part
from kmed.data.pairing import files_below
from kmed.data.sample import DataError
from kmed.data.yolo_settings import YoloSettings, yolo_settings

# Text that lies beside boxes: names of classes, lists of parts, what people write.
_BESIDE = ("classes", "labels", "notes", "obj", "readme", "requirements", "license", "licence")


def yolo_boxes(
    path: str | os.PathLike,
    *,
    images: str | os.PathLike | None = None,
    names: Sequence[str] | None = None,
) -> DrawnSet:
    """Reads the boxes of a folder in YOLO's layout.

    The boxes of `images/NAME.jpg` are in `labels/NAME.txt`, or in `NAME.txt` beside it; an image
    without that file, or with an empty one, is a negative. A line is `class cx cy width height`,
    the class as an index from 0, the others as fractions of the image's width and height; a polygon
    `class x1 y1 x2 y2 x3 y3 ...` is taken as its bounding box.

    Reference: Redmon, Darknet, https://github.com/pjreddie/darknet (`scripts/voc_label.py`);
    https://docs.ultralytics.com/datasets/detect/.

    Args:
        path: the folder, or its .yaml or .data file. Parts of the split are what that file names,
            or folders called train, val and test above the images.
        images: the folder of images where it is another; `path` is then the folder of labels.
        names: of the classes, where no file says them; None: "0", "1", ...

    Returns:
        What the files say, in the order of the images.

    Raises:
        DataError: naming file and line: what is no box, boxes of an image that is not there.
    """
    path = Path(path)
    settings = yolo_settings(path)
    names = settings.names or (None if names is None else tuple(names))
    root = path if path.is_dir() else path.parent
    placed = _placed(settings, root, images)
    if not placed:
        raise DataError(f"{images or root}: no pictures (PNG, JPEG, TIFF) in this folder")
    labels = [_label_file(image, root, base) for image, base, _ in placed]
    if not any(file.is_file() for file in labels):
        raise DataError(f"{root}: no image has a text file of boxes; looked for {labels[0]}")
    lists = any(place.is_file() for places in settings.parts.values() for place in places)
    if not lists:  # which may name some of the images
        _require_images(labels)
    with ThreadPoolExecutor() as pool:  # reading headers waits for the disk
        sizes = pool.map(_size, [image for image, _, _ in placed], labels)
    drawn = [
        DrawnImage(file=file, image=image, boxes=_boxes(file, size, names), part=part)
        for (image, _, part), file, size in zip(placed, labels, sizes, strict=True)
    ]
    if names is None:
        highest = max((int(box.name) for image in drawn for box in image.boxes), default=0)
        names = tuple(map(str, range(highest + 1)))
    return DrawnSet(images=tuple(drawn), names=names)


def _placed(settings: YoloSettings, root: Path, images) -> list[tuple[Path, Path, str | None]]:
    """Each image, the folder that it was found in, and its part."""
    if settings.parts and images is None:
        return [
            (image, place if place.is_dir() else place.parent, part)
            for part, places in settings.parts.items()
            for place in places
            for image in (_of_list(place) if place.is_file() else _below(place))
        ]
    inside = root / "images" if (root / "images").is_dir() else root
    base = Path(images) if images is not None else inside
    placed = []
    for image in _below(base):
        folders = image.relative_to(base).parts[:-1]
        part = next(filter(None, map(split_part, folders)), None)
        placed.append((image, base, part))
    return placed


def _below(folder: Path) -> list[Path]:
    return files_below(folder, pictures.SUFFIXES)


def _of_list(path: Path) -> list[Path]:
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        if line.strip():
            options = (Path(line.strip()), path.parent / line.strip())
            image = next((option for option in options if option.is_file()), None)
            if image is None:
                raise DataError(f"{path}, line {number}: no image {line.strip()!r}")
            found.append(image)
    return found


def _label_file(image: Path, root: Path, base: Path) -> Path:
    folders = list(image.with_suffix(".txt").parts)
    places = [number for number, part in enumerate(folders[:-1]) if part == "images"]
    options = []
    if places:
        folders[places[-1]] = "labels"
        options.append(Path(*folders))
    options.append(image.with_suffix(".txt"))
    if image.is_relative_to(base):
        below = image.relative_to(base).with_suffix(".txt")
        options += [root / "labels" / below, root / below]
    return next((option for option in options if option.is_file()), options[0])


def _require_images(labels: list[Path]) -> None:
    """Refuses boxes without an image: it may be gone, and with it a patient's finding."""
    known = set(labels)
    for folder in sorted({file.parent for file in labels if file.is_file()}):
        for file in sorted(folder.glob("*.txt")):
            beside = file.stem.lower() in _BESIDE or split_part(file.stem)
            if file not in known and not beside:
                raise DataError(f"{file}: there is no image of these boxes")


def _size(image: Path, label: Path) -> tuple[int, int]:
    return pictures.picture_header(image).size if label.is_file() else (0, 0)


def _boxes(file: Path, size: tuple[int, int], names) -> tuple[DrawnBox, ...]:
    if not file.is_file():
        return ()
    boxes = []
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read ({error})") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            boxes.append(_box(line.split(), size, names, number, f"{file}, line {number}"))
    return tuple(boxes)


def _box(cells: list[str], size, names, number: int, where: str) -> DrawnBox:
    try:
        index, values = int(cells[0]), [float(cell) for cell in cells[1:]]
    except ValueError:
        index, values = -1, []
    polygon = len(values) >= 6 and len(values) % 2 == 0
    if index < 0 or (len(values) != 4 and not polygon):
        raise DataError(
            f"{where}: expected `class cx cy width height`, the class a whole number from 0; "
            f"received {' '.join(cells[:8])!r}"
        )
    height, width = size
    if polygon:
        xs, ys = values[::2], values[1::2]
        x1, y1, x2, y2 = min(xs), min(ys), max(xs), max(ys)
    else:
        cx, cy, w, h = values
        x1, y1, x2, y2 = cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2
    known = names is None or index < len(names)
    name = str(index) if names is None else names[index] if known else f"class {index}"
    return DrawnBox(number, name, (x1 * width, y1 * height, x2 * width, y2 * height))
