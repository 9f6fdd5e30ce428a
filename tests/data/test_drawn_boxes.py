from pathlib import Path
from types import SimpleNamespace

from kmed.data.drawn_boxes import DrawnImage


def test_the_path_of_a_picture_and_of_dicom():
    picture = DrawnImage(file=Path("a.xml"), image=Path("a.png"), boxes=())
    assert picture.path == Path("a.png")
    header = SimpleNamespace(path=Path("a.dcm"))
    assert DrawnImage(file=Path("a.xml"), image=header, boxes=()).path == Path("a.dcm")
