import pytest
from PIL import Image

from kmed.data.sample import DataError
from kmed.data.yolo_text import yolo_boxes


def picture(path, size=(40, 20)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size).save(path)


def text(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def test_fractions_of_the_image_become_pixels(tmp_path):
    picture(tmp_path / "images" / "a.png")
    picture(tmp_path / "images" / "b.png")
    picture(tmp_path / "images" / "c.png")
    lines = ("1 0.5 0.5 0.25 0.5", "", "0 0.125 0.25 0.25 0.5", "0 0.5 0 0.75 0 0.75 0.5 0.6 1")
    text(tmp_path / "labels" / "a.txt", *lines)
    text(tmp_path / "labels" / "b.txt")
    text(tmp_path / "labels" / "classes.txt", "red", "white")
    found = yolo_boxes(tmp_path)
    one, empty, without = found.images
    assert [(box.line, box.name, box.corners) for box in one.boxes] == [
        (1, "white", (15, 5, 25, 15)),
        (3, "red", (0, 0, 10, 10)),
        (4, "red", (20, 0, 30, 20)),  # around a polygon
    ]
    assert (empty.boxes, without.boxes, found.names) == ((), (), ("red", "white"))


@pytest.mark.parametrize("layout", ["images/{}/a.png", "{}/images/a.png"])
def test_folders_and_files_of_parts(tmp_path, layout):
    for part in ("train", "val", "test"):
        picture(tmp_path / layout.format(part))
        label = layout.format(part).replace("images", "labels").replace(".png", ".txt")
        text(tmp_path / label, "0 0.5 0.5 1 1")
    found = yolo_boxes(tmp_path)
    parts = {image.path.relative_to(tmp_path).as_posix(): image.part for image in found.images}
    named = {"train": "train", "val": "validation", "test": "test"}
    assert parts == {layout.format(folder): part for folder, part in named.items()}
    assert found.names == ("0",)
    folders = [layout.format(part).rpartition("/")[0] for part in ("train", "val")]
    text(tmp_path / "data.yaml", f"train: {folders[0]}", f"val: {folders[1]}", "names: [cell]")
    found = yolo_boxes(tmp_path / "data.yaml")
    assert [(image.part, len(image.boxes)) for image in found.images] == [
        *(("train", 1), ("validation", 1))
    ]
    assert found.images[0].boxes[0].name == "cell"


def test_lists_of_images_as_darknet_has_them(tmp_path):
    for name in ("a", "b"):
        picture(tmp_path / "obj" / f"{name}.png")
        text(tmp_path / "obj" / f"{name}.txt", "0 0.5 0.5 1 1")
    text(tmp_path / "train.txt", "obj/a.png")
    text(tmp_path / "test.txt", str(tmp_path / "obj" / "b.png"), "")
    text(tmp_path / "x.names", "cell")
    text(tmp_path / "x.data", "train = train.txt", "test=test.txt", "names = x.names")
    found = yolo_boxes(tmp_path)
    assert [(image.path.stem, image.part, len(image.boxes)) for image in found.images] == [
        *(("a", "train", 1), ("b", "test", 1))
    ]
    text(tmp_path / "test.txt", "obj/b.png", "obj/c.png")
    with pytest.raises(DataError, match="test.txt, line 2: no image 'obj/c.png'"):
        yolo_boxes(tmp_path)


def test_images_elsewhere_and_names_of_the_user(tmp_path):
    picture(tmp_path / "pictures" / "p1" / "a.png")
    text(tmp_path / "boxes" / "p1" / "a.txt", "1 0.5 0.5 1 1", "2 0.5 0.5 0.5 1")
    found = yolo_boxes(tmp_path / "boxes", images=tmp_path / "pictures", names=["red", "white"])
    [image] = found.images
    assert [box.name for box in image.boxes] == ["white", "class 2"]
    found = yolo_boxes(tmp_path / "boxes", images=tmp_path / "pictures")
    assert found.names == ("0", "1", "2")


@pytest.mark.parametrize(
    "line",
    ["0 0.5 0.5 1", "0 0.5 0.5 1 x", "cell 0.5 0.5 1 1", "-1 0.5 0.5 1 1", "0 .5 .5 1 1 0.9"],
)
def test_what_is_no_box_is_refused_with_its_line(tmp_path, line):
    picture(tmp_path / "a.png")
    text(tmp_path / "a.txt", "0 0.5 0.5 1 1", line)
    with pytest.raises(DataError, match=r"a.txt, line 2: expected `class cx cy width height`"):
        yolo_boxes(tmp_path)


def test_boxes_without_an_image_and_images_without_boxes_are_refused(tmp_path):
    with pytest.raises(DataError, match="no pictures"):
        yolo_boxes(tmp_path)
    picture(tmp_path / "images" / "a.png")
    with pytest.raises(DataError, match=r"no image has a text file of boxes; looked for .*a.txt"):
        yolo_boxes(tmp_path)
    text(tmp_path / "labels" / "a.txt", "0 0.5 0.5 1 1")
    text(tmp_path / "labels" / "b.txt", "0 0.5 0.5 1 1")
    with pytest.raises(DataError, match=r"b.txt: there is no image of these boxes"):
        yolo_boxes(tmp_path)
