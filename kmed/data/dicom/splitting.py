"""Which slices of a series form a volume: by geometry, then by what tells slices apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from kmed.data.dicom.frames import Frame
from kmed.data.dicom.geometry import SAME_PLACE_MM, axes, stack
from kmed.data.dicom.header import Header

Slice = tuple[Header, Frame]
_ORIENTATION = 1e-4  # of a direction cosine, and of a pixel spacing in mm


class Part(NamedTuple):
    """Slices of one volume.

    Attributes:
        slices: in the order of the files.
        split_by: attributes and values by which they are told from other parts.
    """

    slices: tuple[Slice, ...]
    split_by: dict[str, Any]


def parts_of(slices: Sequence[Slice]) -> list[Part]:
    """Splits the slices of a series.

    Args:
        slices: headers and frames without a `problem`.

    Returns:
        One part a volume, in the order of what they are split by.
    """
    groups = _by_geometry(slices)
    differing = _differing([next(iter(group)) for group in groups])
    parts = []
    for group in groups:
        said = {name: _geometry(*group[0])[name] for name in differing}
        parts += [Part(tuple(part), said | more) for part, more in _separated(list(group))]
    return parts


def _geometry(header: Header, frame: Frame) -> dict[str, Any]:
    shape = (header.rows, header.columns) if frame.tile is None else frame.tile[2:]
    return {
        "size": shape,
        "PixelSpacing": frame.spacing_mm,
        "ImageOrientationPatient": frame.orientation,
        "FrameOfReferenceUID": header.frame_of_reference_uid,
    }


def _alike(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """The names of what differs."""
    return [
        name
        for name, value in one.items()
        if value != other[name]
        and not (
            isinstance(value, tuple)
            and all(abs(a - b) <= _ORIENTATION for a, b in zip(value, other[name], strict=True))
        )
    ]


def _by_geometry(slices: Sequence[Slice]) -> list[list[Slice]]:
    exact: dict[tuple[Any, ...], list[Slice]] = {}
    for one in slices:
        exact.setdefault(tuple(_geometry(*one).values()), []).append(one)
    groups: list[tuple[dict[str, Any], list[Slice]]] = []
    for same in exact.values():
        geometry = _geometry(*same[0])
        # The latest first: slices that turn about an axis each have a group of their own.
        alike = (group for known, group in reversed(groups) if not _alike(geometry, known))
        group = next(alike, None)
        if group is None:
            groups.append((geometry, list(same)))
        else:
            group += same
    return [group for _, group in groups]


def _differing(firsts: Sequence[Slice]) -> list[str]:
    """By which parts of the geometry groups differ."""
    geometries = [_geometry(*one) for one in firsts]
    found: dict[str, None] = {}
    for other in geometries[1:]:
        found.update(dict.fromkeys(_alike(geometries[0], other)))
    return list(found)


def _separated(slices: list[Slice]) -> list[tuple[list[Slice], dict[str, Any]]]:
    """Splits slices of one geometry of which several lie at one place."""
    places = _places([frame for _, frame in slices])
    counts = np.bincount(places)
    several = counts.max() > 1
    if not several and _regular(slices):
        return [(slices, {})]
    for name in _names(slices):
        values = [_plain(dict(frame.keys).get(name)) for _, frame in slices]
        parts = {}
        for index, value in enumerate(values):
            parts.setdefault(value, []).append(index)
        if len(parts) < 2:
            continue
        whole = _cover(parts.values(), places) if several else _all_regular(parts.values(), slices)
        if not whole:
            continue
        return [
            (part, {name: value} | more)
            for value in _sorted(parts)
            for part, more in _separated([slices[index] for index in parts[value]])
        ]
    if several and (counts == counts[0]).all():
        return _repeats(slices, places, int(counts[0]))
    return [(slices, {})]


def _places(frames: Sequence[Frame]) -> np.ndarray:
    """Number of each frame's place along the normal."""
    *_, normal = axes(frames[0])
    along = np.array([frame.position_mm for frame in frames], np.float64) @ normal
    order = np.argsort(along, kind="stable")
    starts = np.concatenate([[False], np.diff(along[order]) >= SAME_PLACE_MM])
    places = np.empty(len(frames), int)
    places[order] = np.cumsum(starts)
    return places


def _names(slices: Sequence[Slice]) -> list[str]:
    """Names of all keys, in the order of their first slice."""
    names: dict[str, None] = {}
    for keys in {tuple(name for name, _ in frame.keys) for _, frame in slices}:
        names.update(dict.fromkeys(keys))
    first = [name for name, _ in slices[0][1].keys]
    return [*first, *sorted(set(names) - set(first))]


def _cover(parts: Iterable[list[int]], places: np.ndarray) -> bool:
    """Whether every part holds at least half of the places: a volume, not a slice of one."""
    total = int(places.max()) + 1
    parts = list(parts)
    covered = [len(set(places[part].tolist())) for part in parts]
    most = int(np.bincount(places).max())
    fewer = max(int(np.bincount(places[part]).max()) for part in parts)
    return fewer < most and min(covered) * 2 > total or (total == 1 and fewer < most)


def _regular(slices: Sequence[Slice]) -> bool:
    frames = [frame for _, frame in slices]
    return stack(frames, [header.source.name for header, _ in slices]).problem is None


def _all_regular(parts: Iterable[list[int]], slices: Sequence[Slice]) -> bool:
    """Whether every part is a stack of its own on a grid."""
    return all(len(part) > 1 and _regular([slices[index] for index in part]) for part in parts)


def _repeats(
    slices: list[Slice], places: np.ndarray, count: int
) -> list[tuple[list[Slice], dict[str, Any]]]:
    """Takes the first slice at every place, the second, and so on, by their numbers."""
    numbered = all(header.instance_number is not None for header, _ in slices)
    distinct = {(header.instance_number, frame.index) for header, frame in slices}
    if not numbered or len(distinct) != len(slices):
        return [(slices, {})]
    order = sorted(
        range(len(slices)), key=lambda i: (slices[i][0].instance_number, slices[i][1].index)
    )
    parts: list[list[Slice]] = [[] for _ in range(count)]
    seen = [0] * (int(places.max()) + 1)
    for index in order:
        parts[seen[places[index]]].append(slices[index])
        seen[places[index]] += 1
    return [(part, {"repetition": number}) for number, part in enumerate(parts, 1)]


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _sorted(parts: Iterable[Any]) -> list[Any]:
    """Values in their order; those of several types, or none, in order of appearance."""
    try:
        return sorted(parts)
    except TypeError:
        return list(parts)
