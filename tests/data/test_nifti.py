import gzip
import pickle

import nibabel as nib
import numpy as np
import pytest

from kmed.data.nifti import nifti_pairs, read_nifti, write_nifti
from kmed.data.sample import DataError

LPS_OF_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def oblique(random, spacing=None):
    """A random rotation or reflection, spacing and origin."""
    rotation, _ = np.linalg.qr(random.normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = rotation * (random.uniform(0.4, 6, 3) if spacing is None else spacing)
    affine[:3, 3] = random.uniform(-300, 300, 3)
    return affine


def save(path, array, affine, **fields):
    image = nib.Nifti1Image(array, affine)
    for key, value in fields.items():
        image.header[key] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    return path


@pytest.mark.parametrize("seed", range(12))
def test_every_voxel_keeps_its_place(tmp_path, seed):
    # Each voxel has a value of its own; nibabel says where it lies, and so does kmed.
    random = np.random.default_rng(seed)
    shape = tuple(random.integers(2, 7, 3))
    stored = random.permutation(int(np.prod(shape))).reshape(shape).astype(np.int16)
    path = save(tmp_path / "a.nii.gz", stored, oblique(random))
    nibabel = nib.load(path)
    array, spacing_mm, affine = read_nifti(path)
    assert array.dtype == np.int16 and array.flags.c_contiguous
    for index in np.ndindex(*shape):
        [place] = np.argwhere(array == stored[index])
        np.testing.assert_allclose(
            affine @ [*place, 1], LPS_OF_RAS @ nibabel.affine @ [*index, 1], atol=1e-9
        )
    # The axes run to superior, posterior and left as nearly as they can.
    axes = np.linalg.inv(LPS_OF_RAS) @ affine
    assert nib.aff2axcodes(axes) == ("S", "P", "L")
    np.testing.assert_allclose(spacing_mm, np.linalg.norm(affine[:3, :3], axis=0))

    write_nifti(tmp_path / "like.nii.gz", array, affine, like=path)
    again = nib.load(tmp_path / "like.nii.gz")
    np.testing.assert_array_equal(np.asarray(again.dataobj), stored)
    np.testing.assert_array_equal(again.affine, nibabel.affine)
    np.testing.assert_array_equal(again.get_qform(), nibabel.get_qform())
    assert again.header["qform_code"] == nibabel.header["qform_code"]

    write_nifti(tmp_path / "own.nii", array, affine)
    array2, _, affine2 = read_nifti(tmp_path / "own.nii")
    np.testing.assert_array_equal(array2, array)
    np.testing.assert_allclose(affine2, affine, atol=1e-4)


def test_axes_by_hand(tmp_path):
    # Stored right, anterior, superior at 1, 2, 3 mm: DICOM's left of voxel 0 is at -x.
    stored = np.zeros((3, 4, 5), np.uint8)
    stored[0, 1, 4] = 7
    path = save(tmp_path / "a.nii", stored, np.diag([1.0, 2.0, 3.0, 1.0]))
    array, spacing_mm, affine = read_nifti(path)
    assert array.shape == (5, 4, 3) and spacing_mm == (3.0, 2.0, 1.0)
    assert array[4, 2, 2] == 7
    assert (affine @ [4, 2, 2, 1]).tolist() == [0.0, -2.0, 12.0, 1.0]


def test_qform_alone_and_units(tmp_path):
    affine = oblique(np.random.default_rng(3), spacing=0.001)
    image = nib.Nifti1Image(np.zeros((2, 3, 4), np.uint8), affine)
    image.set_sform(None, 0)
    image.set_qform(affine, 1)
    image.header.set_xyzt_units("meter")
    nib.save(image, tmp_path / "m.nii")
    assert read_nifti(tmp_path / "m.nii")[1] == pytest.approx((1.0, 1.0, 1.0), abs=1e-5)
    array, _, affine = read_nifti(tmp_path / "m.nii")
    write_nifti(tmp_path / "n.nii", array, affine, like=tmp_path / "m.nii")
    np.testing.assert_array_equal(read_nifti(tmp_path / "n.nii")[2], affine)


@pytest.mark.parametrize(
    ("dtype", "slope", "inter", "expected"),
    [
        (np.uint8, 1, 0, np.uint8),
        (np.int16, 1, 0, np.int16),
        (np.uint16, 1, -1024, np.int16),
        (np.int16, 0.5, 3, np.float32),
        (np.float64, 1, 0, np.float32),
        (">i2", 1, 0, np.int16),
    ],
)
def test_types_and_scaling(tmp_path, dtype, slope, inter, expected):
    values = np.array([0, 1, 24, 100], dtype).reshape(1, 2, 2)
    header = nib.Nifti1Header(endianness=">" if dtype == ">i2" else "<")
    image = nib.Nifti1Image(values, np.eye(4), header, dtype=np.dtype(dtype))
    image.header.set_slope_inter(slope, inter)
    # Written by hand: nibabel would divide by the slope.
    raw = bytearray(image.header.binaryblock)
    order = image.header.endianness
    raw[108:112] = np.array([352], f"{order}f4").tobytes()
    raw[344:348] = b"n+1\0"
    raw[112:120] = np.array([slope, inter], f"{order}f4").tobytes()
    stored = values.astype(np.dtype(dtype).newbyteorder(order)).tobytes(order="F")
    (tmp_path / "a.nii").write_bytes(bytes(raw) + b"\0" * 4 + stored)
    array, _, _ = read_nifti(tmp_path / "a.nii")
    assert array.dtype == expected
    assert sorted(array.ravel().tolist()) == [v * slope + inter for v in (0, 1, 24, 100)]


def test_shapes(tmp_path):
    eye = np.eye(4)
    assert read_nifti(save(tmp_path / "2.nii", np.zeros((3, 4)), eye))[0].shape == (1, 4, 3)
    assert read_nifti(save(tmp_path / "4.nii", np.zeros((3, 4, 5, 2)), eye))[0].shape == (
        5,
        4,
        3,
        2,
    )
    vector = save(tmp_path / "5.nii", np.zeros((3, 4, 5, 1, 2)), eye)
    assert read_nifti(vector)[0].shape == (5, 4, 3, 2)
    with pytest.raises(DataError, match=r"expected \(X, Y, Z\) or"):
        read_nifti(save(tmp_path / "6.nii", np.zeros((3, 4, 5, 2, 2)), eye))


def test_channels_keep_their_order_in_like(tmp_path):
    stored = np.random.default_rng(0).normal(size=(3, 4, 5, 2)).astype(np.float32)
    path = save(tmp_path / "a.nii", stored, oblique(np.random.default_rng(1)))
    array, _, affine = read_nifti(path)
    write_nifti(tmp_path / "b.nii", array, None, like=path)
    np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / "b.nii").dataobj), stored)


