"""What the slices of one volume share, as far as headers tell: echo, time point, b-value ..."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from kmed.data.dicom.frames import Frame

_SHARED = frozenset(
    (
        *("EchoTime", "EffectiveEchoTime", "DiffusionBValue", "DiffusionGradientOrientation"),
        *("TemporalPositionIndex", "TemporalPositionIdentifier", "ComplexImageComponent"),
    )
)
# Words of Image Type and Frame Type that name a quantity; most others say how it was processed.
_COMPONENTS = {"M", "P", "R", "I", "MAGNITUDE", "PHASE", "REAL", "IMAGINARY"}
_ROUNDED = 0.01  # scanners state what each slice had, which differs by less


def differing(frames: Iterable[Frame]) -> dict[str, list[Any]]:
    """Finds what the slices of one volume would share, and these do not.

    Numbers that differ by 1 % count as one, and so do slices without the attribute.

    Args:
        frames: of a volume, or of what might be one.

    Returns:
        Names of attributes, and of each the value of every frame; None where it has none. Of Image
        Type the words that name a quantity, such as "M" or "P".

    Example:
        >>> echoes = [Frame(index=0, keys=(("EchoTime", echo),)) for echo in (4.6, 4.601, 9.2)]
        >>> differing(echoes), differing(echoes[:2])
        ({'EchoTime': [4.6, 4.601, 9.2]}, {})
    """
    found: dict[str, list[Any]] = {}
    count = 0
    for count, frame in enumerate(frames, 1):
        for name, value in frame.keys:
            if name in ("ImageType", "FrameType"):
                words = (word for word in str(value).split("\\") if word.upper() in _COMPONENTS)
                value = "\\".join(words) or None
            elif name not in _SHARED:
                continue
            found.setdefault(name, [None] * (count - 1)).append(value)
        for values in found.values():
            if len(values) < count:
                values.append(None)
    return {name: values for name, values in found.items() if not _one(values)}


def _one(values: list[Any]) -> bool:
    """Whether these are one value, perhaps rounded in several ways."""
    there = {tuple(each) if isinstance(each, list) else each for each in values} - {None}
    if len(there) < 2:
        return True
    try:
        numbers = np.array(list(there), np.float64)
    except ValueError:
        return False
    spread = float((numbers.max(axis=0) - numbers.min(axis=0)).max())
    return spread <= _ROUNDED * float(np.abs(numbers).max())
