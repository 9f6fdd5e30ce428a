"""Boxes around the connected parts of a mask."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from scipy import ndimage

from kmed.data.image_folder import image_folder
from kmed.data.sample import Objects, Sample


def boxes_of_mask(mask: np.ndarray, *, least_pixels: int = 1, touching: str = "corner") -> Objects:
    """Boxes the connected parts of each class of a mask.

    Args:
        mask: `(H, W)` class indices with 0 as background.
        least_pixels: smaller parts are specks and get no box.
        touching: pixels that share a "corner" are connected, or only those that share an "edge".

    Returns:
        One box a part, ordered by class, then by the first pixel; class c has label c - 1.

    Raises:
        ValueError: if the mask is no picture, or `touching` is another word.

    Example:
        >>> boxes_of_mask(np.array([[1, 1, 0], [0, 0, 2]])).boxes.tolist()
        [[0.0, 0.0, 2.0, 1.0], [2.0, 1.0, 3.0, 2.0]]
    """
    if mask.ndim != 2:
        raise ValueError(f"`mask` must be (H, W); received shape {mask.shape}")
    if touching not in ("corner", "edge"):
        raise ValueError(f"`touching` must be 'corner' or 'edge'; received {touching!r}")
    if least_pixels < 1:
        raise ValueError(f"`least_pixels` must be at least 1; received {least_pixels}")
    neighbours = ndimage.generate_binary_structure(2, 2 if touching == "corner" else 1)
    boxes, labels = [], []
    for index in np.unique(mask[mask > 0]):
        parts, _ = ndimage.label(mask == index, neighbours)
        pixels = np.bincount(parts.ravel())
        for number, (rows, columns) in enumerate(ndimage.find_objects(parts), 1):
            if pixels[number] >= least_pixels:
                boxes.append((columns.start, rows.start, columns.stop, rows.stop))
                labels.append(int(index) - 1)
    return Objects(boxes=boxes, labels=labels)


def mask_boxes(
    images: str | os.PathLike,
    masks: str | os.PathLike,
    *,
    classes: int | None = None,
    mask_values: Mapping[int, int] | None = None,
    patient: str | Callable[[str], str] | None = None,
    channels: int | None = None,
    least_pixels: int = 1,
    touching: str = "corner",
) -> list[Sample]:
    """Makes samples with boxes of a folder of pictures and a folder of their masks.

    Args:
        images: as in `image_folder`.
        masks: as in `image_folder`; a mask of background alone makes a negative.
        classes: as in `image_folder`, background included.
        mask_values: as in `image_folder`.
        patient: as in `image_folder`.
        channels: as in `image_folder`.
        least_pixels: as in `boxes_of_mask`.
        touching: as in `boxes_of_mask`.

    Returns:
        Samples sorted by id with `objects`; they still read their masks.

    Raises:
        DataError: as `image_folder`, and what is wrong with a mask, for all are decoded here.
    """
    samples = image_folder(
        images,
        masks,
        classes=classes,
        mask_values=mask_values,
        patient=patient,
        channels=channels,
    )
    return with_mask_boxes(samples, least_pixels=least_pixels, touching=touching)


def with_mask_boxes(
    samples: Sequence[Sample], *, least_pixels: int = 1, touching: str = "corner"
) -> list[Sample]:
    """Gives samples that have masks the boxes of their masks.

    Args:
        samples: pictures; all are decoded.
        least_pixels: as in `boxes_of_mask`.
        touching: as in `boxes_of_mask`.

    Returns:
        The samples with `objects`, in their order.

    Raises:
        ValueError: if a sample has no mask or is a volume.
    """

    def boxed(sample: Sample) -> Sample:
        mask = sample.read().mask
        if mask is None:
            raise ValueError(f"sample {sample.id!r} has no mask to draw boxes around")
        objects = boxes_of_mask(mask, least_pixels=least_pixels, touching=touching)
        return replace(sample, objects=objects)

    with ThreadPoolExecutor() as pool:
        return list(pool.map(boxed, samples))
