"""How real values are stored in the 16 bits of a DICOM image."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from kmed.results.dicom.study import decimal

_LEVELS = 65535  # steps of 16 bits


class Rescale(NamedTuple):
    """Linear relation of stored to real values: real = slope * stored + intercept.

    Attributes:
        slope: above 0.
        intercept: in the units of the image.
        signed: whether stored values are int16, else uint16.
    """

    slope: float
    intercept: float
    signed: bool

    def stored(self, values: np.ndarray) -> np.ndarray:
        """The nearest stored values, little endian."""
        low, high = (-32768, 32767) if self.signed else (0, _LEVELS)
        steps = (np.asarray(values, np.float64) - self.intercept) / self.slope
        kind = "<i2" if self.signed else "<u2"
        return np.clip(np.rint(steps), low, high).astype(kind)


def rescale_of(values: np.ndarray, *, signed: bool | None = None) -> Rescale:
    """Chooses how values are stored in 16 bits.

    Whole values keep slope 1. The slope of others is a power of two where one will do, so that
    slope, intercept and the whole numbers among the values have no error at all.

    Args:
        values: finite, of any shape.
        signed: whether stored values may be below 0; None: only where values are.

    Returns:
        The relation; its numbers are exact as decimal strings.

    Example:
        >>> rescale_of(np.array([-1000, 3000]))
        Rescale(slope=1.0, intercept=0.0, signed=True)
        >>> rescale_of(np.array([-1000, 0.5, 3000]))
        Rescale(slope=0.0625, intercept=1048.0, signed=True)
    """
    low, high = float(values.min()), float(values.max())
    signed = low < 0 if signed is None else signed
    least = -32768 if signed else 0
    if bool(np.all(values == np.rint(values))) and high - low <= _LEVELS:
        fits = least <= low and high <= least + _LEVELS
        return Rescale(1.0, 0.0 if fits else low - least, signed)
    if high == low:
        return Rescale(1.0, _exact(low), signed)
    slope = 2.0 ** math.ceil(math.log2((high - low) / (_LEVELS - 1)))
    if _exact(slope) != slope:
        slope = _exact((high - low) / (_LEVELS - 1) * (1 + 1e-6))
    return Rescale(slope, _exact((math.floor(low / slope) - least) * slope), signed)


def _exact(value: float) -> float:
    return float(decimal(value))
