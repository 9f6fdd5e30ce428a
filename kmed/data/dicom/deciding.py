"""What a user decides about slices that form no regular grid, carried out on a volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kmed.data.dicom.errors import (
    DicomError,
    GantryTilted,
    SlicesDuplicated,
    SlicesMissing,
    SpacingUneven,
)
from kmed.data.dicom.frames import Frame
from kmed.data.dicom.geometry import SAME_PLACE_MM, axes, longest_block, stack
from kmed.data.dicom.header import Header
from kmed.data.dicom.resample import Target, target_grid
from kmed.data.dicom.volumes import Volume, shape_of

_WORDS = {
    "spacing": ("refuse", "resample"),
    "tilt": ("refuse", "resample"),
    "missing": ("refuse", "largest_block", "resample"),
    "duplicates": ("refuse", "first"),
}


@dataclass(frozen=True)
class Decisions:
    """What is done with slices that form no regular grid.

    Attributes:
        tolerate_mm: how far a slice may lie off the grid; None: 5 % of the step, or 0.1 mm.
        spacing: "refuse" or "resample".
        tilt: "refuse" or "resample".
        missing: "refuse", "largest_block" or "resample".
        duplicates: "refuse" or "first".
    """

    tolerate_mm: float | None = None
    spacing: str = "refuse"
    tilt: str = "refuse"
    missing: str = "refuse"
    duplicates: str = "refuse"

    def __post_init__(self) -> None:
        for name, words in _WORDS.items():
            if getattr(self, name) not in words:
                raise ValueError(
                    f"`{name}` must be one of {', '.join(words)}; received {getattr(self, name)!r}"
                )
        if self.tolerate_mm is not None and not self.tolerate_mm >= 0:
            raise ValueError(f"`tolerate_mm` must be 0 or more; received {self.tolerate_mm}")


class Plan(NamedTuple):
    """Which slices are read, and onto which grid.

    Attributes:
        headers: of each slice that of its file.
        frames: the slices along their normal.
        affine: of their own grid; None with a `target`.
        target: the grid that they are sampled on; None where they have one.
        problems: what was decided, with figures.
    """

    headers: tuple[Header, ...]
    frames: tuple[Frame, ...]
    affine: np.ndarray | None
    target: Target | None
    problems: tuple[str, ...]


def decided(volume: Volume, decisions: Decisions) -> Plan:
    """Carries decisions out, as far as they are needed.

    Args:
        volume: from `volumes_of`.
        decisions: what may be done.

    Returns:
        The slices to read.

    Raises:
        DicomError: what is wrong and not decided.
    """
    if volume.placeless:
        raise volume.problem
    headers, frames = list(volume.headers), list(volume.frames)
    problems = list(volume.problems)
    while True:
        found = stack(
            frames,
            [one.source.name for one in headers],
            tolerate_mm=decisions.tolerate_mm,
            instances=[one.instance_uid for one in headers],
        )
        headers = [headers[index] for index in found.order]
        frames = [frames[index] for index in found.order]
        error = found.problem
        if error is None:
            return Plan(tuple(headers), tuple(frames), found.affine, None, tuple(problems))
        kept = _kept(error, headers, frames, decisions)
        if kept is not None:
            problems.append(f"{len(frames) - len(kept)} of {len(frames)} slices left out: {error}")
            headers = [headers[index] for index in kept]
            frames = [frames[index] for index in kept]
        elif _resampling(error, decisions):
            target = target_grid(frames, *shape_of(headers[0], frames[0]))
            tilt = error.figures.get("tilt_deg")
            about = "" if tilt is None else f"tilt of {tilt:.1f} degrees straightened, "
            problems.append(about + target.said)
            return Plan(tuple(headers), tuple(frames), None, target, tuple(problems))
        elif isinstance(error, GantryTilted) and decisions.tilt == "resample":
            raise error.__cause__  # the distances, which are not decided
        else:
            raise error


def _kept(error: DicomError, headers, frames, decisions: Decisions) -> list[int] | None:
    """The slices that stay where some are to be left out."""
    *_, normal = axes(frames[0])
    along = np.array([frame.position_mm for frame in frames], np.float64) @ normal
    if isinstance(error, SlicesDuplicated) and decisions.duplicates == "first":
        kept: list[int] = []
        for index in range(len(along)):
            if not kept or along[index] - along[kept[-1]] >= SAME_PLACE_MM:
                kept.append(index)
            elif _number(headers[index]) < _number(headers[kept[-1]]):
                kept[-1] = index
        return kept
    if "missing" in error.figures and decisions.missing == "largest_block":
        block = longest_block(along)
        if block.stop - block.start < len(along):
            return list(range(block.start, block.stop))
    return None


def _number(header: Header) -> float:
    return float("inf") if header.instance_number is None else header.instance_number


def _resampling(error: DicomError, decisions: Decisions) -> bool:
    """Whether all that is wrong may be resampled."""
    if isinstance(error, GantryTilted) and decisions.tilt != "resample":
        return False
    if isinstance(error, GantryTilted) and "gap_mm" not in error.figures:
        return True
    if "missing" in error.figures:
        return decisions.missing == "resample"
    uneven = isinstance(error, (SpacingUneven, SlicesMissing, GantryTilted))
    return uneven and decisions.spacing == "resample"
