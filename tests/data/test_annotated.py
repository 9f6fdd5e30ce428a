import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from kmed.data.annotated import annotated
from kmed.data.sample import DataError

XML = """<annotation><filename>a.png</filename>
<size><width>40</width><height>20</height></size>
<object><name>cell</name><bndbox>
<xmin>2</xmin><ymin>3</ymin><xmax>9</xmax><ymax>8</ymax></bndbox></object></annotation>"""
BOX = [1.0, 2.0, 9.0, 8.0]


def picture(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (40, 20), value).save(path)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def voc(root):
    picture(root / "JPEGImages" / "a.png")
    write(root / "Annotations" / "a.xml", XML)


def voc_beside(root):
    picture(root / "a.png")
    write(root / "a.xml", XML)


def coco(root):
    picture(root / "images" / "a.png")
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 40, "height": 20}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 8, 6]}],
        "categories": [{"id": 1, "name": "cell"}],
    }
    write(root / "annotations" / "boxes.json", json.dumps(content))


def yolo(root):
    picture(root / "images" / "a.png")
    write(root / "labels" / "a.txt", "0 0.125 0.25 0.2 0.3\n")
    write(root / "data.yaml", "names: [cell]\n")


def yolo_beside(root):
    picture(root / "a.png")
    write(root / "a.txt", "0 0.125 0.25 0.2 0.3\n")
    write(root / "classes.txt", "cell\n")


def csv_table(root):
    picture(root / "a.png")
    write(root / "boxes.csv", "file,x1,y1,x2,y2,label\na.png,1,2,9,8,cell\n")


def masks(root):
    picture(root / "images" / "a.png")
    mask = np.zeros((20, 40), np.uint8)
    mask[2:8, 1:9] = 255
    (root / "masks").mkdir()
    Image.fromarray(mask).save(root / "masks" / "a.png")


@pytest.mark.parametrize("layout", [voc, voc_beside, coco, yolo, yolo_beside, csv_table, masks])
def test_one_box_in_every_format(tmp_path, layout):
    layout(tmp_path)
    found = annotated(tmp_path, labels=["cell"])
    [sample] = found.samples
    assert (sample.id, sample.patient, found.labels) == ("a", "a", ("cell",))
    np.testing.assert_allclose(sample.objects.boxes, [BOX], rtol=1e-6)
    assert sample.objects.labels.tolist() == [0]
    assert (found.split, found.problems, found.sizes) == (None, (), ((20, 40),))
    assert sample.read().image.shape == (20, 40, 1)
    assert annotated(tmp_path).labels == ("object" if layout is masks else "cell",)


def test_a_file_or_a_chosen_format(tmp_path):
    voc(tmp_path)
    csv_table(tmp_path)
    assert len(annotated(tmp_path / "Annotations" / "a.xml").samples) == 1
    table = annotated(tmp_path / "boxes.csv", images=tmp_path / "JPEGImages")
    assert table.samples[0].files == (str(tmp_path / "JPEGImages" / "a.png"),)
    assert annotated(tmp_path, format="table").samples[0].files == (str(tmp_path / "a.png"),)
    with pytest.raises(ValueError, match="`format` must be one of .*; received 'xml'"):
        annotated(tmp_path, format="xml")
    with pytest.raises(ValueError, match="`columns` and `unit` are for tables; .* read as 'voc'"):
        annotated(tmp_path, unit="mm")


def test_masks_of_several_classes_elsewhere(tmp_path):
    picture(tmp_path / "x" / "a.png")
    mask = np.zeros((20, 40), np.uint8)
    mask[2:4, 5:9], mask[10:, 20:] = 1, 2
    (tmp_path / "m").mkdir()
    Image.fromarray(mask).save(tmp_path / "m" / "a_mask.png")
    found = annotated(
        tmp_path / "m", format="masks", images=tmp_path / "x", labels=["red", "white"]
    )
    assert found.samples[0].objects.boxes.tolist() == [[5, 2, 9, 4], [20, 10, 40, 20]]
    assert found.samples[0].objects.labels.tolist() == [0, 1]
    with pytest.raises(ValueError, match="`images` must name the folder of images"):
        annotated(tmp_path / "m", format="masks")


def faulty(root):
    for name in "abc":
        picture(root / f"{name}.png")
    rows = ["file,x1,y1,x2,y2,label,split", "a,1,2,9,8,cell,train", "a,1,2,9,8,cell,train"]
    rows += ["a,30,10,45,22,cell,train", "b,5,5,5,9,cell,test", "b,50,5,60,9,cell,test"]
    rows += ["b,1,2,3,4,dust,test", "c,,,,,,"]
    return write(root / "boxes.csv", "\n".join(rows) + "\n")


