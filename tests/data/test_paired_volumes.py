import numpy as np
import pytest

from kmed.data.paired_volumes import paired_slices, slice_items, slice_positions_mm
from kmed.data.sample import Arrays, DataError, Sample

AFFINE = np.array([[0, 0, 1.0, 0], [0, 1, 0, 0], [3, 0, 0, -50], [0, 0, 0, 1]])


def volume(name, shown, affine=AFFINE, label=None, shape=(6, 4, 4)):
    """A volume of which only the slices `shown` have tissue, on a quarter of their pixels."""
    image = np.zeros((*shape, 1), np.int16)
    image[shown, :2, :2] = 100
    return Sample(
        id=name,
        patient="p",
        files=(f"{name}.nii",),
        read=lambda: Arrays(image, None, (3.0, 1.0, 1.0), affine),
        label=label,
    )


def test_slices_that_both_volumes_show():
    study = ("p", {"t1": volume("p/t1", [1, 2, 3, 4]), "t2": volume("p/t2", [0, 1, 3, 4])})
    items = paired_slices([study])
    assert [item.slice for item in items["t1"]] == [1, 3, 4]
    assert [item.key for item in items["t1"]] == ["p/0001", "p/0003", "p/0004"]
    assert [item.key for item in items["t1"]] == [item.key for item in items["t2"]]
    assert [item.position_mm for item in items["t2"]] == [-47.0, -41.0, -38.0]
    assert items["t2"][0].id == "p/t2/0001" and items["t2"][0].sample.id == "p/t2"
    assert {item.study for item in items["t2"]} == {"p"}
    assert {item.label for item in items["t1"]} == {None}


def test_how_much_tissue_is_enough():
    assert len(slice_items([volume("v", [1, 2])], least_foreground=0.25)) == 2
    assert len(slice_items([volume("v", [1, 2])], least_foreground=0)) == 6
    with pytest.raises(DataError, match="v.nii: no slice of it has 30% of tissue"):
        slice_items([volume("v", [1, 2])], least_foreground=0.3)
    with pytest.raises(DataError, match="and of its partner"):
        paired_slices([("p", {"t1": volume("a", [1]), "t2": volume("b", [2])})])


@pytest.mark.parametrize(("every_mm", "slices"), [(3, range(6)), (3.1, [0, 2, 4]), (7, [0, 3])])
def test_distance_of_slices(every_mm, slices):
    items = slice_items([volume("v", slice(None))], every_mm=every_mm, least_foreground=0)
    assert [item.slice for item in items] == list(slices)


def test_labels_of_slices():
    study = ("p", {"t1": volume("a", [1, 2], label=4)})
    items = paired_slices([study], label_of=lambda sample: sample.label)
    assert [item.label for item in items["t1"]] == [4, 4]


def test_volumes_on_two_grids_are_refused():
    moved = AFFINE + np.eye(4, k=3) * 2
    with pytest.raises(DataError, match="b.nii: must lie on the grid of a.nii"):
        paired_slices([("p", {"t1": volume("a", [1]), "t2": volume("b", [1], moved)})])
    with pytest.raises(DataError, match="b.nii: must be as large as a.nii"):
        other = volume("b", [1], shape=(6, 4, 5))
        paired_slices([("p", {"t1": volume("a", [1]), "t2": other})])


def test_pictures_and_values_out_of_range_are_refused():
    flat = Sample(
        id="a",
        patient="a",
        files=("a.png",),
        read=lambda: Arrays(np.zeros((4, 4, 1)), None, (1.0, 1.0), None),
    )
    with pytest.raises(DataError, match="a.png: expected a volume"):
        slice_items([flat])
    with pytest.raises(ValueError, match="every_mm"):
        slice_items([], every_mm=0)
    with pytest.raises(ValueError, match="least_foreground"):
        slice_items([], least_foreground=1)


def test_positions_are_along_the_normal():
    # Slices tilted by 30 degrees about the first axis of the patient, 4 mm apart.
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = (0, -4 * s, 4 * c), (0, c, s), (1, 0, 0)
    affine[:3, 3] = 7, 8, 9
    np.testing.assert_allclose(np.diff(slice_positions_mm(affine, 3)), 4)
    normal = np.array([0, -s, c])
    np.testing.assert_allclose(slice_positions_mm(affine, 1), normal @ affine[:3, 3])
