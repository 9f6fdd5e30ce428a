"""Which slices of a series form a volume: by geometry, then by what tells slices apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from kmed.data.dicom.frames import Frame
from kmed.data.dicom.geometry import SAME_PLACE_MM, axes, stack
from kmed.data.dicom.header import Header
from kmed.data.dicom.quantities import differing

Slice = tuple[Header, Frame]
_ORIENTATION = 1e-4  # of a direction cosine, and of a pixel spacing in mm
# What a patient, a scanner and a matrix have: where it differs, slices are never one volume.
GEOMETRY = (
    *("patient", "Modality", "FrameOfReferenceUID", "size"),
    *("PixelSpacing", "ImageOrientationPatient"),
)


class Part(NamedTuple):
    """Slices of one volume.

    Attributes:
        slices: in the order of the files.
        split_by: attributes and values by which they are told from other parts; of patients
            their number within the series instead of an identifier.
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
    firsts = [_geometry(*group[0]) for group in groups]
    patients = {each: number for number, each in enumerate(dict.fromkeys(f[0] for f in firsts), 1)}
    differing = [
        number
        for number in range(len(GEOMETRY))
        if any(not _alike(firsts[0][number], each[number]) for each in firsts[1:])
    ]
    parts = []
    for group, first in zip(groups, firsts, strict=True):
        shown = (patients[first[0]], *first[1:])
        said = {GEOMETRY[number]: shown[number] for number in differing}
        parts += [Part(tuple(part), said | more) for part, more in _separated(group)]
    return parts


def _geometry(header: Header, frame: Frame) -> tuple[Any, ...]:
    """The values of `GEOMETRY`."""
    shape = (header.rows, header.columns) if frame.tile is None else frame.tile[2:]
    return (
        *(header.patient, header.modality, header.frame_of_reference_uid, tuple(shape)),
        *(frame.spacing_mm, frame.orientation),
    )


def _alike(one: Any, other: Any) -> bool:
    return one == other or (
        isinstance(one, tuple)
        and all(abs(a - b) <= _ORIENTATION for a, b in zip(one, other, strict=True))
    )


def _by_geometry(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Groups slices of one geometry, each about the first one of it that is in no group yet."""
    exact: dict[tuple[Any, ...], list[Slice]] = {}
    for one in slices:
        exact.setdefault(_geometry(*one), []).append(one)
    kinds: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for geometry in exact:
        kinds.setdefault(geometry[:4], []).append(geometry)
    first_of = {geometry: geometry for geometry in exact}
    for geometries in kinds.values():
        if len(geometries) > 1:
            first_of |= _firsts(geometries)
    groups: dict[tuple[Any, ...], list[Slice]] = {}
    for geometry, same in exact.items():
        groups.setdefault(first_of[geometry], []).extend(same)
    return list(groups.values())


def _firsts(geometries: list[tuple[Any, ...]]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Of each geometry the first one that is alike.

    Slices that turn about an axis have a geometry each: only those that are near along one line
    through all of them are compared.
    """
    numbers = np.array([(*spacing, *cosines) for *_, spacing, cosines in geometries], np.float64)
    weights = np.sqrt(np.arange(2.0, 2.0 + numbers.shape[1]))
    line = numbers @ weights
    order = np.argsort(line, kind="stable")
    reach = 1.01 * _ORIENTATION * weights.sum()
    lows = np.searchsorted(line[order], line - reach)
    highs = np.searchsorted(line[order], line + reach, side="right")
    found: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for number, geometry in enumerate(geometries):
        if geometry in found:
            continue
        near = order[lows[number] : highs[number]]
        alike = np.abs(numbers[near] - numbers[number]).max(axis=1) <= _ORIENTATION
        for other in near[alike].tolist():
            found.setdefault(geometries[other], geometry)
    return found


def _separated(slices: list[Slice]) -> list[tuple[list[Slice], dict[str, Any]]]:
    """Splits slices of one geometry of which several lie at one place."""
    places = _places([frame for _, frame in slices])
    counts = np.bincount(places)
    several = counts.max() > 1
    if not several and _regular(slices):
        return _of_one_quantity(slices)
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


def _of_one_quantity(slices: list[Slice]) -> list[tuple[list[Slice], dict[str, Any]]]:
    """Splits a stack into several that fill each other's gaps, for instance two echoes."""
    for name, values in differing(frame for _, frame in slices).items():
        parts: dict[Any, list[int]] = {}
        for index, value in enumerate(values):
            parts.setdefault(_plain(value), []).append(index)
        if _all_regular(parts.values(), slices):
            return [
                (part, {name: value} | more)
                for value in _sorted(parts)
                for part, more in _of_one_quantity([slices[index] for index in parts[value]])
            ]
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
    """Whether every part holds more than half of the places: a volume, not a slice of one."""
    total = int(places.max()) + 1
    parts = list(parts)
    covered = sorted(len(set(places[part].tolist())) for part in parts)
    most = int(np.bincount(places).max())
    fewer = max(int(np.bincount(places[part]).max()) for part in parts)
    # All but one are complete: that one broke off, as the last time point of a scan that did.
    broke_off = covered[1] == total
    return fewer < most and (covered[0] * 2 > total or broke_off)


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
    if not _consistent(parts):
        return [(slices, {})]
    return [(part, {"repetition": number}) for number, part in enumerate(parts, 1)]


def _consistent(parts: list[list[Slice]]) -> bool:
    """Whether numbers tell repetitions apart, and do not mix echoes or runs that cross each other.

    Either all repetitions go through the places in one order, or each goes steadily from one end
    to the other before the next begins.
    """
    if any(differing(frame for _, frame in part) for part in parts):
        return False
    *_, normal = axes(parts[0][0][1])
    orders = [
        np.argsort([float(np.dot(frame.position_mm, normal)) for _, frame in part]).tolist()
        for part in parts
    ]
    if all(order == orders[0] for order in orders):
        return True
    steady = list(range(len(parts[0])))
    numbers = [[(h.instance_number, f.index) for h, f in part] for part in parts]  # they increase
    return all(order in (steady, steady[::-1]) for order in orders) and all(
        one[-1] < other[0] for one, other in pairwise(numbers)
    )


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _sorted(parts: Iterable[Any]) -> list[Any]:
    """Values in their order; those of several types, or none, in order of appearance."""
    try:
        return sorted(parts)
    except TypeError:
        return list(parts)
