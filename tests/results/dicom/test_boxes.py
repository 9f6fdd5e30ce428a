import numpy as np
import pytest

from kmed.results.dicom.boxes import ImageBox, VolumeBox, image_boxes, require_boxes

ROW = {"boxes": [[1, 2, 5, 6], [0, 0, 0, 0]], "scores": [0.25, 0], "labels": [1, -1]}


def test_rows_of_a_detector_become_boxes_without_padding():
    (box,) = image_boxes("a.dcm", ROW, ["cell", "nodule"], frame=3)
    assert box == ImageBox(file="a.dcm", box_xyxy=(1, 2, 5, 6), label="nodule", score=0.25, frame=3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"box": (0, 0, 0, 1, 1, 0)}, "far edges"),
        ({"box": (0, 0, 1, 1)}, "6 finite edges"),
        ({"box": (0, 0, 0, 1, 1, np.inf)}, "6 finite edges"),
        ({"label": " "}, "1 to 64 characters"),
        ({"score": -0.1}, "from 0 to 1"),
    ],
)
def test_boxes_that_are_none(change, message):
    box = {"box": (0, 0, 0, 1, 1, 1), "label": "cell"} | change
    with pytest.raises(ValueError, match=message):
        require_boxes([VolumeBox(**box)])
