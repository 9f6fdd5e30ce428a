"""Default boxes of SSD: where they stand and how large they are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

#: Largest and smallest scale of the paper, of all levels but a first, finer one.
PAPER_SCALES = (0.2, 0.9)


def default_boxes(
    size: tuple[int, int],
    feature_sizes: Sequence[tuple[int, int]],
    aspect_ratios: Sequence[Sequence[float]],
    scales: Sequence[float],
    steps: Sequence[float] | None = None,
) -> np.ndarray:
    """Give the default boxes of all levels.

    Each cell of level k has a square of side `scales[k]`, one of the geometric mean of `scales[k]`
    and `scales[k + 1]`, and for each aspect ratio a an oblong of `scales[k]`, `a` times as wide as
    high, and one as high as that is wide. Scales are shares of the image's shorter side, so that a
    square is a square in an image that is none; no side is longer than the image's.

    Reference: Liu et al. 2016, section 2.2 (choosing scales and aspect ratios).

    Args:
        size: (height, width) of the image in pixels.
        feature_sizes: (height, width) of each level in cells.
        aspect_ratios: of each level, without 1 and without the inverse ones.
        scales: one of each level, and one more.
        steps: distance of a level's cells in pixels; by default the image's size divided by the
            level's.

    Returns:
        `(N, 4)` float32 xyxy in pixels, ordered by level, row, column, and shape as above; they
        reach beyond the image.

    Raises:
        ValueError: if the numbers of levels differ, or a number is not above 0.

    Example:
        >>> default_boxes((8, 8), [(1, 1)], [()], [0.25, 1.0]).tolist()
        [[3.0, 3.0, 5.0, 5.0], [2.0, 2.0, 6.0, 6.0]]
    """
    levels = len(feature_sizes)
    if not levels == len(aspect_ratios) == len(scales) - 1 == len(steps or feature_sizes):
        raise ValueError(
            f"`feature_sizes`, `aspect_ratios` and `steps` must be of as many levels, and `scales` "
            f"one more; received {levels}, {len(aspect_ratios)}, "
            f"{len(steps) if steps else steps} and {len(scales)}"
        )
    numbers = (*size, *np.ravel(feature_sizes), *scales, *(steps or ()))
    if min(numbers) <= 0 or min((a for level in aspect_ratios for a in level), default=1) <= 0:
        raise ValueError(
            "sizes, scales, steps and aspect ratios must be above 0; received "
            f"{size}, {feature_sizes}, {scales}, {steps} and {aspect_ratios}"
        )
    boxes = []
    for k, (rows, columns) in enumerate(feature_sizes):
        sides = min(size) * np.array(_shapes(scales[k], scales[k + 1], aspect_ratios[k]))
        sides = np.minimum(sides, (size[1], size[0]))  # (A, 2): width, height
        step_y, step_x = (steps[k],) * 2 if steps else (size[0] / rows, size[1] / columns)
        y, x = np.meshgrid(
            step_y * (np.arange(rows) + 0.5), step_x * (np.arange(columns) + 0.5), indexing="ij"
        )
        center = np.stack([x, y], axis=-1)[:, :, None]  # (rows, columns, 1, 2)
        corners = np.concatenate([center - sides / 2, center + sides / 2], axis=-1)
        boxes.append(corners.reshape(-1, 4))
    return np.concatenate(boxes).astype("float32")


def boxes_per_cell(aspect_ratios: Sequence[float]) -> int:
    """Count the default boxes of one cell.

    Args:
        aspect_ratios: of a level.

    Returns:
        Their number.

    Example:
        >>> boxes_per_cell((2, 3))
        6
    """
    return 2 + 2 * len(aspect_ratios)


def default_ratios(levels: int) -> tuple[tuple[float, ...], ...]:
    """Give the paper's aspect ratios: 2 and 3, but for the first level and the last two only 2.

    Args:
        levels: number of levels.

    Returns:
        Those of each level.

    Example:
        >>> default_ratios(5)
        ((2.0,), (2.0, 3.0), (2.0, 3.0), (2.0,), (2.0,))
    """
    return tuple((2.0,) if k == 0 or k >= levels - 2 else (2.0, 3.0) for k in range(levels))


def default_scales(levels: int, smallest: float | None = None) -> tuple[float, ...]:
    """Give the paper's scales: evenly from 0.2 to 0.9, before them a finer level's.

    Reference: Liu et al. 2016, equation 4, and section 3.1 (conv4_3 has half the smallest).

    Args:
        levels: number of levels.
        smallest: the first level's; by default half of 0.2.

    Returns:
        `levels + 1` shares of the image's side, the last for the last level's larger square.

    Example:
        >>> [round(scale, 3) for scale in default_scales(6)]
        [0.1, 0.2, 0.375, 0.55, 0.725, 0.9, 1.075]
    """
    low, high = PAPER_SCALES
    step = (high - low) / max(levels - 2, 1)
    first = low / 2 if smallest is None else smallest
    return (first, *(low + step * k for k in range(levels)))


def _shapes(scale, following, ratios):
    """Width and height of each box of a cell, as shares."""
    shapes = [(scale, scale), (math.sqrt(scale * following),) * 2]
    for ratio in ratios:
        wide, narrow = scale * math.sqrt(ratio), scale / math.sqrt(ratio)
        shapes += [(wide, narrow), (narrow, wide)]
    return shapes