def test_refusals(tmp_path):
    eye = np.eye(4)
    for bad in (np.nan, np.inf):
        path = save(tmp_path / "bad.nii", np.full((2, 2, 2), bad, np.float32), eye)
        with pytest.raises(DataError, match="bad.nii: 8 voxels are NaN or infinite"):
            read_nifti(path)
    path = save(tmp_path / "c.nii", np.zeros((2, 2, 2), np.complex64), eye)
    with pytest.raises(DataError, match="c.nii: expected integers or real numbers"):
        read_nifti(path)
    flat = eye.copy()
    flat[:, 1] = flat[:, 0]
    image = nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), eye)
    image.header.set_sform(flat, 1)
    image._affine = flat
    nib.save(image, tmp_path / "flat.nii")
    # nibabel writes a qform beside; the sform has precedence
    with pytest.raises(DataError, match="flat.nii: its affine is singular"):
        read_nifti(tmp_path / "flat.nii")
    with pytest.raises(DataError, match="none.nii: no such file"):
        read_nifti(tmp_path / "none.nii")
    (tmp_path / "text.nii").write_text("no volume")
    with pytest.raises(DataError, match="text.nii: cannot be read as NIfTI"):
        read_nifti(tmp_path / "text.nii")


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.95])
def test_truncated(tmp_path, keep):
    random = np.random.default_rng(0)
    volume = random.integers(0, 200, (20, 20, 20), np.uint8)
    path = save(tmp_path / "a.nii.gz", volume, np.eye(4))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(DataError, match="a.nii.gz: cannot"):
        read_nifti(path)
    plain = gzip.compress(b"\0" * 400)
    path.write_bytes(plain)
    with pytest.raises(DataError, match="a.nii.gz: cannot"):
        read_nifti(path)


def test_write_refuses_another_grid(tmp_path):
    source = save(tmp_path / "a.nii", np.zeros((3, 4, 5), np.uint8), np.eye(4))
    array, _, affine = read_nifti(source)
    with pytest.raises(DataError, match="a.nii: its grid is"):
        write_nifti(tmp_path / "b.nii", array[1:], affine, like=source)
    moved = affine.copy()
    moved[0, 3] += 0.01
    with pytest.raises(DataError, match="`affine` is not the affine of this file"):
        write_nifti(tmp_path / "b.nii", array, moved, like=source)
    with pytest.raises(ValueError, match="`affine` is needed"):
        write_nifti(tmp_path / "b.nii", array)
    with pytest.raises(ValueError, match=r"must end in .nii"):
        write_nifti(tmp_path / "b.png", array, affine)
    with pytest.raises(ValueError, match=r"must be \(D, H, W\)"):
        write_nifti(tmp_path / "b.nii", array[0], affine)


