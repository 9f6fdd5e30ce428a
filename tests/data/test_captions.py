import json

import numpy as np
import pydicom
import pytest
from PIL import Image

from kmed.data.captions import caption_files, captions
from kmed.data.nifti import write_nifti
from kmed.data.phantoms import phantoms
from kmed.data.sample import DataError

AXES = np.eye(4)[[2, 1, 0, 3]]  # axial slices, the last axis to the left


def pictures(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (6, 4)).save(root / name)


def lines(path, *rows):
    path.write_text("".join(json.dumps(dict(row)) + "\n" for row in rows))
    return path


def row(image, caption, **more):
    return {"image": image, "caption": caption, **more}


def test_several_sentences_of_an_image_and_several_images_of_a_sentence(tmp_path):
    pictures(tmp_path, *(f"images/{name}.png" for name in "abcde"))
    found = captions(
        lines(
            tmp_path / "all.jsonl",
            row("a.png", "A mass.", case="1"),
            row("a.png", "Seen again.", case="1"),
            row("b.png", "A  mass. ", case="1"),
            row("c", "Normal.", case="1"),
            row("d", "A mass.", case="2"),
            row("e", "Normal.", case="3"),
            row("e", "Normal.", case="3"),
        )
    )
    assert found.modalities == ("image", "text") and found.split is None and found.labels == ()
    images, texts = found.items["image"], found.items["text"]
    assert [(i.id, i.key, i.patient) for i in images] == [
        ("images/a", "images/a", "1"),
        ("images/b", "images/a", "1"),
        ("images/c", "images/c", "1"),
        ("images/d", "images/d", "2"),
        ("images/e", "images/e", "3"),
    ]
    assert [(t.id, t.text, t.key) for t in texts] == [
        ("images/a:1", "A mass.", "images/a"),
        ("images/a:2", "Seen again.", "images/a"),
        ("images/c:1", "Normal.", "images/c"),
        ("images/d:1", "A mass.", "images/d"),
        ("images/e:1", "Normal.", "images/e"),
    ]
    assert {t.sample for t in texts} == {None} and {i.text for i in images} == {None}
    assert images[0].sample.read().image.shape == (4, 6, 1)


def test_chains_of_sentences_and_images_have_one_key(tmp_path):
    pictures(tmp_path, *(f"{n}.png" for n in range(4)))
    told = [(3, "x"), (2, "y"), (1, "y"), (1, "z"), (0, "z"), (0, "x")]
    found = captions(
        lines(tmp_path / "a.jsonl", *(row(f"{n}.png", text, patient="p") for n, text in told))
    )
    assert {item.key for items in found.items.values() for item in items} == {"3"}


def test_labels_of_images_and_sentences(tmp_path):
    pictures(tmp_path, "a.png", "b.png", "c.png")
    path = tmp_path / "a.csv"
    path.write_text("file,report,label,patient\na.png,Mass,CT,1\nb.png,Mass,MR,1\nc.png,Well,,2\n")
    found = captions(path)
    assert found.labels == ("CT", "MR")
    assert [item.label for item in found.items["image"]] == [0, 1, None]
    assert [item.label for item in found.items["text"]] == [None, None]
    assert [sample.label for sample in found.samples] == [0, 1, None]
    ordered = captions(path, labels=("MR", "CT"))
    assert [item.label for item in ordered.items["image"]] == [1, 0, None]


def test_patients(tmp_path):
    pictures(tmp_path, "p1_a.png", "p1_b.png", "p2_a.png")
    names = ("p1_a", "p1_b", "p2_a")
    path = lines(tmp_path / "a.jsonl", *(row(n, n, who=n[:2]) for n in names))

    def patients(**arguments):
        found = captions(path, **arguments)
        assert [t.patient for t in found.items["text"]] == [i.patient for i in found.items["image"]]
        return [item.patient for item in found.items["image"]]

    assert patients() == ["p1_a", "p1_b", "p2_a"]
    assert patients(patient="who") == ["p1", "p1", "p2"]
    assert patients(patient=r"p(\d)_") == ["1", "1", "2"]
    assert patients(patient=lambda path: path[-6:-4]) == ["_a", "_b", "_a"]
    with pytest.raises(DataError, match="has no column 'whom'"):
        captions(path, patient="whom")


