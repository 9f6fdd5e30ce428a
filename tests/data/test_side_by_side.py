import numpy as np
import pytest
from PIL import Image

from kmed.data.audit import audit
from kmed.data.sample import DataError
from kmed.data.side_by_side import side_by_side


def pictures(root, *names, width=8, mode="L"):
    random = np.random.default_rng(0)
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shape = (4, width) if mode == "L" else (4, width, 3)
        Image.fromarray(random.integers(0, 255, shape, np.uint8), mode).save(root / name)
    return root


@pytest.mark.filterwarnings("ignore:.*mode.*:DeprecationWarning")
def test_halves_are_pairs(tmp_path):
    root = pictures(tmp_path, "1.png", "2.png", mode="RGB")
    found = side_by_side(root)
    assert found.modalities == ("left", "right") and found.split is None
    assert [item.key for item in found.items["right"]] == ["1", "2"]
    whole = np.asarray(Image.open(root / "2.png"))
    for half, name in ((whole[:, :4], "left"), (whole[:, 4:], "right")):
        item = found.items[name][1]
        np.testing.assert_array_equal(item.sample.read().image, half)
        assert item.patient == "2" and item.sample.id == f"2-{name}"
    assert len({sample.id for sample in found.samples}) == 4
    assert side_by_side(root, channels=1).samples[0].read().image.shape == (4, 4, 1)


@pytest.mark.filterwarnings("ignore:.*mode.*:DeprecationWarning")
def test_names_and_direction(tmp_path):
    root = pictures(tmp_path, "1.png")
    left, right = (item.sample.read().image for items in side_by_side(root).items.values()
                   for item in items)  # fmt: skip
    named = side_by_side(root, ("label", "photo"))
    np.testing.assert_array_equal(named.items["label"][0].sample.read().image, left)
    turned = side_by_side(root, ("right", "left"))
    assert turned.modalities == ("right", "left")
    np.testing.assert_array_equal(turned.items["right"][0].sample.read().image, right)


@pytest.mark.filterwarnings("ignore:.*mode.*:DeprecationWarning")
def test_folders_of_a_split(tmp_path):
    root = pictures(tmp_path, "train/1.png", "train/2.png", "val/1.png", "test/1.png")
    split = side_by_side(root).split
    assert [len(part) for part in (split.train, split.validation, split.test)] == [4, 2, 2]
    audit(split)  # the 1 of each part is another picture's number
    known = side_by_side(root, patient=r"(\w+)/")
    assert {sample.patient for sample in known.split.train} == {"train"}


@pytest.mark.filterwarnings("ignore:.*mode.*:DeprecationWarning")
def test_what_has_no_halves(tmp_path):
    with pytest.raises(DataError, match=r"odd/1.png: two halves need an even width; it has 7"):
        side_by_side(pictures(tmp_path / "odd", "1.png", width=7))
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="holds no pictures"):
        side_by_side(tmp_path / "none")
