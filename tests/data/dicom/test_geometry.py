"""Slices to a grid: what is regular, and each thing that is not, with its figures."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from kmed.data.dicom.errors import (
    GantryTilted,
    NoGeometry,
    SlicesDuplicated,
    SlicesMissing,
    SpacingUneven,
)
from kmed.data.dicom.frames import Frame
from kmed.data.dicom.geometry import allowed_mm, axes, longest_block, regular_step, stack

ORIENTATION = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def frames(along, *, shift=(0.0, 0.0), orientation=ORIENTATION, thickness=2.0):
    """Slices at distances along the normal, each displaced in its plane by mm per mm."""
    row, column = np.array(orientation).reshape(2, 3)
    normal = np.cross(row, column)
    return [
        Frame(
            index=0,
            position_mm=tuple(z * normal + z * shift[0] * row + z * shift[1] * column),
            orientation=orientation,
            spacing_mm=(0.5, 0.75),
            thickness_mm=thickness,
        )
        for z in along
    ]


def stacked(found, **options):
    return stack(found, [f"s{i}" for i in range(len(found))], **options)


@pytest.mark.parametrize("angles", [(0, 0, 0), (30, -50, 110), (0, 90, 0), (180, 0, 0)])
def test_affine_gives_each_pixel_its_place(angles):
    row, column, _ = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    found = frames([4.0, 0.0, 6.0, 2.0], orientation=(*row, *column))
    grid = stacked(found)
    assert grid.problem is None and grid.order == (1, 3, 0, 2)
    assert grid.spacing_mm == pytest.approx((2.0, 0.5, 0.75))
    for number, index in enumerate(grid.order):
        # PS3.3 C.7.6.2.1-1, by hand.
        place = np.array(found[index].position_mm) + row * 0.75 * 5 + column * 0.5 * 3
        np.testing.assert_allclose(grid.affine @ (number, 3, 5, 1), (*place, 1), atol=1e-9)
    for direction, wanted in zip(axes(found[0]), (row, column, np.cross(row, column)), strict=True):
        np.testing.assert_allclose(direction, wanted, atol=1e-9)


@pytest.mark.parametrize(
    ("along", "kind", "files", "figures"),
    [
        ([0, 2, 4, 8, 10], SlicesMissing, ("s2", "s3"), {"gap_mm": 4, "missing": 1}),
        ([0, 2, 4, 12, 14, 18], SlicesMissing, ("s2", "s3"), {"gap_mm": 8, "missing": 4}),
        # Two distances of each kind: the usual one is no mean of them.
        ([0, 2, 4, 8, 12], SlicesMissing, ("s2", "s3"), {"step_mm": 2, "missing": 2}),
        ([0, 2, 4, 7, 9], SpacingUneven, ("s2", "s3"), {"gap_mm": 3, "least_mm": 2}),
        ([0, 1, 3, 5, 7], SpacingUneven, ("s0", "s1"), {"gap_mm": 1, "step_mm": 2}),
        ([0, 2, 4, 4.001, 6], SlicesDuplicated, ("s2", "s3"), {"slices": 5}),
    ],
)
def test_distances_that_are_refused(along, kind, files, figures):
    error = stacked(frames(map(float, along))).problem
    assert type(error) is kind and error.files == files
    assert {name: error.figures[name] for name in figures} == pytest.approx(figures)
    assert all(name in str(error) for name in files)


@pytest.mark.parametrize("degrees", [1.0, 18.5, -40.0])
def test_tilt_is_measured(degrees):
    tangent = np.tan(np.radians(degrees))
    error = stacked(frames([0.0, 2.0, 4.0, 6.0], shift=(0.0, tangent))).problem
    assert type(error) is GantryTilted and error.__cause__ is None
    assert error.figures["tilt_deg"] == pytest.approx(abs(degrees), abs=1e-3)
    error = stacked(frames([0.0, 2.0, 4.0, 7.0], shift=(0.0, tangent))).problem
    assert type(error) is GantryTilted and type(error.__cause__) is SpacingUneven
    assert error.figures["gap_mm"] == pytest.approx(3)


def rounded(numbers, step, angles=(0, 0, 0)):
    row, column, _ = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    found = frames([step * number for number in numbers], orientation=(*row, *column))
    return [replace(f, position_mm=tuple(np.round(f.position_mm, 1))) for f in found]


@pytest.mark.parametrize("step", [0.4, 0.5, 0.625, 0.75, 1.25, 3.3])
def test_positions_rounded_to_a_tenth_of_a_millimetre(step):
    grid = stacked(rounded(range(40), step))
    assert grid.problem is None
    assert grid.spacing_mm[0] == pytest.approx(step, abs=0.1 / 39)
    for absent in (1, 20, 38):
        error = stacked(rounded([n for n in range(40) if n != absent], step)).problem
        assert type(error) in (SlicesMissing, SpacingUneven)
    # Of oblique slices three coordinates are rounded: more than is allowed without being asked,
    # but a few of them are not taken for tilted.
    oblique = rounded(range(40), step, (12, -7, 20))
    grid = stacked(oblique, tolerate_mm=0.18)
    np.testing.assert_allclose(grid.affine[:3, 0], axes(oblique[0])[2] * step, atol=0.2 / 39)
    error = stacked(rounded(range(3), step, (12, -7, 20))).problem
    assert error is None or type(error) is SpacingUneven


def test_a_slice_in_a_wrong_place_is_never_rounding():
    for gap in (0.05, 0.3, 0.6, 1.0, 5.0):
        assert allowed_mm(gap) <= gap / 4
        along = np.arange(12.0) * gap
        along[5] += gap / 2
        assert stacked(frames(along)).problem is not None


def test_cosines_that_are_rounded_are_made_units():
    """To three decimals their length is off by 3 parts in 10,000: 0.1 mm at the far edge."""
    row, column, _ = Rotation.from_euler("xyz", (31, 17, 40), degrees=True).as_matrix().round(3)
    normal = np.cross(row, column)
    normal /= np.linalg.norm(normal)
    found = [
        replace(f, position_mm=tuple(float(z) * normal))
        for z, f in enumerate(frames(range(5), orientation=(*row, *column)))
    ]
    grid = stacked(found)
    lengths = np.linalg.norm(grid.affine[:3, :3], axis=0)
    np.testing.assert_allclose(lengths, grid.spacing_mm, rtol=1e-12)
    assert grid.spacing_mm == pytest.approx((1, 0.5, 0.75))


def test_copies_are_said():
    found = frames([0.0, 2.0, 2.0, 4.0])
    error = stacked(found, instances=["1.1", "1.2", "1.2", "1.3"]).problem
    assert type(error) is SlicesDuplicated and error.figures["copies"] == 1
    assert "1 of 4 slices are copies" in str(error)
    error = stacked(found, instances=["1.1", "1.2", "1.4", "1.3"]).problem
    assert error.figures["copies"] == 0 and "nothing in the headers" in str(error)
    # Frames of one file are no copies of each other.
    two = [replace(f, index=number) for number, f in enumerate(found)]
    assert stacked(two, instances=["1.1"] * 4).problem.figures["copies"] == 0


def test_a_bent_stack():
    found = frames([0.0, 2.0, 4.0, 6.0])
    x, y, z = found[1].position_mm
    found[1] = replace(found[1], position_mm=(x + 0.4, y, z))
    error = stacked(found).problem
    assert type(error) is SpacingUneven and error.files == ("s1",)
    assert error.figures == pytest.approx({"off_mm": 0.4, "allowed_mm": 0.1})
    assert stacked(found, tolerate_mm=0.5).problem is None


def test_tolerance():
    found = frames([0.0, 2.0, 4.2, 6.0, 8.0])
    assert type(stacked(found).problem) is SpacingUneven
    assert stacked(found, tolerate_mm=0.19).problem is not None
    assert stacked(found, tolerate_mm=0.21).spacing_mm[0] == pytest.approx(2.0)
    assert stacked(frames([0.0, 2.05, 4.0, 6.0])).problem is None  # rounded positions
    # A tolerance is no leave to call two slices one.
    assert type(stacked(frames([0.0, 2.0, 2.0]), tolerate_mm=9).problem) is SlicesDuplicated


@pytest.mark.parametrize("thickness", [None, 0.0, -1.0, float("nan"), float("inf")])
def test_a_single_slice_needs_its_thickness(thickness):
    assert stacked(frames([3.0])).spacing_mm == pytest.approx((2.0, 0.5, 0.75))
    error = stacked(frames([3.0], thickness=thickness)).problem
    assert type(error) is NoGeometry and "SliceThickness" in str(error)


@pytest.mark.parametrize(
    ("along", "block"),
    [
        ([0, 1, 2, 5, 6, 7, 8, 12], (3, 7)),
        ([0, 1, 2, 5, 6, 7], (0, 3)),
        ([0, 1, 2], (0, 3)),
        ([4], (0, 1)),
    ],
)
def test_longest_block(along, block):
    found = longest_block(np.array(along, float))
    assert (found.start, found.stop) == block


def test_regular_step():
    assert regular_step(np.array([0.0, 2, 4, 5])) == 1
    assert regular_step(np.array([0.0, 2, 4, 4.1])) == 0.5  # a quarter: no flood of slices
