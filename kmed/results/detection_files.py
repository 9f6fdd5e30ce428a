"""Detections as files for other programs: COCO's JSON and a table."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kmed.data.atomic import replacing
from kmed.results.boxes import checked_boxes

#: Columns of the table, one row for each box.
COLUMNS = ("image", "label", "score", "x1", "y1", "x2", "y2")


def write_coco_json(
    path: str | os.PathLike, rows: Iterable[Mapping[str, Any]], labels: Sequence[str]
) -> Path:
    """Writes detections as a COCO data set whose annotations have a score.

    Each image is written when it comes, so `rows` may be a generator over any number of images.
    Categories count from 1 as in COCO's own files. The list under "annotations" is what COCO's
    result files hold: `pycocotools.coco.COCO.loadRes` takes it.

    Reference: https://cocodataset.org/#format-data and #format-results.

    Args:
        path: the file; missing folders are made, and it appears whole or not at all.
        rows: for each image `name` (its file name), `height` and `width` in pixels, `boxes`
            `(N, 4)` as (x1, y1, x2, y2) in pixels, `scores` `(N,)` and `labels` `(N,)`, indices
            among the classes of objects; perhaps `id`, a whole number, which is otherwise the
            number of the row from 1 on.
        labels: names of the classes of objects, without the background.

    Returns:
        The path.

    Raises:
        ValueError: for arrays that do not fit each other, numbers that are not finite, or a class
            without a name.

    Example:
        >>> import tempfile
        >>> row = {"name": "a.png", "height": 32, "width": 32}
        >>> row |= {"boxes": [[4, 4, 20, 24]], "scores": [0.9], "labels": [0]}
        >>> file = write_coco_json(tempfile.mkdtemp() + "/found.json", [row], ["cell"])
        >>> json.loads(file.read_text())["annotations"][0]["bbox"]
        [4.0, 4.0, 16.0, 20.0]
    """
    images, number = [], 0
    categories = [{"id": k, "name": str(name)} for k, name in enumerate(labels, 1)]
    with replacing(path) as unfinished, open(unfinished, "w", encoding="utf-8") as file:
        file.write(f'{{"categories": {_json(categories)},\n"annotations": [')
        for row in rows:
            size = {"height": int(row["height"]), "width": int(row["width"])}
            image = {"id": int(row.get("id", len(images) + 1)), "file_name": str(row["name"])}
            for label, score, (x1, y1, x2, y2) in _boxes(row, labels):
                box = [x1, y1, round(x2 - x1, 3), round(y2 - y1, 3)]
                entry = {"id": number + 1, "image_id": image["id"], "category_id": label + 1}
                entry |= {"bbox": box, "area": round(box[2] * box[3], 3), "iscrowd": 0}
                file.write(("," if number else "") + "\n" + _json(entry | {"score": score}))
                number += 1
            images.append(image | size)
        # Last, as how many there are is known only now; one line each.
        listed = ",\n".join(map(_json, images))
        file.write(f'],\n"images": [\n{listed}]}}\n')
    return Path(path)


def write_detections_csv(
    path: str | os.PathLike, rows: Iterable[Mapping[str, Any]], labels: Sequence[str]
) -> Path:
    """Writes detections as a table: image, label, score and the corners of the box in pixels.

    An image without a box has one row with its name alone, so that the table tells it from an
    image that was not looked at.

    Args:
        path: the file; missing folders are made, and it appears whole or not at all.
        rows: as `write_coco_json`; `height` and `width` take no part.
        labels: names of the classes of objects, without the background.

    Returns:
        The path.

    Raises:
        ValueError: as `write_coco_json`.
    """
    with (
        replacing(path) as unfinished,
        open(unfinished, "w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rows:
            empty = True
            for label, score, corners in _boxes(row, labels):
                writer.writerow([row["name"], labels[label], score, *corners])
                empty = False
            if empty:
                writer.writerow([row["name"], *[""] * (len(COLUMNS) - 1)])
    return Path(path)


def _boxes(row: Mapping, labels: Sequence[str]) -> Iterator[tuple[int, float, list[float]]]:
    """Label, score and corners of each box as Python's numbers, without padding."""
    boxes, scores, classes = checked_boxes(row, labels, str(row["name"]))
    wrong = ~np.isfinite(np.column_stack([boxes, scores])).all(axis=1)
    if wrong.any():
        at = int(wrong.argmax())
        raise ValueError(
            f"{row['name']}: boxes and scores must be finite; received {boxes[at].tolist()} with "
            f"score {scores[at]}"
        )
    # A thousandth of a pixel and a millionth of a probability, not all of a float's digits.
    return zip(classes.tolist(), scores.round(6).tolist(), boxes.round(3).tolist(), strict=True)


def _json(value) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
