import json

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from scipy.spatial.distance import pdist

from kmed.data import DataError, read_nifti
from kmed.results import longest_extent_mm, quantities, write_findings
from kmed.results.drawing import color

NAMES = ["background", "liver", "lesion"]


@pytest.fixture
def volume():
    rng = np.random.default_rng(0)
    labels = np.zeros((6, 16, 20), "uint8")
    labels[1:5, 4:12, 3:9] = 1
    labels[2, 5, 4] = 2
    return labels, rng.normal(size=(*labels.shape, 1)).astype("float32")


def test_volume_keeps_the_patients_coordinates(tmp_path, volume):
    labels, image = volume
    affine = np.array([[0, 0.1, 0.8, -30], [0, 0.8, -0.1, 12], [2.5, 0, 0, 7], [0, 0, 0, 1]])
    spacing = tuple(np.linalg.norm(affine[:3, :3], axis=0))
    files = write_findings(
        tmp_path, "a", labels, image=image, spacing_mm=spacing, affine=affine, label_names=NAMES
    )
    assert [p.name for p in files] == ["a.nii.gz", "a_overlay.png", "a.json"]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(p.name for p in files)
    stored = nib.load(files[0])
    data = np.asarray(stored.dataobj)
    assert data.dtype == np.uint8
    # nibabel's world is RAS: the lesion's place in it is its place in LPS with two signs turned.
    index = np.argwhere(data == 2)
    assert len(index) == 1
    world = stored.affine @ [*index[0], 1]
    assert world[:3] == pytest.approx((affine @ [2, 5, 4, 1])[:3] * [-1, -1, 1], abs=1e-4)
    back, back_spacing, back_affine = read_nifti(files[0])
    assert np.array_equal(back, labels)
    assert back_spacing == pytest.approx(spacing, abs=1e-5)
    assert back_affine == pytest.approx(affine, abs=1e-4)


def test_volume_without_affine_gets_its_spacing(tmp_path, volume):
    labels, image = volume
    path = write_findings(
        tmp_path, "a", labels, image=image, spacing_mm=(5, 2, 1.5), label_names=NAMES
    )[0]
    back, spacing, affine = read_nifti(path)
    assert np.array_equal(back, labels) and spacing == pytest.approx((5, 2, 1.5))
    assert affine @ [1, 1, 1, 1] == pytest.approx([1.5, 2, 5, 1])


def test_labels_take_the_grid_of_their_source(tmp_path, volume):
    # A source with other axes: x to left, then z to inferior, then y to anterior.
    source = nib.Nifti1Image(
        np.arange(20 * 6 * 16, dtype="int16").reshape(20, 6, 16),
        np.array([[-2, 0, 0, 9], [0, 0, 3, 8], [0, -4, 0, 7], [0, 0, 0, 1]], float),
    )
    like = tmp_path / "source.nii.gz"
    nib.save(source, like)
    image, spacing, affine = read_nifti(like)
    labels = (image % 3).astype("uint8")
    path = write_findings(
        tmp_path,
        "a",
        labels,
        image=image[..., None],
        spacing_mm=spacing,
        affine=affine,
        like=like,
        label_names=NAMES,
    )[0]
    stored = nib.load(path)
    assert np.array_equal(np.asarray(stored.dataobj), np.asarray(source.dataobj) % 3)
    assert np.array_equal(stored.affine, source.affine)
    with pytest.raises(DataError, match="source.nii.gz"):
        small = labels[1:]
        write_findings(
            tmp_path,
            "b",
            small,
            image=small[..., None],
            spacing_mm=spacing,
            like=like,
            label_names=NAMES,
        )
    assert not list(tmp_path.glob("b*")) and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("classes", [2, 3, 20, 256])
def test_values_of_a_plane_are_class_indices(tmp_path, classes):
    labels = (np.arange(30 * 40).reshape(30, 40) % classes).astype("uint8")
    names = [f"class {k}" for k in range(classes)]
    image = np.zeros((30, 40, 3), "uint8")
    files = write_findings(
        tmp_path, "x.1", labels, image=image, spacing_mm=(1, 1), label_names=names
    )
    assert [p.name for p in files] == ["x.1.png", "x.1_overlay.png", "x.1.json"]
    with Image.open(files[0]) as picture:
        assert picture.mode == "P"
        assert np.array_equal(np.asarray(picture), labels)
        assert np.asarray(picture.convert("RGB"))[0, 1].tolist() == list(color(1))


