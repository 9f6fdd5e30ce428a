import contextlib
import csv
import io
import json

import numpy as np
import pytest

from kmed.results.detection_files import write_coco_json, write_detections_csv

LABELS = ["red cell", "Plättchen"]
WRITERS = [write_coco_json, write_detections_csv]


def row(name, boxes=(), labels=(), scores=None, **more):
    boxes, labels = np.float32(boxes).reshape(-1, 4), np.int32(labels)
    scores = np.linspace(0.9, 0.5, len(labels), dtype="float32") if scores is None else scores
    found = {"boxes": boxes, "labels": labels, "scores": scores}
    return {"name": name, "height": 480, "width": 640, **found, **more}


def rows():
    yield row("a.png", [[1.23456, 2, 30, 40.5], [0, 0, 640, 480], [0, 0, 0, 0]], [1, 0, -1])
    yield row("none.png")
    yield row("ü b,c.png", [[5, 6, 7, 9]], [0])


def test_coco(tmp_path):
    path = write_coco_json(tmp_path / "new" / "found.json", rows(), LABELS)
    content = json.loads(path.read_text("utf-8"))
    assert content["categories"] == [{"id": 1, "name": "red cell"}, {"id": 2, "name": "Plättchen"}]
    assert content["images"] == [
        {"id": i, "file_name": name, "height": 480, "width": 640}
        for i, name in enumerate(["a.png", "none.png", "ü b,c.png"], 1)
    ]
    first, second, third = content["annotations"]  # without the padding
    assert first == {
        "id": 1, "image_id": 1, "category_id": 2, "bbox": [1.235, 2.0, 28.765, 38.5],
        "area": 1107.453, "iscrowd": 0, "score": 0.9,
    }  # fmt: skip
    assert second["area"] == 640 * 480 and second["category_id"] == 1
    assert third["image_id"] == third["id"] == 3
    assert [file.name for file in path.parent.iterdir()] == ["found.json"]


def test_pycocotools_reads_it(tmp_path):
    coco = pytest.importorskip("pycocotools.coco")
    path = write_coco_json(tmp_path / "found.json", rows(), LABELS)
    with contextlib.redirect_stdout(io.StringIO()):
        data = coco.COCO(path)
        found = data.loadRes(json.loads(path.read_text())["annotations"])
    assert found.getImgIds() == [1, 2, 3] and found.getAnnIds(catIds=[1]) == [2, 3]
    np.testing.assert_allclose(found.loadAnns(3)[0]["bbox"], [5, 6, 2, 3])


def test_ids_of_a_data_set(tmp_path):
    found = [row("a", [[0, 0, 1, 1]], [0], id=139), row("b", [[0, 0, 1, 1]], [0], id=np.int64(7))]
    content = json.loads(write_coco_json(tmp_path / "f.json", found, LABELS).read_text())
    assert [entry["image_id"] for entry in content["annotations"]] == [139, 7]
    assert [entry["id"] for entry in content["images"]] == [139, 7]


def test_table(tmp_path):
    path = write_detections_csv(tmp_path / "found.csv", rows(), LABELS)
    with open(path, encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    assert found[0] == {
        "image": "a.png", "label": "Plättchen", "score": "0.9",
        "x1": "1.235", "y1": "2.0", "x2": "30.0", "y2": "40.5",
    }  # fmt: skip
    assert [one["image"] for one in found] == ["a.png", "a.png", "none.png", "ü b,c.png"]
    assert set(found[2].values()) == {"none.png", ""}


@pytest.mark.parametrize("write", WRITERS)
def test_images_are_written_as_they_come(write, tmp_path):
    seen = []

    def many():
        for k in range(3000):
            seen.append(sum(part.stat().st_size for part in tmp_path.iterdir()))
            yield row(f"{k}.png", [[0, 0, 9, 9]] * 5, [0] * 5)

    write(tmp_path / "found", many(), LABELS)
    assert 0 < seen[1500] < seen[-1]


@pytest.mark.parametrize("write", WRITERS)
def test_no_image_at_all(write, tmp_path):
    text = write(tmp_path / "found", [], LABELS).read_text("utf-8")
    assert text.startswith("image,label") or json.loads(text)["annotations"] == []


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(
    ("one", "message"),
    [
        (row("a", [[0, 0, 1, 1]], [2]), "a: .* 2 names and a box of class 2"),
        (row("a", [[0, 0, np.nan, 1]], [0]), r"a: .*finite; received \[0.0, 0.0, nan, 1.0\]"),
        (row("a", [[0, 0, 1, 1]], [0], scores=np.float32([np.inf])), "finite.*score inf"),
        (row("a", [[0, 0, 1, 1]], [0, 0]), r"a: .*received \(1, 4\), \(2,\) and \(2,\)"),
    ],
)
def test_refused_and_nothing_is_left(write, one, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write(tmp_path / "found", [row("b"), one], LABELS)
    assert not list(tmp_path.iterdir())
