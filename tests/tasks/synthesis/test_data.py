import numpy as np
import pytest
from PIL import Image

from kmed.data import DataError
from kmed.data.cache import Case
from kmed.tasks.synthesis import Settings
from kmed.tasks.synthesis.data import images_of, open_data, targets


def test_classes_are_found_and_may_be_ignored(shapes):
    found = open_data(Settings(data=str(shapes)))
    assert found.labels == ("disc", "ring")
    np.testing.assert_array_equal(np.bincount(targets(found.samples, found.labels)), [24, 24])
    plain = open_data(Settings(data=str(shapes / "disc"), conditional=False))
    assert plain.labels == () and len(plain.samples) == 24
    assert not targets(plain.samples, ()).any()


def test_images_without_classes_need_no_flag(shapes, tmp_path):
    for number, path in enumerate(sorted((shapes / "ring").iterdir())[:3]):
        with Image.open(path) as picture:
            picture.save(tmp_path / f"{number}.png")
    assert open_data(Settings(data=str(tmp_path))).labels == ()
    with pytest.raises(DataError):
        open_data(Settings(data=str(tmp_path), conditional=True))
    with pytest.raises(DataError, match="--data PATH"):
        open_data(Settings())


def test_slices_of_volumes_have_their_volumes_class(tmp_path):
    cases = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        np.save(folder / "image.npy", np.full((3, 4, 4, 1), number, "float32"))
        cases.append(Case(folder=str(folder), shape=(3, 4, 4), digest=""))
    images, labels = images_of(cases, np.array([5, 7]), 2, 100, 0)
    assert images.shape == (6, 4, 4, 1)
    np.testing.assert_array_equal(labels, [5, 5, 5, 7, 7, 7])
    np.testing.assert_array_equal(images[:, 0, 0, 0], [0, 0, 0, 1, 1, 1])
    few, some = images_of(cases, np.array([5, 7]), 2, 4, 0)
    assert len(few) == len(some) == 4
    assert images_of(cases, np.array([5, 7]), 3, 100, 0)[0].shape == (2, 3, 4, 4, 1)
