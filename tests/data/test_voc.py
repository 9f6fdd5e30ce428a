import pytest
from PIL import Image

from kmed.data.sample import DataError
from kmed.data.voc import voc_boxes

OBJECT = """
  <object>
    <name>{}</name><difficult>{}</difficult>
    <bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>
  </object>"""


def write(root, name, *objects, filename=None, size=(40, 30), image=True):
    for folder in ("Annotations", "JPEGImages"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    text = f"<annotation>\n  <filename>{filename or name + '.png'}</filename>"
    text += "<size><width>{}</width><height>{}</height></size>".format(*size)
    text += "".join(OBJECT.format(*values) for values in objects) + "\n</annotation>\n"
    (root / "Annotations" / f"{name}.xml").write_text(text)
    if image:
        Image.new("L", (40, 30)).save(root / "JPEGImages" / f"{name}.png")
    return root


def lists(root, **parts):
    (root / "ImageSets" / "Main").mkdir(parents=True)
    for part, names in parts.items():
        (root / "ImageSets" / "Main" / f"{part}.txt").write_text("\n".join(names) + "\n")


def test_inclusive_corners_counted_from_one_become_a_box(tmp_path):
    write(tmp_path, "a", ("cell", 0, 1, 1, 40, 30), ("lump", 1, 3, 5.5, 7, 9))
    found = voc_boxes(tmp_path)
    [image] = found.images
    assert [(box.line, box.name, box.corners, box.difficult) for box in image.boxes] == [
        (3, "cell", (0, 0, 40, 30), False),
        (7, "lump", (2, 4.5, 7, 9), True),
    ]
    assert (image.size, image.part, image.path.name) == ((30, 40), None, "a.png")
    # A single pixel is what a click leaves.
    assert (found.least_side, found.names) == (1, None)


def test_no_object_is_a_negative_and_a_size_of_zero_says_nothing(tmp_path):
    write(tmp_path, "a", size=(0, 0))
    [image] = voc_boxes(tmp_path).images
    assert (image.boxes, image.size) == ((), None)


def test_the_lists_are_the_split(tmp_path):
    for name in "abcd":
        write(tmp_path, name)
    lists(tmp_path, train=["a"], val=["b"], trainval=["a", "b"], test=["c"], dog_train=["d -1"])
    parts = [image.part for image in voc_boxes(tmp_path).images]
    assert parts == ["train", "validation", "test", None]


def test_trainval_trains_where_there_is_no_train(tmp_path):
    for name in "ab":
        write(tmp_path, name)
    lists(tmp_path, trainval=["a"], test=["b"])
    assert [image.part for image in voc_boxes(tmp_path).images] == ["train", "test"]


def test_an_image_in_two_parts_is_refused(tmp_path):
    write(tmp_path, "a")
    lists(tmp_path, train=["a"], test=["a"])
    with pytest.raises(DataError, match=r"train.txt, line 1: 'a' is also in the list of test"):
        voc_boxes(tmp_path)


def test_the_image_of_the_files_name_comes_before_the_one_in_the_tag(tmp_path):
    write(tmp_path, "a", filename="b.png")
    write(tmp_path, "b", filename="a.png")
    assert [image.path.stem for image in voc_boxes(tmp_path).images] == ["a", "b"]
    write(tmp_path / "other", "x", filename="kept.png", image=False)
    Image.new("L", (40, 30)).save(tmp_path / "other" / "JPEGImages" / "kept.png")
    assert [image.path.stem for image in voc_boxes(tmp_path / "other").images] == ["kept"]


def test_xml_beside_the_images_one_file_and_images_elsewhere(tmp_path):
    root = write(tmp_path / "voc", "a", ("cell", 0, 1, 1, 4, 3))
    [image] = voc_boxes(root / "Annotations" / "a.xml").images
    assert image.path == root / "JPEGImages" / "a.png" and len(image.boxes) == 1
    (root / "Annotations").rename(tmp_path / "xml")
    [image] = voc_boxes(tmp_path / "xml", images=root / "JPEGImages").images
    assert image.path == root / "JPEGImages" / "a.png"
    (tmp_path / "xml" / "a.xml").rename(root / "JPEGImages" / "a.xml")
    [image] = voc_boxes(root / "JPEGImages").images
    assert len(image.boxes) == 1


def test_images_without_xml_are_counted(tmp_path):
    write(tmp_path, "a")
    Image.new("L", (4, 3)).save(tmp_path / "JPEGImages" / "b.png")
    with pytest.warns(UserWarning, match="Annotations: 1 images beside the 1 annotated ones"):
        assert len(voc_boxes(tmp_path).images) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation>\n<object></annotation>", "cannot be read as XML .*line 2"),
        ("", "cannot be read as XML"),
        ("<html></html>", "no <annotation> of Pascal VOC; its element is <html>"),
        ("<annotation>\n<object/></annotation>", "line 2: an <object> needs a <name>"),
        (
            "<annotation><object>\n<name>x</name>\n</object></annotation>",
            "line 1: <xmin> of an <object> must be a number; received None",
        ),
        (
            "<annotation><object><name>x</name><bndbox>\n<xmin>1,5</xmin></bndbox></object>"
            "</annotation>",
            "line 2: <xmin> of an <object> must be a number; received '1,5'",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(tmp_path, text, message):
    write(tmp_path, "a")
    (tmp_path / "Annotations" / "a.xml").write_text(text)
    with pytest.raises(DataError, match=f"a.xml.*{message}"):
        voc_boxes(tmp_path)


def test_a_missing_image_is_refused(tmp_path):
    write(tmp_path, "a", image=False)
    with pytest.raises(DataError, match=r"a.xml: no image 'a' below .*JPEGImages"):
        voc_boxes(tmp_path)
    with pytest.raises(DataError, match="no XML files"):
        voc_boxes(tmp_path / "JPEGImages")


def test_bccd(shared_data):
    found = voc_boxes(shared_data / "data" / "bccd")
    assert len(found.images) == 364
    names = [box.name for image in found.images for box in image.boxes]
    counts = {name: names.count(name) for name in set(names)}
    assert counts == {"RBC": 4155, "WBC": 372, "Platelets": 361}
    parts = [image.part for image in found.images]
    assert [parts.count(part) for part in ("train", "validation", "test")] == [205, 87, 72]
    first = next(image for image in found.images if image.file.stem == "BloodImage_00117")
    assert first.boxes[0].corners == (506, 62, 609, 180) and first.size == (480, 640)
