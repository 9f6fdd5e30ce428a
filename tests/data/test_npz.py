import pickle

import numpy as np
import pytest

from kmed.data.npz import array_headers, npz
from kmed.data.sample import DataError


def write(path, save=np.savez_compressed, **arrays):
    save(path, **arrays)
    return path


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    ("shape", "image"),
    [
        ((5, 8, 9), (8, 9, 1)),
        ((5, 8, 9, 3), (8, 9, 3)),
        ((5, 7, 8, 9), (7, 8, 9, 1)),
        ((5, 7, 8, 9, 2), (7, 8, 9, 2)),
    ],
)
def test_images_and_labels(tmp_path, save, shape, image):
    stored = np.random.default_rng(0).integers(0, 60000, shape, np.uint16)
    labels = np.array([[0], [1], [2], [1], [0]], np.uint8)
    path = write(tmp_path / "a.npz", save, val_images=stored, val_labels=labels)
    samples = npz(path, split="validation")
    assert [s.label for s in samples] == [0, 1, 2, 1, 0] and samples[3].id == "val-000003"
    arrays = pickle.loads(pickle.dumps(samples[3])).read()
    assert arrays.image.shape == image and arrays.image.dtype == np.uint16 and arrays.mask is None
    np.testing.assert_array_equal(arrays.image.ravel(), stored[3].ravel())
    assert arrays.spacing_mm == (1.0,) * (len(image) - 1)
    arrays.image[:] = 0  # a sample's arrays are its own
    assert samples[3].read().image.any()


def test_masks(tmp_path):
    images = np.zeros((2, 4, 6, 6), np.float32)  # without masks: volumes of (4, 6, 6)
    masks = np.zeros((2, 4, 6, 6), np.uint8)
    masks[1, 2] = 255
    samples = npz(write(tmp_path / "a.npz", train_images=images, train_masks=masks), classes=2)
    assert samples[1].label is None
    arrays = samples[1].read()
    assert arrays.image.shape == (4, 6, 6, 1) and arrays.mask.sum() == 36 and arrays.mask.max() == 1
    # the masks decide that the last axis holds channels
    path = write(tmp_path / "b.npz", train_images=np.zeros((2, 4, 6, 6)), train_masks=masks[..., 0])
    assert npz(path)[0].read().image.shape == (4, 6, 6)
    path = write(tmp_path / "c.npz", train_images=images, train_masks=np.full_like(masks, 3))
    with pytest.raises(DataError, match=r"c.npz: train_masks\[0\]: .* from 0 to 1"):
        npz(path, classes=2)[0].read()


def test_a_rewritten_file_is_read_anew(tmp_path):
    import os

    path = write(tmp_path / "a.npz", train_images=np.zeros((1, 4, 4)), train_labels=[0])
    npz(path)[0].read()
    write(path, train_images=np.ones((1, 4, 4)), train_labels=[0])
    os.utime(path, ns=(1, 1))
    assert npz(path)[0].read().image.all()


def test_objects_are_refused_unopened(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("the pickle was opened",))

    objects = np.empty(2, object)
    objects[:] = Bomb()
    path = tmp_path / "a.npz"
    np.savez(path, train_images=np.zeros((2, 4, 4)), train_labels=objects)
    with pytest.raises(DataError, match="a.npz: train_labels holds Python objects"):
        npz(path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": np.zeros((2, 4, 4))}, "has no array 'train_images'; it has images"),
        ({"train_images": np.zeros((2, 4, 4))}, "neither 'train_labels' nor 'train_masks'"),
        ({"train_images": np.zeros((2, 4)), "train_labels": [0, 1]}, "must have 3 to 5 axes"),
        ({"train_images": np.zeros((0, 4, 4)), "train_labels": []}, "train_images is empty"),
        ({"train_images": np.zeros((2, 4, 4)), "train_labels": [0]}, r"one class index per image"),
        ({"train_images": np.zeros((2, 4, 4)), "train_labels": [[0, 1]] * 2}, "one class index"),
        ({"train_images": np.zeros((2, 4, 4)), "train_labels": [0.5, 1]}, "one class index"),
        ({"train_images": np.array([[["a"]]]), "train_labels": [0]}, "must hold numbers"),
        (
            {"train_images": np.zeros((2, 4, 4)), "train_masks": np.zeros((2, 4, 5), int)},
            r"train_masks must be as large as train_images",
        ),
    ],
)
def test_wrong_arrays(tmp_path, arrays, message):
    with pytest.raises(DataError, match=r"a.npz: .*" + message):
        npz(write(tmp_path / "a.npz", **arrays))


def test_several_labels(tmp_path):
    images = np.zeros((3, 4, 4), np.uint8)
    labels = np.array([[0, 1], [1, 1], [0, 0]], np.uint8)
    path = write(tmp_path / "a.npz", val_images=images, val_labels=labels)
    samples = npz(path, split="val", multilabel=True)
    assert [s.label for s in samples] == [(0, 1), (1, 1), (0, 0)]
    assert array_headers(path)["val_labels"][0] == (3, 2)
    with pytest.raises(DataError, match="one class index per image.*multilabel=True"):
        npz(path, split="val")
    for wrong in ([0, 1, 1], [[0, 2]] * 3, [[0, -1]] * 3, [[0, 1]] * 2, [[0.0, 1.0]] * 3):
        write(tmp_path / "b.npz", train_images=images, train_labels=np.array(wrong))
        with pytest.raises(DataError, match="b.npz: train_labels must hold (a )?0 (or|and) 1"):
            npz(tmp_path / "b.npz", multilabel=True)


def test_damaged_files(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 16, 16), np.uint8)
    path = write(tmp_path / "a.npz", train_images=images, train_labels=np.zeros(20, int))
    content = bytearray(path.read_bytes())
    path.write_bytes(content[:-200])
    with pytest.raises(DataError, match="a.npz: cannot be read as .npz"):
        npz(path)
    content[2000] ^= 255
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a.npz: cannot read train_images"):
        npz(path)[0].read()
    with pytest.raises(DataError, match="none.npz: no such file"):
        npz(tmp_path / "none.npz")
    with pytest.raises(ValueError, match="`split` must be"):
        npz(path, split="training")


def test_pneumonia(shared_data):
    path = shared_data / "data" / "pneumoniamnist" / "pneumoniamnist_modtrain.npz"
    counts = {s: [x.label for x in npz(path, split=s)] for s in ("train", "val", "test")}
    assert [len(c) for c in counts.values()] == [3882, 524, 624]
    assert [sum(c) for c in counts.values()] == [3494, 389, 390]
    assert npz(path)[-1].read().image.shape == (28, 28, 1)
