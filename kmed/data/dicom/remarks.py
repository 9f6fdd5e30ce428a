"""What is odd about volumes of a series though each lies on a grid: said, not refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kmed.data.dicom.frames import Frame
from kmed.data.dicom.geometry import SAME_PLACE_MM, axes
from kmed.data.dicom.quantities import differing
from kmed.data.dicom.splitting import GEOMETRY, Part

_LONGEST, _MOST = 40, 4


def remarks(parts: Sequence[Part]) -> list[tuple[str, ...]]:
    """Says what slices of one volume do not share, and which volumes lack slices of others.

    A volume that ends early can't be told from a whole one by itself; beside others of the same
    series it can.

    Args:
        parts: the volumes of a series.

    Returns:
        Of each part what there is to say.
    """
    longest: dict[tuple[Any, ...], Part] = {}
    for part in parts:
        other = longest.setdefault(_place(part), part)
        if len(part.slices) > len(other.slices):
            longest[_place(part)] = part
    said = []
    for part in parts:
        other = longest[_place(part)]
        few, most = len(part.slices), len(other.slices)
        fewer = ()
        if few < most and _within(part, other):
            fewer = (f"{few} slices where another volume of the series has {most}",)
        said.append((*_mixed([frame for _, frame in part.slices]), *fewer))
    return said


def _place(part: Part) -> tuple[Any, ...]:
    return tuple(part.split_by.get(name) for name in GEOMETRY)


def _within(part: Part, other: Part) -> bool:
    """Whether a part lies between the ends of another."""
    *_, normal = axes(other.slices[0][1])
    own, whole = (
        np.array([frame.position_mm for _, frame in one.slices], np.float64) @ normal
        for one in (part, other)
    )
    return whole.min() - SAME_PLACE_MM < own.min() and own.max() < whole.max() + SAME_PLACE_MM


def _mixed(frames: Sequence[Frame]) -> list[str]:
    kernels = list(dict.fromkeys(dict(frame.keys).get("ConvolutionKernel") for frame in frames))
    found = {name: list(dict.fromkeys(map(str, v))) for name, v in differing(frames).items()}
    if len(kernels) > 1:
        found["ConvolutionKernel"] = list(map(str, kernels))
    said = []
    for name, values in found.items():
        shown = ", ".join(one[:_LONGEST] for one in values[:_MOST])
        more = f" and {len(values) - _MOST} more" if len(values) > _MOST else ""
        said.append(f"its slices differ in {name}: {shown}{more}")
    return said