def test_parts_of_a_split(tmp_path):
    pictures(tmp_path, *(f"{n}.png" for n in range(3)))
    for n, part in enumerate(("train", "dev", "test")):
        lines(tmp_path / f"set_{part}.jsonl", row(f"{n}.png", part))
    split = captions(tmp_path).split
    assert [[s.id for s in p] for p in (split.train, split.validation, split.test)] == [
        ["0"],
        ["1"],
        ["2"],
    ]
    (tmp_path / "set_test.jsonl").unlink()
    split = captions(tmp_path).split
    assert [s.id for s in split.test] == ["1"] and not split.validation
    (tmp_path / "notes.csv").write_text("a\n1\n")
    assert len(caption_files(tmp_path)) == 2
    (tmp_path / "set_dev.jsonl").unlink()
    with pytest.raises(DataError, match="holds notes.csv, set_train.jsonl; name one of them"):
        captions(tmp_path)
    assert captions(tmp_path / "set_train.jsonl").split is None


def test_a_column_of_parts(tmp_path):
    pictures(tmp_path, "a.png", "b.png")
    path = lines(tmp_path / "a.jsonl", row("a", "x", split="train"), row("b", "y", split="Test"))
    split = captions(path).split
    assert [s.id for s in split.train] == ["a"] and [s.id for s in split.test] == ["b"]
    lines(path, row("a", "x", split="train"), row("b", "y", split="third"))
    with pytest.raises(DataError, match="line 2: split must be train, val or test; received 'th"):
        captions(path)


def test_volumes_with_sentences(tmp_path):
    for name in "ab":
        write_nifti(tmp_path / f"{name}.nii.gz", np.zeros((2, 3, 4), np.int16), AXES)
    path = lines(tmp_path / "a.jsonl", row("a", "one"), row("b", "two"))
    found = captions(path, rank=3)
    assert found.items["image"][0].sample.read().image.shape == (2, 3, 4, 1)
    with pytest.raises(DataError, match=r"line 1: .*a.nii.gz is a volume, where rank=2"):
        captions(path)


def test_dicom_by_its_identifier(tmp_path):
    phantoms(tmp_path / "set", patients=1, shape=(8, 16, 16), spacing_mm=(15, 20, 20))
    (tmp_path / "set" / "dataset.json").unlink()
    first = pydicom.dcmread(tmp_path / "set" / "patient-0001" / "t1" / "slice-0001.dcm")
    told = {"SeriesInstanceUID": first.SeriesInstanceUID, "report": "Liver lesion."}
    path = lines(tmp_path / "reports.jsonl", told)
    [item] = captions(path, rank=3).items["image"]
    assert (item.patient, item.sample.modality) == ("patient-0001", "MR")
    assert item.sample.read().image.shape == (8, 16, 16, 1)


def test_what_is_refused(tmp_path):
    pictures(tmp_path, "a.png", "b.png")
    path = tmp_path / "a.jsonl"
    for rows, message in (
        ([row("a", "x"), row("c.png", "y")], r"a.jsonl, line 2: no image 'c.png' below"),
        ([row("a", " "), row("b", "y")], "line 1: caption is blank"),
        ([row("a", "x", case="1"), row("b", "y")], "line 2: case is blank"),
        ([row("a", "x", label="1"), row("a", "y", label="2")], "line 2: a.png is also in .*line 1"),
        ([row("a", "x", case="1"), row("a", "y", case="2")], "line 2: a.png is also in .*line 1"),
    ):
        with pytest.raises(DataError, match=message):
            captions(lines(path, *rows))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="holds no .csv, .tsv, .jsonl file"):
        captions(empty)
    for name in ("train.csv", "train.jsonl"):
        (empty / name).write_text("")
    with pytest.raises(DataError, match="train.csv and train.jsonl are the same part"):
        captions(empty)


def test_radiology_teaching_files(shared_data):
    found = captions(shared_data / "data" / "medpix2", label="location_category")
    assert len(found.items["image"]) == len(found.samples) == 1850
    assert [len(found.split.train), len(found.split.validation), len(found.split.test)] == [
        1653, 0, 197,
    ]  # fmt: skip
    assert len(found.labels) == 5
    assert not {s.patient for s in found.split.train} & {s.patient for s in found.split.test}
    keys = [{item.key for item in items} for items in found.items.values()]
    assert keys[0] == keys[1]
    assert len({(t.patient, t.text) for t in found.items["text"]}) == len(found.items["text"])
    test = found.part(found.split.test)
    assert len(test.items["image"]) == 197
