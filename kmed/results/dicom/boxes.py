"""Boxes that a detector found, tied to the DICOM images or the volume they were found in."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kmed.data.dicom.header import Header
from kmed.data.dicom.series import Series
from kmed.results.boxes import checked_boxes
from kmed.results.dicom.source_planes import Instance, Planes


@dataclass(frozen=True, kw_only=True)
class ImageBox:
    """A box in one image.

    Attributes:
        file: path of the DICOM file.
        box_xyxy: (x1, y1, x2, y2) in pixels; (0, 0) is the image's upper left corner.
        label: name of the class.
        score: from 0 to 1; None where there is none.
        frame: 0-based number of the frame in its file.
    """

    file: str
    box_xyxy: tuple[float, float, float, float]
    label: str
    score: float | None = None
    frame: int = 0


@dataclass(frozen=True, kw_only=True)
class VolumeBox:
    """A cuboid in a series.

    Attributes:
        box: (d1, h1, w1, d2, h2, w2) in voxels of the series' array; (0, 0, 0) is the outer corner
            of its first voxel.
        label: name of the class.
        score: from 0 to 1; None where there is none.
    """

    box: tuple[float, float, float, float, float, float]
    label: str
    score: float | None = None


def image_boxes(
    file: str | os.PathLike,
    row: Mapping[str, Any],
    labels: Sequence[str],
    *,
    frame: int = 0,
) -> list[ImageBox]:
    """Makes boxes of what a detector found in one image.

    Args:
        file: path of the DICOM file.
        row: `boxes` `(N, 4)` as (x1, y1, x2, y2) in pixels, `scores` `(N,)`, `labels` `(N,)`, as
            `write_coco_json` takes them.
        labels: names of the classes of objects.
        frame: 0-based number of the frame in its file.

    Returns:
        The boxes in their order.

    Raises:
        ValueError: arrays that do not fit each other, or a class without a name.

    Example:
        >>> row = {"boxes": [[4, 4, 20, 24]], "scores": [0.5], "labels": [0]}
        >>> image_boxes("a.dcm", row, ["cell"])[0].box_xyxy
        (4.0, 4.0, 20.0, 24.0)
    """
    boxes, scores, classes = checked_boxes(row, labels, os.path.basename(file))
    return [
        ImageBox(
            file=str(file),
            box_xyxy=tuple(float(edge) for edge in box),
            label=str(labels[each]),
            score=float(score),
            frame=frame,
        )
        for box, each, score in zip(boxes, classes, scores, strict=True)
    ]


def require_boxes(boxes: Iterable[ImageBox | VolumeBox]) -> None:
    """Refuses boxes without extent, without a name or with a score that is none.

    Args:
        boxes: to be checked.

    Raises:
        ValueError: saying which box and what is wrong.
    """
    for box in boxes:
        edges = np.asarray(box.box_xyxy if isinstance(box, ImageBox) else box.box, np.float64)
        size = 4 if isinstance(box, ImageBox) else 6
        if edges.shape != (size,) or not np.isfinite(edges).all():
            raise ValueError(f"a box must have {size} finite edges; received {box}")
        if not (edges[size // 2 :] > edges[: size // 2]).all():
            raise ValueError(
                f"the far edges of a box must lie beyond its near ones; received {box}"
            )
        if not box.label.strip() or len(box.label) > 64 or not box.label.isprintable():
            raise ValueError(f"a box's label must be text of 1 to 64 characters; received {box}")
        if box.score is not None and not 0 <= box.score <= 1:
            raise ValueError(f"a box's score must lie from 0 to 1; received {box}")


def corners(box: ImageBox, header: Header) -> np.ndarray:
    """Gives the corners of a box, cut off at the edges of its image.

    Args:
        box: the box.
        header: of its file.

    Returns:
        `(5, 2)` columns and rows of a closed line, in pixels.

    Raises:
        ValueError: a box outside of its image, or a frame that its file does not have.
    """
    if header.frames and header.frames[0].tile:
        raise ValueError(
            f"{header.source.name}: is a mosaic of slices; give boxes in them as VolumeBox"
        )
    if not 0 <= box.frame < header.number_of_frames:
        raise ValueError(
            f"{header.source.name}: has {header.number_of_frames} frames; a box lies in frame "
            f"number {box.frame + 1}"
        )
    x1, y1, x2, y2 = np.clip(box.box_xyxy, 0, [header.columns, header.rows] * 2)
    if not (x2 > x1 and y2 > y1):
        raise ValueError(
            f"{header.source.name}: a box lies outside of its {header.columns} x {header.rows} "
            f"pixels; received {box.box_xyxy}"
        )
    return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2], [x1, y1]])


def outlines_mm(
    box: VolumeBox, series: Series, planes: Planes
) -> tuple[list[np.ndarray], list[Instance]]:
    """Cuts a cuboid with the planes of its series.

    A cuboid between two planes is outlined in the nearest one.

    Args:
        box: the cuboid.
        series: the series.
        planes: of the series.

    Returns:
        Closed outlines `(5, 3)` in LPS mm, one for each plane whose centre it holds, and the
        source images of these planes, where they are known.

    Raises:
        ValueError: a cuboid outside of the volume.
    """
    shape = np.array(series.array.shape, np.float64)
    low, high = np.clip(np.reshape(box.box, (2, 3)), 0, shape)
    if not (high > low).all():
        raise ValueError(
            f"a box lies outside of the volume of {series.array.shape} voxels; received {box.box}"
        )
    across, down, along = planes.axes
    # Voxel i reaches from i to i + 1; its centre has the index i in the affine.
    first, last = math.ceil(low[across] - 0.5), math.ceil(high[across] - 0.5) - 1
    if last < first:
        first = last = min(int(low[across] + high[across]) // 2, int(shape[across]) - 1)
    outlines = []
    for plane in range(first, last + 1):
        points = np.zeros((5, 3))
        points[:, across] = plane
        points[:, down] = np.array([low, low, high, high, low])[:, down] - 0.5
        points[:, along] = np.array([low, high, high, low, low])[:, along] - 0.5
        outlines.append(points @ series.affine[:3, :3].T + series.affine[:3, 3])
    sources = [planes.sources[plane] for plane in range(first, last + 1)]
    return outlines, [source for source in sources if source]
