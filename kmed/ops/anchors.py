"""Anchors of a region proposal network: boxes of a few sizes and shapes at every pixel of a level.

References:
    Ren, He, Girshick and Sun 2015, "Faster R-CNN", section 3.1.1.
    Lin et al. 2017, "Feature Pyramid Networks for Object Detection", section 4.1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def base_anchors(sizes: Sequence[float], ratios: Sequence[float]) -> np.ndarray:
    """Give the anchors around the point (0, 0), in whole pixels as torchvision rounds them.

    Args:
        sizes: square roots of the areas, in pixels.
        ratios: height divided by width.

    Returns:
        `(len(ratios) * len(sizes), 4)` xyxy float32, the sizes of the first ratio first.

    Example:
        >>> base_anchors((32,), (0.5, 1.0)).tolist()
        [[-23.0, -11.0, 23.0, 11.0], [-16.0, -16.0, 16.0, 16.0]]
    """
    stretch = np.sqrt(np.asarray(ratios, "float32"))
    sizes = np.asarray(sizes, "float32")
    heights = (stretch[:, None] * sizes).ravel()
    widths = (1 / stretch[:, None] * sizes).ravel()
    return np.round(np.stack([-widths, -heights, widths, heights], axis=1) / 2)


def anchor_grid(
    image_size: tuple[int, int],
    feature_sizes: Sequence[tuple[int, int]],
    sizes: Sequence[Sequence[float]],
    ratios: Sequence[float] = (0.5, 1.0, 2.0),
) -> list[np.ndarray]:
    """Give the anchors of every level.

    Level by level they stand at (column * stride, row * stride), the left upper corners of the
    cells, where the stride is the whole part of image by feature size: on a level of which the
    image is no multiple it is torchvision's, a little less than the level's own.

    Args:
        image_size: (height, width) of what the network's first convolution sees, in pixels.
        feature_sizes: (height, width) of each level.
        sizes: square roots of the anchors' areas on each level, in pixels.
        ratios: height divided by width, the same on all levels.

    Returns:
        For each level `(height * width * ratios * sizes, 4)` xyxy float32, in the order of row,
        column, ratio, size.

    Raises:
        ValueError: if there are not as many rows of `sizes` as levels, or a number is not positive.

    Example:
        >>> grid = anchor_grid((8, 16), [(2, 4)], [(4,)], (1.0,))
        >>> grid[0][[0, 1, 4]].tolist()
        [[-2.0, -2.0, 2.0, 2.0], [2.0, -2.0, 6.0, 2.0], [-2.0, 2.0, 2.0, 6.0]]
    """
    if len(sizes) != len(feature_sizes):
        raise ValueError(
            f"`sizes` must have a row for each of the {len(feature_sizes)} levels; received "
            f"{len(sizes)}: {tuple(sizes)}"
        )
    flat = [float(size) for row in sizes for size in row]
    if not len(ratios) or min(map(len, sizes)) < 1 or min([*flat, *ratios]) <= 0:
        raise ValueError(
            f"anchor sizes and ratios must be positive numbers; received {tuple(sizes)} and "
            f"{tuple(ratios)}"
        )
    levels = []
    for (rows, columns), row_of_sizes in zip(feature_sizes, sizes, strict=True):
        y = np.arange(rows) * (image_size[0] // rows)
        x = np.arange(columns) * (image_size[1] // columns)
        y, x = np.meshgrid(y, x, indexing="ij")
        places = np.stack([x, y, x, y], axis=-1).astype("float32")  # (rows, columns, 4)
        anchors = places[:, :, None] + base_anchors(row_of_sizes, ratios)
        levels.append(anchors.reshape(-1, 4).astype("float32"))
    return levels