def test_a_plane_as_nifti_and_a_volume_as_png(tmp_path, volume):
    labels, image = volume
    plane = write_findings(
        tmp_path,
        "plane",
        labels[2],
        image=image[2],
        spacing_mm=(2, 3),
        label_names=NAMES,
        to="nifti",
    )[0]
    back, spacing, _ = read_nifti(plane)
    assert np.array_equal(back, labels[2][None]) and spacing == (1, 2, 3)
    *slices, _, _ = write_findings(
        tmp_path, "v", labels, image=image, spacing_mm=(1, 1, 1), label_names=NAMES, to="png"
    )
    assert [p.relative_to(tmp_path).as_posix() for p in slices[:2]] == [
        "v/slice-0001.png",
        "v/slice-0002.png",
    ]
    assert np.array_equal(np.stack([np.asarray(Image.open(p)) for p in slices]), labels)


def test_quantities_of_a_hand_worked_box(tmp_path):
    labels = np.zeros((4, 10, 10), "uint8")
    labels[1:3, 2:7, 3:4] = 1  # 2 x 5 x 1 voxels of 4 x 2 x 1 mm
    image = np.stack([labels * 50.0, labels - 1.0], axis=-1)  # two channels: the first is shown
    path = write_findings(
        tmp_path, "a", labels, image=image, spacing_mm=(4, 2, 1), label_names=NAMES
    )[-1]
    content = json.loads(path.read_text())
    assert content["shape"] == [4, 10, 10] and content["spacing_mm"] == [4, 2, 1]
    liver = content["classes"]["liver"]
    assert liver["voxels"] == 10 and liver["volume_ml"] == pytest.approx(0.08)
    assert liver["mean_intensity"] == [50.0, 0.0]
    # Between middles of outer faces, half a step beyond the outer voxels' centres in D at one end
    # and in D at the other: 2 steps of 4 mm and 4 of 2 mm. (Beyond in H: 1 step and 5, 10.8 mm.)
    assert liver["longest_extent_mm"] == pytest.approx(np.hypot(2 * 4, 4 * 2), abs=1e-3)
    assert content["classes"]["lesion"] == {
        "index": 2,
        "voxels": 0,
        "volume_ml": 0,
        "longest_extent_mm": 0,
        "mean_intensity": None,
    }


def test_area_of_a_plane():
    labels = np.array([[0, 1, 1], [0, 1, 2]], "uint8")
    found = quantities(labels, labels[..., None] * 7, (0.5, 3.0), NAMES)
    assert found["liver"]["area_mm2"] == 4.5 and found["liver"]["mean_intensity"] == 7
    assert found["lesion"]["longest_extent_mm"] == 3.0


def test_an_intensity_that_is_not_finite_is_null(tmp_path):
    labels = np.ones((8, 8), "uint8")
    image = np.full((8, 8, 1), np.nan, "float32")
    path = write_findings(tmp_path, "a", labels, image=image, spacing_mm=(1, 1), label_names=NAMES)[
        -1
    ]
    assert json.loads(path.read_text())["classes"]["liver"]["mean_intensity"] is None


@pytest.mark.parametrize("shape", [(13, 9), (7, 9, 8)])
def test_longest_extent_against_all_pairs(shape):
    rng = np.random.default_rng(1)
    spacing = (3.0, 0.7, 1.1)[-len(shape) :]
    for density in (0.003, 0.02, 0.4):
        mask = rng.random(shape) < density
        mask[tuple(n // 2 for n in shape)] = True
        voxels = np.argwhere(mask)
        half = 0.5 * np.eye(len(shape))
        points = np.concatenate([voxels + step for step in (*half, *-half)]) * spacing
        assert longest_extent_mm(mask, spacing) == pytest.approx(pdist(points).max())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "../a"}, "without a folder"),
        ({"name": ""}, "without a folder"),
        ({"to": "dicom"}, "auto, nifti, png"),
        ({"label_names": NAMES[:2]}, "2 names for labels from 0 to 2"),
        ({"label_names": ["a", "b", "b"]}, "differ"),
        ({"spacing_mm": (1, 1)}, "3 lengths"),
        ({"spacing_mm": (1, 0, 1)}, "above 0"),
        ({"image": np.zeros((6, 16, 20))}, "channels last"),
        ({"labels": np.zeros((6, 16, 20), "float32")}, "float32"),
        ({"labels": np.full((6, 16, 20), -1)}, "-1"),
    ],
)
def test_refusals_write_nothing(tmp_path, volume, change, message):
    labels, image = volume
    given = {"name": "a", "labels": labels, "image": image, "spacing_mm": (1, 1, 1)}
    given |= {"label_names": NAMES, **change}
    with pytest.raises(ValueError, match=message):
        write_findings(tmp_path, **given)
    assert not list(tmp_path.iterdir())
