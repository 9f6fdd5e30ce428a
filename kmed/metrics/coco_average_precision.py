"""Average precision of boxes as COCO counts it, by pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence

import numpy as np

from kmed.metrics.box_matching import Boxes, checked_images, corner_and_size

#: Measures of a class, in the order of `coco_average_precision`.
MEASURES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "recall")

# No area range reaches it (COCO's "all" ends at 1e10 pixels), so that pycocotools takes an object
# of this area for neither right nor wrong while it still compares its box as any other's. `iscrowd`
# would not do: a crowd is overlapped by every box inside of it.
_IGNORED_AREA = 2e10


def coco_average_precision(
    truth: Sequence[Boxes],
    found: Sequence[Boxes],
    labels: Sequence[str],
    *,
    max_detections: int = 100,
) -> dict[str, dict[str, float]]:
    """Returns COCO's average precision and recall of each class and of all.

    `ap` is the mean over the overlaps 0.50, 0.55, ... 0.95, `ap50` and `ap75` are those of one
    overlap; each averages the precision at 101 recalls. `ap_small` (below 32 x 32 pixels),
    `ap_medium` and `ap_large` (above 96 x 96) count objects of one size. `recall` is the share of
    objects found, averaged over the same ten overlaps.

    Under "all" are the means over the classes that have objects. A class without any gives NaN.
    Difficult objects count neither for nor against a detector.

    Reference:
        Lin et al.: Microsoft COCO: common objects in context, ECCV 2014; computed by
        pycocotools 2.0.11.

    Args:
        truth: per image `{"boxes": (M, 4), "labels": (M,), "difficult": (M,) bool, optional}`,
            boxes as (x1, y1, x2, y2) in pixels, labels 0..K-1.
        found: per image `{"boxes": (N, 4), "scores": (N,), "labels": (N,)}`.
        labels: names of the K classes of objects.
        max_detections: of each image and class, the best that count.

    Returns:
        `{name: {measure: value}}`, the classes in the order of `labels`, "all" last.

    Raises:
        ValueError: for lists or arrays that do not fit one another, or labels that are no class.

    Example:
        >>> truth = [{"boxes": [[0, 0, 10, 10]], "labels": [0]}]
        >>> found = [{"boxes": [[0, 0, 10, 8]], "scores": [0.9], "labels": [0]}]
        >>> values = coco_average_precision(truth, found, ["cell"])["cell"]
        >>> round(values["ap"], 3), round(values["ap75"], 3)
        (0.7, 1.0)
    """
    evaluation = coco_evaluation(truth, found, labels, max_detections=max_detections)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.accumulate()
    # (overlaps, recalls, classes, areas, detections), -1 where there is no object
    precision = np.where(evaluation.eval["precision"] < 0, np.nan, evaluation.eval["precision"])
    recall = np.where(evaluation.eval["recall"] < 0, np.nan, evaluation.eval["recall"])
    averages = precision.mean(axis=1)[..., 0]
    columns = [
        averages[:, :, 0].mean(axis=0),
        averages[0, :, 0],
        averages[5, :, 0],
        *averages[:, :, 1:].mean(axis=0).T,
        recall[:, :, 0, 0].mean(axis=0),
    ]
    known = [column[np.isfinite(column)] for column in columns]
    means = [column.mean() if len(column) else np.nan for column in known]
    rows = [*np.stack(columns, axis=1), means]
    return {
        name: {key: float(value) for key, value in zip(MEASURES, row, strict=True)}
        for name, row in zip([*labels, "all"], rows, strict=True)
    }


def coco_evaluation(
    truth: Sequence[Boxes],
    found: Sequence[Boxes],
    labels: Sequence[str],
    *,
    max_detections: int = 100,
):
    """Lets pycocotools match the detections of every image with its objects, without printing.

    Args:
        truth: as `coco_average_precision`.
        found: the same.
        labels: the same.
        max_detections: the same.

    Returns:
        `pycocotools.cocoeval.COCOeval` after `evaluate`: `evalImgs` holds an entry, or None, of
        each class, area range and image, the image running fastest.

    Raises:
        ValueError: as `coco_average_precision`.
    """
    truth, found = checked_images(truth, found, labels)
    if max_detections < 1:
        raise ValueError(f"`max_detections` must be at least 1; received {max_detections}")
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    tables = []
    with contextlib.redirect_stdout(io.StringIO()):
        for images in (truth, found):
            table = COCO()
            table.dataset = {
                "images": [{"id": image} for image in range(len(images))],
                "categories": [{"id": index} for index in range(len(labels))],
                "annotations": _annotations(images),
            }
            table.createIndex()
            tables.append(table)
        evaluation = COCOeval(*tables, iouType="bbox")
        evaluation.params.maxDets = [max_detections]
        evaluation.evaluate()
    return evaluation


def _annotations(images):
    rows = []
    for image, boxes in enumerate(images):
        placed = corner_and_size(boxes["boxes"])
        for i, box in enumerate(placed.tolist()):
            difficult = "difficult" in boxes and boxes["difficult"][i]
            row = {
                "id": len(rows) + 1,  # 0 means "no match" in pycocotools
                "image_id": image,
                "category_id": int(boxes["labels"][i]),
                "bbox": box,
                "area": _IGNORED_AREA if difficult else box[2] * box[3],
                "iscrowd": 0,
            }
            if "scores" in boxes:
                row["score"] = float(boxes["scores"][i])
            rows.append(row)
    return rows
