from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kmed.data.nifti import write_nifti
from kmed.data.sample import DataError
from kmed.data.unpaired_files import apart, told_modalities, unpaired_files

AFFINE = np.array([[0, 0, 1.0, 0], [0, 1, 0, 0], [3, 0, 0, -50], [0, 0, 0, 1]])


def pictures(root, *names):
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (6, 4), number).save(root / name)
    return root


def volumes(root, *names, slices=5):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        image = np.zeros((slices, 4, 4), np.int16)
        image[1:-1, 1:3, 1:3] = 100
        write_nifti(root / name, image, AFFINE)
    return root


def ids(found):
    return {m: [item.sample.id for item in found.items[m]] for m in found.modalities}


def keys(found):
    return [{item.key for item in found.items[m]} for m in found.modalities]


def test_two_folders_give_their_names(tmp_path):
    root = pictures(tmp_path, "horses/n1.png", "horses/n2.png", "zebras/m.png")
    found = unpaired_files(root)
    assert ids(found) == {"horses": ["horses/n1", "horses/n2"], "zebras": ["zebras/m"]}
    assert [s.patient for s in found.samples] == ["n1", "n2", "m"] and found.split is None
    turned = unpaired_files(root, ("zebras", "horses"))
    assert turned.modalities == ("zebras", "horses")


def test_nothing_matches_even_where_names_do(tmp_path):
    root = pictures(tmp_path, "a/1.png", "a/2.png", "b/1.png")
    found = unpaired_files(root, ("a", "b"), channels=3)
    first, second = keys(found)
    assert not first & second
    # They may be of one patient, who then stays in one part of a split.
    assert found.items["a"][0].patient == found.items["b"][0].patient == "1"
    assert found.samples[0].read().image.shape == (4, 6, 3)
    told = unpaired_files(root, ("a", "b"), patient=r"([ab])/")
    assert {item.patient for item in told.items["b"]} == {"b"}


def test_layout_of_published_sets(tmp_path):
    root = pictures(tmp_path, "trainA/1.png", "trainA/2.png", "trainB/1.png", "testA/1.png",
                    "testB/9.png", "readme/logo.png")  # fmt: skip
    found = unpaired_files(root)
    assert found.modalities == ("a", "b")
    assert ids(found) == {"a": ["testA/1", "trainA/1", "trainA/2"], "b": ["testB/9", "trainB/1"]}
    assert [s.id for s in found.split.train] == ["trainA/1", "trainA/2", "trainB/1"]
    assert [s.id for s in found.split.test] == ["testA/1", "testB/9"]
    parts = [{s.patient for s in part} for part in (found.split.train, found.split.test)]
    assert parts == [{"train/1", "train/2"}, {"test/1", "test/9"}]
    named = unpaired_files(root, ("he", "ihc"))
    assert named.modalities == ("he", "ihc") and len(named.items["he"]) == 3
    assert named.split is not None


@pytest.mark.parametrize(
    "names",
    [
        ("train/a/1", "train/b/4", "test/a/1", "test/b/3"),
        ("a/train/1", "b/train/4", "a/test/1", "b/test/3"),
    ],
)
def test_folders_of_parts_above_or_below(names, tmp_path):
    root = pictures(tmp_path, *(f"{name}.png" for name in names))
    found = unpaired_files(root, ("a", "b"))
    assert [len(found.split.train), len(found.split.test)] == [2, 2]
    assert {s.patient for s in found.split.train} == {"train/1", "train/4"}


def test_matched_pictures_of_that_layout(tmp_path):
    names = ("trainA/2_A", "trainA/1_A", "trainB/1_B", "trainB/2_B", "testA/1_A", "testB/1_B")
    root = pictures(tmp_path / "maps", *(f"{name}.png" for name in (*names, "testB/5_B")))
    found = unpaired_files(root, matched=True)
    listed = [[item.key for item in found.items[m]] for m in "ab"]
    assert listed == [["test/1", "train/1", "train/2"]] * 2
    assert found.items["b"][2].sample.id == "trainB/2_B"
    assert found.split.test[0].patient == "test/1"
    lonely = pictures(tmp_path / "x", "trainA/1.png", "trainB/2.png")
    with pytest.raises(DataError, match="no pairs; no name of a is one of b, the first are"):
        unpaired_files(lonely, matched=True)


def test_names_that_tell_two_modalities():
    def told(*names):
        return told_modalities(names, Path("set"))

    assert told("horses/n1", "horses/n2", "zebras/n_3") == ("horses", "zebras")
    # Two patients' folders are no modalities: they share names.
    assert told("p1/t1", "p1/t2", "p2/t1", "p2/t2") == ("t1", "t2")
    assert told("p1_t1", "p1_t2") == ("t1", "t2")
    with pytest.raises(DataError, match=r"say modalities=\('1', '2'\) or \('a', 'b'\)"):
        told("a/1", "a/2", "b/1")


def test_volumes_of_different_grids(tmp_path):
    root = volumes(tmp_path, "p1_t1.nii", "p2_t1.nii")
    volumes(root, "p1_t2.nii.gz", slices=9)
    found = unpaired_files(root, ("t1", "t2"))
    assert [item.slice for item in found.items["t2"]] == [1, 2, 3, 4, 5, 6, 7]
    assert len(found.items["t1"]) == 6 and found.items["t2"][0].patient == "p1"
    assert not keys(found)[0] & keys(found)[1]
    apart_mm = unpaired_files(root, ("t1", "t2"), every_mm=6)
    assert [item.slice for item in apart_mm.items["t2"]] == [1, 3, 5, 7]
    whole = unpaired_files(root, ("t1", "t2"), rank=3)
    assert ids(whole) == {"t1": ["p1_t1", "p2_t1"], "t2": ["p1_t2"]}


def test_faulty_folders(tmp_path):
    root = pictures(tmp_path, "a/1.png", "b/2.png")
    with pytest.raises(DataError, match="rank=3 takes volumes; there are pictures"):
        unpaired_files(root, rank=3)
    with pytest.raises(DataError, match="no image of modality 'c' among 2, first 'a/1'"):
        unpaired_files(root, ("a", "c"))
    volumes(root, "b/3.nii")
    with pytest.raises(DataError, match="the images of b are of two kinds, b/2"):
        unpaired_files(root)


def test_apart_of_what_is_apart():
    from kmed.data.items import CrossModal, Item

    item = Item(id="i", patient="p", study="s", key="k", text="t")
    found = apart(CrossModal(modalities=("a", "b"), items={"a": (item,), "b": (item,)}))
    assert found.items["b"][0].patient == "p" and found.items["b"][0].key != "k"
