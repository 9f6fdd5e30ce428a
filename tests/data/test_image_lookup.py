import pytest
from PIL import Image

from kmed.data import phantoms
from kmed.data.image_lookup import ImageLookup
from kmed.data.sample import DataError


def pictures(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (6, 4)).save(root / name)
    return ImageLookup(root)


@pytest.mark.parametrize("key", ["x/a.png", "x/a", "a.png", "a", r"x\a.png"])
def test_by_path_and_by_name(tmp_path, key):
    lookup = pictures(tmp_path, "x/a.png", "y/b.png")
    (tmp_path / "a.txt").write_text("no image")
    assert lookup.find(key, "t.csv, line 2") == [tmp_path / "x" / "a.png"]


def test_faulty_keys(tmp_path):
    lookup = pictures(tmp_path, "x/a.png", "y/a.png", "y/b.png")
    (tmp_path / "a.txt").write_text("no image")
    for key, message in (
        ("", "t.csv, line 2: names no image"),
        ("a", "t.csv, line 2: 'a' may be .*x/a.png or .*y/a.png; give the path"),
        ("c", "t.csv, line 2: no image 'c' below"),
        ("a.txt", "t.csv, line 2: .*a.txt is no picture"),
        ("y", "t.csv, line 2: the folder .*y holds 2 images"),
    ):
        with pytest.raises(DataError, match=message):
            lookup.find(key, "t.csv, line 2")
    assert lookup.find("x", "") == [tmp_path / "x" / "a.png"]
    with pytest.raises(DataError, match="no such folder"):
        ImageLookup(tmp_path / "none")


def test_images_beside(tmp_path):
    lookup = pictures(tmp_path, "x/a.png", "x/b.jpg", "x/c.png", "y/d.png")
    (tmp_path / "x" / "t.csv").write_text("")
    assert len(lookup.images_beside(lookup.find("a", ""))) == 3


def test_dicom(tmp_path):
    root = phantoms(tmp_path, patients=2, shape=(8, 8, 8), modalities=("ct", "t1"))
    lookup = ImageLookup(root, "ct")
    [group] = lookup.find("patient-0002", "")
    assert {header.path.parent for header in group} == {(root / "patient-0002" / "ct").resolve()}
    header = group[3]
    for attribute in ("series_uid", "study_uid", "patient"):
        key = getattr(header, attribute)
        assert lookup.find(key, "") == lookup.find(key, "", attribute) == [group]
    assert lookup.find(header.instance_uid, "") == [(header,)]
    assert lookup.find("patient-0002/ct/slice-0004.dcm", "") == [(header,)]
    assert len(ImageLookup(root).find("patient-0002", "")) == 2
    assert len(lookup.images_beside([group])) == 2
    assert len(lookup.images_beside([(header,)])) == 2  # one slice stands for its series
    with pytest.raises(DataError, match="line 3: no image below .* has patientid 'nobody'"):
        lookup.find("nobody", "line 3", "patient")
    with pytest.raises(DataError, match="no images of modality US; there are CT, MR"):
        ImageLookup(root, "US").find("patient-0002", "")