def test_faults_are_errors_with_file_and_line(tmp_path):
    path = faulty(tmp_path)
    with pytest.raises(DataError) as error:
        annotated(path, labels=["cell"])
    lines = str(error.value).splitlines()
    assert "5 faults in the annotations" in lines[0] and "fix=True" in lines[0]
    assert [line.partition("boxes.csv, ")[2].partition(":")[0] for line in lines[1:]] == [
        *("line 3", "line 4", "line 5", "line 6", "line 7")
    ]


def test_fix_mends_and_reports(tmp_path):
    path = faulty(tmp_path)
    with pytest.warns(UserWarning, match="1 of 3 images are in no part of the split"):
        found = annotated(path, labels=["cell"], fix=True)
    assert [len(sample.objects) for sample in found.samples] == [2, 0, 0]
    assert found.samples[0].objects.boxes.tolist() == [[1, 2, 9, 8], [30, 10, 40, 20]]
    assert [problem.line for problem in found.problems] == [3, 4, 5, 6, 7]
    assert [s.id for s in found.split.train] == ["a"] and [s.id for s in found.split.test] == ["b"]


def test_a_size_that_differs_is_a_fault(tmp_path):
    voc(tmp_path)
    write(tmp_path / "Annotations" / "a.xml", XML.replace("<width>40", "<width>80"))
    with pytest.raises(DataError, match="says that its image has 80 x 20 px, it has 40 x 20"):
        annotated(tmp_path)
    assert len(annotated(tmp_path, fix=True).samples[0].objects) == 1


def test_numbers_are_sorted_by_value(tmp_path):
    picture(tmp_path / "a.png")
    rows = "".join(f"a,{n},0,{n + 1},1,{n}\n" for n in (10, 9, 2))
    found = annotated(write(tmp_path / "t.csv", "file,x1,y1,x2,y2,class\n" + rows))
    assert found.labels == ("2", "9", "10")
    assert found.samples[0].objects.labels.tolist() == [2, 1, 0]


def test_an_image_twice_is_refused(tmp_path):
    voc(tmp_path)
    write(tmp_path / "Annotations" / "b.xml", XML)
    with pytest.raises(DataError, match=r"b.xml: .*a.png is also the image of .*a.xml"):
        annotated(tmp_path)


def test_nothing_that_fits(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        annotated(tmp_path / "none")
    with pytest.raises(DataError, match="no boxes found. Known are Pascal VOC"):
        annotated(tmp_path)
    with pytest.raises(DataError, match="a.bin: boxes are read from .xml"):
        annotated(write(tmp_path / "a.bin", ""))
    for name in ("a", "b"):
        write(tmp_path / f"{name}.csv", "x\n1\n")
    with pytest.raises(DataError, match=r"needs one .csv or .tsv table, found a.csv, b.csv"):
        annotated(tmp_path)
    voc(tmp_path / "voc")
    xml = XML.partition("<object>")[0] + "</annotation>"
    write(tmp_path / "voc" / "Annotations" / "a.xml", xml)
    with pytest.raises(DataError, match="no image has a box; name the classes with labels="):
        annotated(tmp_path / "voc")
    assert len(annotated(tmp_path / "voc", labels=["cell"]).samples[0].objects) == 0


def test_bccd(shared_data):
    root = shared_data / "data" / "bccd"
    with pytest.raises(DataError, match=r": 2 faults in the annotations") as error:
        annotated(root)
    assert "BloodImage_00338.xml, line 158: degenerate" in str(error.value)
    assert "BloodImage_00343.xml, line 50: degenerate" in str(error.value)
    found = annotated(root, fix=True, labels=["RBC", "WBC", "Platelets"])
    assert len(found.samples) == 364 and len(found.problems) == 2
    assert [len(found.split.train), len(found.split.validation), len(found.split.test)] == [
        *(205, 87, 72)
    ]
    counts = Counter(np.concatenate([s.objects.labels for s in found.samples]).tolist())
    assert counts == {0: 4153, 1: 372, 2: 361}
    for part in ("train", "validation", "test"):
        listed = root / "ImageSets" / "Main" / f"{part.replace('idation', '')}.txt"
        assert {s.id for s in getattr(found.split, part)} == set(listed.read_text().split())
    assert set(found.sizes) == {(480, 640)}
    assert found.samples[0].read().image.shape == (480, 640, 3)
