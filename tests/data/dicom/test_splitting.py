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
        patient=changes.pop("patient", "p"),
        modality=changes.pop("modality", "MR"),
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


def test_patients_are_numbered_instead_of_named():
    slices = [one(2 * z, z, patient="MRN-7" if z < 3 else "MRN-5") for z in range(6)]
    parts = parts_of(slices)
    assert [part.split_by for part in parts] == [{"patient": 1}, {"patient": 2}]


def test_b_values_each_in_its_directions():
    """One volume without diffusion and three directions of a b-value, as a scanner writes them."""
    axes_ = [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)]
    slices = [one(2 * z, z, {"DiffusionBValue": 0.0}) for z in range(4)]
    slices += [
        one(2 * z, 10 * n + z, {"DiffusionBValue": 1e3, "DiffusionGradientOrientation": list(axis)})
        for (n, axis), z in product(enumerate(axes_, 1), range(4))
    ]
    weighted = [{"DiffusionBValue": 1e3, "DiffusionGradientOrientation": a} for a in sorted(axes_)]
    assert [said for said, _ in found(slices)] == [{"DiffusionBValue": 0.0}, *weighted]


@pytest.mark.parametrize("last", [1, 3, 4, 7])
@pytest.mark.parametrize("times", [2, 5])
def test_a_last_time_point_that_is_not_complete(times, last):
    slices = [
        one(2 * z, 100 * t + z, {"TemporalPositionIndex": t, "TriggerTime": 9.0 * z + t})
        for t, z in product(range(times), range(8))
        if t < times - 1 or z < last
    ]
    parts = found(slices)
    assert [said for said, _ in parts] == [{"TemporalPositionIndex": t} for t in range(times)]
    assert [len(numbers) for _, numbers in parts] == [8] * (times - 1) + [last]


def test_a_slice_scanned_again_splits_only_where_the_rest_is_whole():
    slices = [one(2 * z, z, {"AcquisitionNumber": 1}) for z in range(6)]
    again = [one(4, 9, {"AcquisitionNumber": 2})]
    assert [numbers for _, numbers in found(slices + again)] == [[0, 1, 2, 3, 4, 5], [9]]
    # The second acquisition holds a slice that the first lacks: no part may be called whole.
    slices[5] = one(10, 5, {"AcquisitionNumber": 2})
    assert found(slices + again) == [({}, [0, 1, 2, 3, 4, 5, 9])]


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


def test_numbers_place_by_place():
    """Phases of a beating heart: all of a slice, then all of the next."""
    slices = [one(2 * z, 10 * z + phase) for phase, z in product(range(3), range(4))]
    assert [numbers for _, numbers in found(slices)] == [
        [10 * z + phase for z in range(4)] for phase in range(3)
    ]
    # The second run the other way round, as numbers go on.
    slices = [one(2 * z, z) for z in range(4)] + [one(2 * z, 9 - z) for z in range(4)]
    assert [numbers for _, numbers in found(slices)] == [[0, 1, 2, 3], [6, 7, 8, 9]]


def test_numbers_that_would_mix_two_runs_tell_nothing():
    """Odd numbers upwards and even ones downwards: the first at each place is of either run."""
    slices = [one(2 * z, 2 * z + 1) for z in range(6)] + [one(2 * z, 12 - 2 * z) for z in range(6)]
    assert found(slices) == [({}, list(range(1, 13)))]


def test_numbers_never_mix_echoes():
    """After losses the counts agree by chance: two slices at each of two places."""
    slices = [one(0, 1, {"EchoTime": 5.0}), one(0, 2, {"EchoTime": 10.0})]
    slices += [one(2, 3, {"EchoTime": 10.0}), one(2, 4, {"EchoTime": 15.0})]
    assert found(slices) == [({}, [1, 2, 3, 4])]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("EchoTime", (5.0, 90.0)),
        ("DiffusionBValue", (0.0, 1000.0)),
        ("ImageType", ("M", "P")),
        ("TemporalPositionIndex", (1, 2)),
    ],
)
@pytest.mark.parametrize("places", [lambda part, z: 8 * part + 2 * z, lambda part, z: part + 2 * z])
def test_stacks_that_complete_each_other_are_two(name, values, places):
    """One after the other, or each in the middle of the other's gaps: even as a whole."""
    slices = [
        one(places(part, z), 10 * part + z, {name: values[part]})
        for part, z in product((0, 1), range(4))
    ]
    assert found(slices) == [
        ({name: value}, [10 * part + z for z in range(4)]) for part, value in enumerate(values)
    ]
    # Acquisitions that are interleaved are one volume.
    slices = [
        one(places(part, z), 10 * part + z, {"AcquisitionNumber": part, "EchoTime": 5.0})
        for part, z in product((0, 1), range(4))
    ]
    assert len(found(slices)) == 1


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
        ("Modality", {"modality": "PT"}),
        ("patient", {"patient": "q"}),
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
    for number in range(5000):
        c, s = np.cos(number * np.pi / 5000), np.sin(number * np.pi / 5000)
        slices.append(one(0, number, orientation=(c, s, 0.0, 0.0, 0.0, -1.0)))
    start = time.process_time()
    parts = parts_of(slices)
    assert len(parts) == 5000 and time.process_time() - start < 3


def test_five_thousand_slices_of_one_volume_take_no_time():
    rng = np.random.default_rng(0)
    slices = [
        one(0.5 * z, z, {"AcquisitionNumber": z, "TriggerTime": 0.1 * z},
            orientation=tuple(np.array([1.0, 0, 0, 0, 1, 0]) + rng.uniform(-3e-5, 3e-5, 6)))
        for z in range(5000)
    ]  # fmt: skip
    start = time.process_time()
    assert len(parts_of(slices)) == 1 and time.process_time() - start < 1


def test_groups_of_geometry_are_those_of_plain_comparison():
    """Every slice is within 1e-4 of the first of its group, and no earlier first is nearer."""
    rng = np.random.default_rng(4)
    base = np.array([1.0, 0, 0, 0, 1, 0])
    slices = [
        one(2 * z, z, orientation=tuple(base + rng.uniform(-2e-4, 2e-4, 6))) for z in range(150)
    ]
    firsts = []
    for _, frame in slices:
        if not any(np.abs(np.subtract(frame.orientation, f)).max() <= 1e-4 for f in firsts):
            firsts.append(frame.orientation)
    parts = parts_of(slices)
    assert len(firsts) > 20
    assert {part.slices[0][1].orientation for part in parts} == set(firsts)


def test_ten_thousand_frames_take_no_time():
    slices = [
        one(2 * z, 100 * t + z, {"EchoTime": 30.0, "TemporalPositionIndex": t})
        for t, z in product(range(250), range(40))
    ]
    start = time.process_time()
    parts = parts_of(slices)
    assert len(parts) == 250 and time.process_time() - start < 5
