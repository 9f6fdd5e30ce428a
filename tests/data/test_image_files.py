import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from kmed.data.image_files import image_files
from kmed.data.nifti import read_nifti
from kmed.data.sample import DataError


@pytest.fixture
def grey(tmp_path):
    Image.fromarray(np.arange(24, dtype=np.uint8).reshape(4, 6)).save(tmp_path / "p1_a.png")
    return tmp_path / "p1_a.png"


@pytest.fixture
def colour(tmp_path):
    Image.new("RGB", (6, 4), (10, 20, 30)).save(tmp_path / "p2_b.png")
    return tmp_path / "p2_b.png"


def test_pictures(grey, colour):
    [sample] = image_files([("a", grey)], patient=lambda path: path[-8:-6])
    arrays = sample.read()
    assert (sample.id, sample.patient, sample.files) == ("a", "p1", (str(grey),))
    np.testing.assert_array_equal(arrays.image[..., 0].ravel(), range(24))
    assert arrays.mask is None and arrays.spacing_mm == (1.0, 1.0)
    both = [("p1_a", grey), ("p2_b", colour)]
    with pytest.raises(DataError, match=r"p2_b.png: has 3 channel.*pass channels=1"):
        image_files(both)
    samples = image_files(both, channels=3, patient="(p.)")
    assert [s.patient for s in samples] == ["p1", "p2"]
    assert {s.read().image.shape for s in samples} == {(4, 6, 3)}
    with pytest.raises(ValueError, match="`channels` must be"):
        image_files(both, channels=2)


def test_volumes(tmp_path, grey):
    for name, shape in (("a.nii.gz", (2, 3, 4)), ("b.nii", (2, 3, 4, 2))):
        nib.save(nib.Nifti1Image(np.random.rand(*shape).astype("f4"), np.eye(4)), tmp_path / name)
    one, two = (("a", tmp_path / "a.nii.gz"), ("b", tmp_path / "b.nii"))
    arrays = image_files([one])[0].read()
    np.testing.assert_array_equal(arrays.image[..., 0], read_nifti(one[1])[0])
    assert image_files([two])[0].read().image.shape == (4, 3, 2, 2)
    with pytest.raises(DataError, match=r"b.nii: has 2 channel\(s\), .*a.nii.gz has 1"):
        image_files([one, two])
    with pytest.raises(DataError, match=r"p1_a.png: not of the kind of .*a.nii.gz"):
        image_files([one, ("c", grey)])
    with pytest.raises(ValueError, match="`channels` is for pictures"):
        image_files([one], channels=3)


def test_damaged_files_are_named_at_once(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"a.png: cannot be read"):
        image_files([("a", path)])
    with pytest.raises(DataError, match=r"a.txt: not of the kind"):
        image_files([("a", tmp_path / "a.txt")])
