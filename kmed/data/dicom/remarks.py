"""What is odd about volumes of a series though each lies on a grid: said, not refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kmed.data.dicom.frames import Frame
from kmed.data.dicom.geometry import SAME_PLACE_MM, axes
from kmed.data.dicom.splitting import GEOMETRY, Part

# What all slices of a volume share, unless slices of two volumes complete each other by chance.
_SHARED = (
    *("EchoTime", "EffectiveEchoTime", "DiffusionBValue", "ComplexImageComponent"),
    "ConvolutionKernel",
)
_COMPONENTS = {"M", "P", "R", "I", "MAGNITUDE", "PHASE", "REAL", "IMAGINARY"}
_ROUNDED = 0.01  # scanners state the echo time that each slice had, which differs by less
_LONGEST = 40


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
    found: dict[str, dict[Any, None]] = {}
    for frame in frames:
        for name, value in frame.keys:
            if name in ("ImageType", "FrameType"):
                value = "\\".join(w for w in str(value).split("\\") if w.upper() in _COMPONENTS)
            elif name not in _SHARED:
                continue
            found.setdefault(name, {})[value] = None
    return [
        f"its slices differ in {name}: {', '.join(str(one)[:_LONGEST] or 'none' for one in values)}"
        for name, values in ((name, list(values)) for name, values in found.items())
        if len(values) > 1 and not _rounded(values)
    ]


def _rounded(values: Sequence[Any]) -> bool:
    """Whether these are one number, rounded in several ways."""
    if not all(isinstance(one, (int, float)) for one in values):
        return False
    return max(values) - min(values) <= _ROUNDED * max(map(abs, values))
