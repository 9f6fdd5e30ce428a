import pytest

from kmed.data.sample import DataError
from kmed.data.yolo_settings import yolo_settings

NAMES = {
    "brackets": "names: ['red cell', \"white, cell\", platelet]  # three",
    "long": "names: ['red cell',\n  'white, cell',\n  platelet]",
    "numbered": "names:\n  0: red cell\n  1: 'white, cell'\n  2: platelet  # small",
    "dashes": "names:\n- red cell\n- 'white, cell'\n- platelet",
    "indented": "names:\n  - red cell\n  - 'white, cell'\n  - platelet",
}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_names_and_parts_as_yaml_reads_them(tmp_path, names):
    for part in ("train", "val"):
        (tmp_path / "set" / "images" / part).mkdir(parents=True)
    text = (
        f"# a data set\n\npath: set\ntrain: images/train\nval: images/val\ntest:\nnc: 3\n{names}\n"
    )
    text += "download: |\n  https://example.org/x.zip\n"
    (tmp_path / "data.yaml").write_text(text)
    found = yolo_settings(tmp_path)
    assert found == yolo_settings(tmp_path / "data.yaml")
    assert found.names == ("red cell", "white, cell", "platelet")
    images = tmp_path / "set" / "images"
    assert found.parts == {"train": (images / "train",), "validation": (images / "val",)}
    yaml = pytest.importorskip("yaml", reason="the independent reader")
    theirs = yaml.safe_load(text)
    theirs = theirs["names"] if isinstance(theirs["names"], list) else theirs["names"].values()
    assert found.names == tuple(theirs)


def test_several_folders_of_one_part_and_folders_that_were_moved(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "train" / "images").mkdir(parents=True)
    text = "train:\n  - a\n  - ../train/images\nnames: {0: x, 1: 'y'}\n"
    (tmp_path / "data.yml").write_text(text)
    found = yolo_settings(tmp_path)
    assert found.parts == {"train": (tmp_path / "a", tmp_path / "train" / "images")}
    assert found.names == ("x", "y")


def test_darknets_files(tmp_path):
    (tmp_path / "train.txt").write_text("a.png\n")
    (tmp_path / "obj.names").write_text("red\nwhite\n\n")
    text = "classes= 2\ntrain  = data/train.txt\nnames = obj.names\nbackup = backup/\n"
    (tmp_path / "obj.data").write_text(text)
    found = yolo_settings(tmp_path)
    assert found.names == ("red", "white")
    assert found.parts == {"train": (tmp_path / "train.txt",)}


def test_a_list_of_names_or_nothing(tmp_path):
    assert yolo_settings(tmp_path) == (None, None, {})
    (tmp_path / "classes.txt").write_text("red\nwhite\n")
    assert yolo_settings(tmp_path) == (None, ("red", "white"), {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names:\n  1: x\n", "line 2: names must be numbered 0, 1, 2"),
        ("names: {1: x}\n", "line 1: names must be numbered 0, 1, 2"),
        ("train: nowhere\nnames: [x]\n", "nowhere is not there"),
        ("names: ['x\n", "line 1: cannot read"),
    ],
)
def test_faults_are_refused(tmp_path, text, message):
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(DataError, match=f"data.yaml.*{message}"):
        yolo_settings(tmp_path)


def test_several_files_and_empty_lists_are_refused(tmp_path):
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text("names: [x]\n")
    with pytest.raises(DataError, match="holds several of a.yaml, b.yaml"):
        yolo_settings(tmp_path)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "classes.txt").write_text("a\n\nb\n")
    with pytest.raises(DataError, match="needs the name of a class in each line"):
        yolo_settings(tmp_path / "c")
