"""Slices of one series to volumes: by geometry, and by what tells slices at one place apart."""

import time
from dataclasses import replace
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest

from kmed.data.dicom.frames import Frame
from kmed.data.dicom.splitting import parts_of


def one(z, number, keys=(), *, size=(4, 5), **changes):
    """A header and its only frame."""
    header = SimpleNamespace(
        rows=size[0],
        columns=size[1],
        frame_of_reference_uid=changes.pop("frame_of_reference", "1.2"),
        instance_number=number,
        source=SimpleNamespace(name=f"f{number}"),
    )
    frame = Frame(
        index=0,
        position_mm=(0.0, 0.0, float(z)),
        orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        spacing_mm=(1.0, 1.0),
        thickness_mm=2.0,
        keys=tuple(dict(keys).items()),
    )
    return header, replace(frame, **changes)


def found(slices):
    """What each part is split by, and the numbers of its slices."""
    rng = np.random.default_rng(0)
    mixed = [slices[index] for index in rng.permutation(len(slices))]
    parts = parts_of(mixed)
    assert sum(len(part.slices) for part in parts) == len(slices)
    return [
        (part.split_by, sorted(header.instance_number for header, _ in part.slices))
        for part in parts
    ]


def test_one_stack_is_one_part_whatever_its_keys():
    slices = [one(2 * z, z, {"AcquisitionNumber": z, "TriggerTime": 7.0 * z}) for z in range(6)]
    assert found(slices) == [({}, [0, 1, 2, 3, 4, 5])]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("EchoTime", (4.6, 9.2)),
        ("DiffusionBValue", (0.0, 500.0, 1000.0)),
        ("TemporalPositionIndex", (1, 2, 3)),
        ("AcquisitionNumber", (3, 4)),
        ("ImageType", (("M", "FFE"), ("P", "FFE"))),
    ],
)
def test_volumes_at_one_place_are_told_apart(name, values):
    slices = [
        one(2 * z, 10 * part + z, {"SliceLocation": z, name: value})
        for (part, value), z in product(enumerate(values), range(4))
    ]
    assert found(slices) == [
        ({name: value}, [10 * part + z for z in range(4)]) for part, value in enumerate(values)
    ]


def test_split_by_two_things():
    slices = [
        one(2 * z, 100 * echo + 10 * time_ + z, {"EchoTime": echo, "TriggerTime": time_})
        for echo, time_, z in product((1, 2), (0, 5), range(3))
    ]
    assert [said for said, _ in found(slices)] == [
        {"EchoTime": echo, "TriggerTime": time_} for echo, time_ in product((1, 2), (0, 5))
    ]


def test_what_differs_from_slice_to_slice_does_not_split():
    # Each slice has a time of its own: only the acquisition tells volumes apart.
    slices = [
        one(2 * z, 10 * part + z, {"TriggerTime": 100 * part + z, "AcquisitionNumber": part})
        for part, z in product((1, 2), range(5))
    ]
    assert [said for said, _ in found(slices)] == [{"AcquisitionNumber": n} for n in (1, 2)]


def test_instance_numbers_at_last():
    slices = [one(2 * z, 10 * part + z) for part, z in product(range(3), range(4))]
    assert found(slices) == [
        ({"repetition": part + 1}, [10 * part + z for z in range(4)]) for part in range(3)
    ]


def test_duplicates_stay_together_where_nothing_tells():
    slices = [one(2 * z, z) for z in range(4)] + [one(2, 9)]
    assert found(slices) == [({}, [0, 1, 2, 3, 9])]
    same = [one(2 * z, 1) for _ in range(2) for z in range(3)]
    assert found(same) == [({}, [1] * 6)]


def test_two_blocks_between_which_there_is_a_gap():
    slices = [one(2 * z, z, {"StackID": "1"}) for z in range(4)]
    slices += [one(31 + 2 * z, 10 + z, {"StackID": "2"}) for z in range(4)]
    assert [said for said, _ in found(slices)] == [{"StackID": "1"}, {"StackID": "2"}]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("size", {"size": (5, 4)}),
        ("PixelSpacing", {"spacing_mm": (1.0, 1.01)}),
        ("ImageOrientationPatient", {"orientation": (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)}),
        ("FrameOfReferenceUID", {"frame_of_reference": "1.3"}),
    ],
)
def test_split_by_geometry(name, change):
    slices = [one(2 * z, z) for z in range(4)]
    # Along both normals, so that they are volumes each.
    slices += [one(2 * z, 10 + z, position_mm=(0.0, 2.0 * z, 2.0 * z), **change) for z in range(3)]
    parts = found(slices)
    assert sorted(numbers for _, numbers in parts) == [[0, 1, 2, 3], [10, 11, 12]]
    assert all(list(said) == [name] for said, _ in parts)


def test_headers_that_round_are_one_geometry():
    rng = np.random.default_rng(3)
    slices = []
    for z in range(20):
        off = rng.uniform(-2e-5, 2e-5, 6)
        cosines = tuple(np.array([1.0, 0, 0, 0, 1, 0]) + off)
        slices.append(one(2 * z, z, orientation=cosines))
    assert found(slices) == [({}, list(range(20)))]


def test_slices_about_an_axis_are_each_their_own():
    slices = []
    for number in range(1500):
        c, s = np.cos(number * np.pi / 1500), np.sin(number * np.pi / 1500)
        slices.append(one(0, number, orientation=(c, s, 0.0, 0.0, 0.0, -1.0)))
    start = time.perf_counter()
    parts = parts_of(slices)
    assert len(parts) == 1500 and time.perf_counter() - start < 5


def test_ten_thousand_frames_take_no_time():
    slices = [
        one(2 * z, 100 * t + z, {"EchoTime": 30.0, "TemporalPositionIndex": t})
        for t, z in product(range(250), range(40))
    ]
    start = time.perf_counter()
    parts = parts_of(slices)
    assert len(parts) == 250 and time.perf_counter() - start < 5
