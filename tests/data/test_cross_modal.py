import json

import numpy as np
import pytest
from PIL import Image

from kmed.data.cross_modal import cross_modal
from kmed.data.nifti import write_nifti
from kmed.data.phantoms import phantoms
from kmed.data.sample import DataError


def pictures(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (6, 4)).save(root / name)
    return root


@pytest.fixture
def told(tmp_path):
    pictures(tmp_path, "images/a.png", "images/b.png")
    rows = [{"image": name, "caption": f"Image {name}."} for name in "ab"]
    (tmp_path / "all.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


def test_images_and_sentences(told):
    for path in (told, told / "all.jsonl"):
        assert [len(items) for items in cross_modal(path).items.values()] == [2, 2]
    turned = cross_modal(told, modalities=("text", "image"))
    assert turned.modalities == ("text", "image") == tuple(turned.items)
    swapped = cross_modal(told, image="image", text="image")
    assert [item.text for item in swapped.items["text"]] == ["a", "b"]


def test_arguments_that_images_and_sentences_do_not_have(told):
    with pytest.raises(ValueError, match=r"`modalities` of images and sentences are"):
        cross_modal(told, modalities=("text", "t1"))
    with pytest.raises(ValueError, match="`key` has no meaning for images and sentences"):
        cross_modal(told, key="(a)")
    with pytest.raises(ValueError, match="`every_mm` has no meaning"):
        cross_modal(told, every_mm=5)


def test_phantoms(tmp_path):
    root = phantoms(tmp_path / "set", patients=1, shape=(8, 16, 16), spacing_mm=(15, 20, 20))
    assert cross_modal(root).modalities == ("ct", "t2")
    apart = cross_modal(root, modalities=("t1", "ct"), every_mm=30)
    assert len(apart.items["ct"]) < len(cross_modal(root).items["ct"])
    assert [i.slice for i in cross_modal(root, rank=3).items["ct"]] == [None]
    with pytest.raises(ValueError, match="`key` has no meaning for phantoms"):
        cross_modal(root, key="(a)")


def test_files_of_modalities_beside_a_table_of_participants(tmp_path):
    for name in ("p1_t1.nii", "p1_t2.nii"):
        volume = np.arange(32, dtype=np.int16).reshape(2, 4, 4)
        write_nifti(tmp_path / name, volume, np.eye(4))
    assert cross_modal(tmp_path).modalities == ("t1", "t2")
    (tmp_path / "participants.tsv").write_text("participant_id\tage\np1\t60\n")
    found = cross_modal(tmp_path, modalities=("t1", "t2"), rank=3)
    assert [item.key for item in found.items["t1"]] == ["p1"]
    with pytest.raises(DataError, match="participants.tsv: no column is called image"):
        cross_modal(tmp_path, text="age")


def test_pictures(tmp_path):
    root = pictures(
        tmp_path, "ct/a.png", "ct/b.png", "ct/c.png", "mr/a.png", "mr/b.png", "mr/c.png"
    )
    found = cross_modal(root, label="([ab]|c)$", patient="/(.)", channels=3)
    assert found.modalities == ("ct", "mr") and found.labels == ("a", "b", "c")
    assert found.samples[0].read().image.shape == (4, 6, 3)


def test_values_out_of_range(tmp_path):
    with pytest.raises(ValueError, match="`rank` must be 2 or 3"):
        cross_modal(tmp_path, rank=1)
    for modalities in (("t1",), ("t1", "T1"), "t1", ("t1", "")):
        with pytest.raises(ValueError, match="`modalities` must be two different names"):
            cross_modal(tmp_path, modalities=modalities)
    with pytest.raises(DataError, match="no such file or folder"):
        cross_modal(tmp_path / "absent")
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(DataError, match="expected a folder, or one of .csv, .tsv, .jsonl"):
        cross_modal(tmp_path / "a.txt")