def test_write_copies_no_text_of_the_source(tmp_path):
    source = save(
        tmp_path / "a.nii",
        np.zeros((3, 4, 5), np.int16),
        np.eye(4),
        descrip=b"DOE^JANE",
        db_name=b"X",
    )
    for dtype, expected in ((bool, np.uint8), (np.int64, np.int32), (np.float16, np.float32)):
        write_nifti(tmp_path / "b.nii", np.ones((5, 4, 3), dtype), like=source)
        written = nib.load(tmp_path / "b.nii")
        assert written.get_data_dtype() == expected
        assert b"DOE" not in (tmp_path / "b.nii").read_bytes()


@pytest.fixture
def folder(tmp_path):
    """Two volumes, the labels stored with other axes than the images."""
    random = np.random.default_rng(5)
    for name in ("p1", "p2"):
        affine = oblique(random)
        image = random.integers(0, 100, (4, 5, 6)).astype(np.int16)
        save(tmp_path / "images" / f"{name}.nii.gz", image, affine)
        label = nib.Nifti1Image((image > 50).astype(np.uint8) * 2, affine)
        turn = nib.orientations.ornt_transform(
            nib.io_orientation(affine), nib.orientations.axcodes2ornt("ILA")
        )
        (tmp_path / "labels").mkdir(exist_ok=True)
        nib.save(label.as_reoriented(turn), tmp_path / "labels" / f"{name}.nii.gz")
    return tmp_path


def test_pairs_meet_whatever_their_axes(folder):
    samples = nifti_pairs(folder / "images", folder / "labels", classes=3, patient=r"p(\d)")
    assert [(s.id, s.patient) for s in samples] == [("p1", "1"), ("p2", "2")]
    for sample in samples:
        arrays = pickle.loads(pickle.dumps(sample)).read()
        assert arrays.image.dtype == np.int16 and arrays.mask.dtype == np.uint8
        assert arrays.image.shape == (*arrays.mask.shape, 1)
        np.testing.assert_array_equal(arrays.mask, (arrays.image[..., 0] > 50) * 2)


def test_pairs_without_labels(folder):
    assert nifti_pairs(folder / "images")[0].read().mask is None
    [sample] = nifti_pairs(folder / "images" / "p2.nii.gz", folder / "labels" / "p2.nii.gz")
    assert sample.read().mask.max() == 2


def test_pairs_refuse_labels_outside_the_classes(folder):
    [first, _] = nifti_pairs(folder / "images", folder / "labels", classes=2)
    with pytest.raises(DataError, match=r"labels/p1.nii.gz: .* from 0 to 1; this one holds 2"):
        first.read()


def test_pairs_refuse_another_grid(folder):
    path = folder / "labels" / "p2.nii.gz"
    label = nib.load(path)
    data, affine = np.asarray(label.dataobj), label.affine.copy()
    affine[0, 3] += 0.0005
    save(path, data, affine)
    nifti_pairs(folder / "images", folder / "labels")
    affine[0, 3] += 0.005
    save(path, data, affine)
    with pytest.raises(DataError, match=r"labels/p2.nii.gz: must lie on .*images/p2.nii.gz.* mm"):
        nifti_pairs(folder / "images", folder / "labels")
    save(path, data[1:], label.affine)
    with pytest.raises(DataError, match=r"labels/p2.nii.gz: must be as large as .*images/p2.nii"):
        nifti_pairs(folder / "images", folder / "labels")


def test_hippocampus(shared_data):
    root = shared_data / "data" / "msd_hippocampus"
    samples = nifti_pairs(root / "images", root / "labels", classes=3)
    assert len(samples) == 260
    arrays = samples[0].read()
    assert arrays.spacing_mm == (1.0, 1.0, 1.0) and set(np.unique(arrays.mask)) == {0, 1, 2}
    # Anterior hippocampus (1) lies before the posterior (2): at smaller h, and smaller LPS y.
    before, behind = (np.argwhere(arrays.mask == k).mean(0) for k in (1, 2))
    assert before[1] < behind[1]
    assert (arrays.affine @ [*before, 1])[1] < (arrays.affine @ [*behind, 1])[1]
