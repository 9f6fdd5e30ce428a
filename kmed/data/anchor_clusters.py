"""Anchors from a user's own boxes: k-means on their widths and heights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kmed.data.sample import Objects

_PATIENCE = 5  # steps without a higher mean IoU that end a start


class AnchorClusters(NamedTuple):
    """Anchors, and how well they fit the boxes.

    Attributes:
        anchors: `(count, 2)` float32 (width, height) in pixels, by area.
        recall: share of the boxes whose best anchor overlaps them with an IoU of `threshold`.
        mean_iou: of each box and its best anchor.
    """

    anchors: np.ndarray
    recall: float
    mean_iou: float


def anchor_clusters(
    sizes: np.ndarray,
    count: int = 9,
    *,
    seed: int = 0,
    threshold: float = 0.5,
    restarts: int = 10,
    iterations: int = 100,
) -> AnchorClusters:
    """Clusters the sizes of boxes by k-means with the distance 1 - IoU.

    The IoU is that of two boxes with one centre. Of all steps of all restarts the anchors with the
    highest mean IoU are kept, for the mean of a cluster, unlike with Euclid's distance, need not
    bring its boxes nearer.

    Reference: Redmon and Farhadi, "YOLO9000: Better, Faster, Stronger", CVPR 2017, section 2
    (Dimension Clusters); Arthur and Vassilvitskii, "k-means++", SODA 2007.

    Args:
        sizes: `(N, 2)` (width, height) of the boxes in pixels of the network's input, above 0.
        count: number of anchors.
        seed: of the draws of k-means++; equal seeds give equal anchors.
        threshold: IoU, above 0 and up to 1, that counts for the recall.
        restarts: number of starts.
        iterations: steps of each start at most.

    Returns:
        The anchors and their fit.

    Raises:
        ValueError: sizes that are none, or fewer different ones than `count`.

    Example:
        >>> sizes = np.array([[10, 10], [10, 11], [10, 12], [40, 20], [42, 20], [44, 20]])
        >>> found = anchor_clusters(sizes, 2)
        >>> found.anchors.tolist(), found.recall
        ([[10.0, 11.0], [42.0, 20.0]], 1.0)
    """
    sizes = _checked(sizes)
    distinct = len(np.unique(sizes, axis=0))
    if not 1 <= count <= distinct:
        raise ValueError(
            f"`count` must be from 1 to {distinct}, the number of different sizes of the "
            f"{len(sizes)} boxes; received {count}"
        )
    if restarts < 1 or iterations < 1:
        raise ValueError(
            f"`restarts` and `iterations` must be at least 1; received {restarts}, {iterations}"
        )
    random = np.random.default_rng(seed)
    best, best_iou = None, -1.0
    for _ in range(restarts):
        anchors, gained = _start(sizes, count, random), 0
        highest = -1.0
        for step in range(iterations):
            overlap = shape_iou(sizes, anchors)
            mean_iou = float(overlap.max(axis=1).mean())
            if mean_iou > best_iou:
                best, best_iou = anchors, mean_iou
            if mean_iou > highest:
                highest, gained = mean_iou, step
            elif step - gained == _PATIENCE:
                break
            anchors = _means(sizes, overlap)
    best = best[np.argsort(best.prod(axis=1), kind="stable")].astype(np.float32)
    return AnchorClusters(best, *anchor_fit(sizes, best, threshold=threshold))


def anchor_fit(
    sizes: np.ndarray, anchors: np.ndarray, *, threshold: float = 0.5
) -> tuple[float, float]:
    """Tells how well anchors fit boxes.

    Args:
        sizes: `(N, 2)` (width, height) of the boxes in pixels.
        anchors: `(count, 2)` (width, height) in pixels.
        threshold: IoU, above 0 and up to 1.

    Returns:
        The share of the boxes whose best anchor has an IoU of at least `threshold`, and the mean
        IoU of boxes and their best anchors.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"`threshold` must be above 0 and up to 1; received {threshold}")
    best = shape_iou(_checked(sizes), anchors).max(axis=1)
    return float((best >= threshold).mean()), float(best.mean())


def shape_iou(sizes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Computes the IoU of boxes that have one centre.

    Args:
        sizes: `(N, 2)` (width, height).
        others: `(M, 2)` (width, height).

    Returns:
        `(N, M)` float64.
    """
    sizes, others = np.asarray(sizes, np.float64), np.asarray(others, np.float64)
    common = np.minimum(sizes[:, :1], others[:, 0]) * np.minimum(sizes[:, 1:], others[:, 1])
    return common / (sizes.prod(axis=1)[:, None] + others.prod(axis=1) - common)


def sizes_in_network(
    objects: Sequence[Objects],
    image_sizes: Sequence[tuple[int, int]],
    network_size: tuple[int, int],
    *,
    letterbox: bool = False,
) -> np.ndarray:
    """Gives the sizes of boxes in pixels of a network's input.

    Args:
        objects: of each image.
        image_sizes: (height, width) of each image.
        network_size: (height, width) of the input.
        letterbox: whether images keep their proportions, and are padded.

    Returns:
        `(N, 2)` float64 (width, height) of all boxes, difficult ones left out.
    """
    found = [np.zeros((0, 2))]
    for drawn, (height, width) in zip(objects, image_sizes, strict=True):
        scale = np.array([network_size[1] / width, network_size[0] / height])
        boxes = drawn.boxes[~drawn.difficult].astype(np.float64)
        found.append((boxes[:, 2:] - boxes[:, :2]) * (scale.min() if letterbox else scale))
    return np.concatenate(found)


def _checked(sizes: np.ndarray) -> np.ndarray:
    sizes = np.asarray(sizes, np.float64)
    if sizes.ndim != 2 or sizes.shape[1] != 2 or not len(sizes):
        raise ValueError(f"`sizes` must be (N, 2) with a box at least; received {sizes.shape}")
    if not (np.isfinite(sizes).all() and (sizes > 0).all()):
        raise ValueError("`sizes` must be finite and above 0")
    return sizes


def _start(sizes: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """k-means++: each next start is drawn by its squared distance to the nearest one so far."""
    chosen = [int(random.integers(len(sizes)))]
    distance = 1 - shape_iou(sizes, sizes[chosen])[:, 0]
    while len(chosen) < count:
        weight = distance**2
        chosen.append(int(random.choice(len(sizes), p=weight / weight.sum())))
        distance = np.minimum(distance, 1 - shape_iou(sizes, sizes[chosen[-1:]])[:, 0])
    return sizes[chosen]


def _means(sizes: np.ndarray, overlap: np.ndarray) -> np.ndarray:
    nearest = overlap.argmax(axis=1)
    members = np.bincount(nearest, minlength=overlap.shape[1])
    moved = np.stack(
        [np.bincount(nearest, sizes[:, axis], overlap.shape[1]) for axis in range(2)], axis=1
    )
    moved[members > 0] /= members[members > 0, None]
    # A cluster that lost its boxes takes the box that the anchors fit worst.
    worst = np.argsort(overlap.max(axis=1))
    for number, empty in enumerate(np.flatnonzero(members == 0)):
        moved[empty] = sizes[worst[number]]
    return moved
