import json

import pytest
from PIL import Image

from kmed.data.coco import coco_boxes, coco_files
from kmed.data.sample import DataError

CATEGORIES = [
    {"id": 0, "name": "blood", "supercategory": "none"},
    {"id": 7, "name": "white", "supercategory": "blood"},
    {"id": 3, "name": "red", "supercategory": "blood"},
]


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (40, 30)).save(path)


def content(*names, annotations=(), first=1):
    images = [
        {"id": number, "file_name": name, "width": 40, "height": 30}
        for number, name in enumerate(names, first)
    ]
    return {
        "images": images,
        "annotations": [
            {"id": number, "image_id": image, "category_id": category, "bbox": bbox, **more}
            for number, (image, category, bbox, more) in enumerate(annotations)
        ],
        "categories": CATEGORIES,
    }


def write(path, *names, annotations=(), indent=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content(*names, annotations=annotations), indent=indent))
    return path


def test_boxes_crowds_and_negatives(tmp_path):
    for name in "ab":
        picture(tmp_path / "images" / f"{name}.png")
    annotations = [(1, 7, [1.5, 2, 10, 20], {}), (1, 3, [0, 0, 40, 30], {"iscrowd": 1})]
    path = write(tmp_path / "boxes.json", "a.png", "b.png", annotations=annotations)
    found = coco_boxes(path)
    one, two = found.images
    assert [(box.name, box.corners, box.difficult) for box in one.boxes] == [
        ("white", (1.5, 2, 11.5, 22), False),
        ("red", (0, 0, 40, 30), True),
    ]
    assert (two.boxes, two.size, two.part) == ((), (30, 40), None)
    assert [image.path.name for image in found.images] == ["a.png", "b.png"]
    # In the order of their ids; "blood" has no box and is but what the others belong to.
    assert found.names == ("red", "white")
    lines = path.read_text().splitlines()
    assert '"id": 0' in lines[one.boxes[0].line]
    assert '"id": 2' in lines[two.line]


def test_boxes_are_those_of_pycocotools(tmp_path, capsys):
    tools = pytest.importorskip("pycocotools.coco", reason="pycocotools reads COCO's files")
    picture(tmp_path / "a.png")
    annotations = [(1, 7, [n, 2 * n, 3.25, 4.5], {}) for n in range(5)]
    path = write(tmp_path / "boxes.json", "a.png", annotations=annotations)
    theirs = tools.COCO(str(path))
    capsys.readouterr()
    expected = [
        (theirs.loadCats(entry["category_id"])[0]["name"], *entry["bbox"])
        for entry in theirs.loadAnns(theirs.getAnnIds())
    ]
    [image] = coco_boxes(path).images
    ours = [(name, x1, y1, x2 - x1, y2 - y1) for _, name, (x1, y1, x2, y2), *_ in image.boxes]
    assert ours == expected


def test_the_layout_of_coco_itself(tmp_path):
    for part in ("train", "val"):
        picture(tmp_path / f"{part}2017" / "000001.png")  # the same name in both
        for kind in ("instances", "captions"):
            write(tmp_path / "annotations" / f"{kind}_{part}2017.json", "000001.png")
    for path in (tmp_path, tmp_path / "annotations"):
        assert [file.name for file in coco_files(path)] == [
            *("instances_train2017.json", "instances_val2017.json")
        ]
        images = coco_boxes(path).images
        assert [(i.part, i.path.parent.name) for i in images] == [
            *(("train", "train2017"), ("validation", "val2017"))
        ]


def test_a_file_in_the_folder_of_each_part(tmp_path):
    for part in ("train", "valid", "test"):
        picture(tmp_path / part / "a.png")
        write(tmp_path / part / "_annotations.coco.json", "a.png", annotations=[])
    (tmp_path / "train" / "else.json").write_text('{"images": []}')
    images = coco_boxes(tmp_path).images
    assert {(image.part, image.path.parent.name) for image in images} == {
        *(("train", "train"), ("validation", "valid"), ("test", "test"))
    }


def test_images_elsewhere_and_an_unknown_category(tmp_path):
    picture(tmp_path / "pictures" / "deep" / "a.png")
    path = write(tmp_path / "json" / "b.json", "x/a.png", annotations=[(1, 9, [0, 0, 1, 1], {})])
    [image] = coco_boxes(path, images=tmp_path / "pictures").images
    assert image.boxes[0].name == "category 9"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bbox": [1, 2, 3]}, r"line 11: `bbox` must be \[x, y, width, height\]"),
        ({"bbox": [1, 2, 3, "4"]}, r"line 11: `bbox` must be"),
        ({"bbox": None}, "line 11: needs 'bbox', list; received None"),
        ({"image_id": 5}, "line 11: an annotation of image 5, which is not listed"),
        ({"image_id": "1"}, "line 11: needs 'image_id', int; received '1'"),
        ({"category_id": 1.0}, "line 11: needs 'category_id', int; received 1.0"),
    ],
)
def test_faulty_annotations_are_refused_with_their_line(tmp_path, change, message):
    picture(tmp_path / "a.png")
    path = write(tmp_path / "b.json", "a.png", annotations=[(1, 7, [0, 0, 1, 1], change)])
    with pytest.raises(DataError, match=f"b.json, {message}"):
        coco_boxes(path)


def test_other_faults_are_refused(tmp_path):
    with pytest.raises(DataError, match="no JSON file with images and annotations"):
        coco_boxes(tmp_path)
    path = write(tmp_path / "b.json", "a.png")
    with pytest.raises(DataError, match="b.json, line 3: no image .*a.png"):
        coco_boxes(path)
    path.write_text(json.dumps(content() | {"images": []}))
    with pytest.raises(DataError, match="b.json: lists no images"):
        coco_boxes(path)
    two = content("a.png") | {"categories": CATEGORIES * 2}
    path.write_text(json.dumps(two, indent=1))
    with pytest.raises(DataError, match=r"category 0, 'blood', is there twice"):
        coco_boxes(path)
    two = content("a.png", "b.png")
    two["images"][1]["id"] = 1
    path.write_text(json.dumps(two))
    with pytest.raises(DataError, match="two images have one id"):
        coco_boxes(path)
