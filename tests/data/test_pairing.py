import os

import pytest

from kmed.data.pairing import files_below, pair, patient_of, stem
from kmed.data.sample import DataError

PNG = (".png", ".jpg")


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def test_files_below_follows_links_once_and_skips_hidden(tmp_path):
    touch(tmp_path, "b.PNG", "a/c.png", ".hidden.png", "__MACOSX/d.png", "notes.txt", ".git/e.png")
    os.symlink(tmp_path, tmp_path / "a" / "loop")
    os.symlink(tmp_path / "a", tmp_path / "z")
    found = [p.relative_to(tmp_path).as_posix() for p in files_below(tmp_path, PNG)]
    assert found == ["a/c.png", "b.PNG"]


def test_pipes_and_dangling_links_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DataError, match=r"pipe.png: not a regular file"):
        files_below(tmp_path, PNG)
    os.remove(tmp_path / "pipe.png")
    os.symlink("self.png", tmp_path / "self.png")
    with pytest.raises(DataError, match=r"self.png: not a regular file"):
        files_below(tmp_path, PNG)


def test_missing_path(tmp_path):
    with pytest.raises(DataError, match="nowhere: no such file or folder"):
        files_below(tmp_path / "nowhere", PNG)


def test_stem_takes_the_longest_suffix_and_keeps_inner_dots(tmp_path):
    assert stem(tmp_path / "a.b.nii.gz", tmp_path, (".nii", ".gz", ".nii.gz")) == "a.b"


@pytest.mark.parametrize("ending", ["", "_mask", "-mask", "_seg"])
def test_masks_by_name_and_ending(tmp_path, ending):
    images = touch(tmp_path / "i", "p1.jpg", "p10.jpg")
    masks = touch(tmp_path / "m", f"p1{ending}.png", f"p10{ending}.png", "orphan.png")
    pairs = pair(images, masks, PNG)
    assert [(k, i.name, m.name) for k, i, m in pairs] == [
        ("p1", "p1.jpg", f"p1{ending}.png"),
        ("p10", "p10.jpg", f"p10{ending}.png"),
    ]


def test_masks_beside_their_images(tmp_path):
    touch(tmp_path, "a.png", "a_mask.png", "b.png", "b_mask.png")
    assert [(k, m.name) for k, _, m in pair(tmp_path, tmp_path, PNG)] == [
        ("a", "a_mask.png"),
        ("b", "b_mask.png"),
    ]
    touch(tmp_path, "c.png")
    with pytest.raises(DataError, match=r"c.png: no mask of this name"):
        pair(tmp_path, tmp_path, PNG)


def test_subfolders_must_agree_when_both_have_them(tmp_path):
    images = touch(tmp_path / "i", "p1/001.png", "p2/001.png")
    masks = touch(tmp_path / "m", "p1/001.png", "p2/001.png")
    assert [(k, m.parent.name) for k, _, m in pair(images, masks, PNG)] == [
        ("p1/001", "p1"),
        ("p2/001", "p2"),
    ]
    os.remove(masks / "p2" / "001.png")
    with pytest.raises(DataError, match=r"1 of 2 images"):
        pair(images, masks, PNG)


def test_flat_masks_of_images_in_subfolders(tmp_path):
    images = touch(tmp_path / "i", "p1/x.png", "p2/y.png")
    masks = touch(tmp_path / "m", "x.png", "y.png")
    assert [m.name for _, _, m in pair(images, masks, PNG)] == ["x.png", "y.png"]
    touch(images, "p2/x.png")
    with pytest.raises(DataError, match="same name in another subfolder"):
        pair(images, masks, PNG)


def test_ambiguous_names(tmp_path):
    touch(tmp_path / "i", "a.png", "a.jpg")
    with pytest.raises(DataError, match="same name but for the suffix"):
        pair(tmp_path / "i", None, PNG)
    images = touch(tmp_path / "j", "a.png")
    masks = touch(tmp_path / "m", "a.png", "a_seg.png")
    with pytest.raises(DataError, match="expected one mask"):
        pair(images, masks, PNG)


def test_empty_folders(tmp_path):
    (tmp_path / "i").mkdir()
    with pytest.raises(DataError, match="i: no file that ends in .png or .jpg"):
        pair(tmp_path / "i", None, PNG)
    touch(tmp_path / "i", "a.png")
    (tmp_path / "m").mkdir()
    with pytest.raises(DataError, match="m: no mask that ends in"):
        pair(tmp_path / "i", tmp_path / "m", PNG)


def test_patients(tmp_path):
    assert patient_of("a/b_1", "x/a/b_1.png", None) == "a/b_1"
    assert patient_of("a/b_1", "x/a/b_1.png", r"/(\w+)_") == "b"
    assert patient_of("a/b_1", "x/a/b_1.png", lambda path: path[:1]) == "x"
    with pytest.raises(DataError, match=r"b_1.png: `patient` .* finds nothing"):
        patient_of("b_1", "b_1.png", r"(\d\d)")
    with pytest.raises(ValueError, match="exactly one group"):
        patient_of("b", "b.png", r"b")
    with pytest.raises(ValueError, match="no regular expression"):
        patient_of("b", "b.png", r"(b")
    with pytest.raises(DataError, match="non-empty str; received 7"):
        patient_of("b", "b.png", lambda path: 7)
