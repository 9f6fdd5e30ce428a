import numpy as np
import pytest
from PIL import Image

from kmed.data import DataError
from kmed.tasks.detection.anchors import anchors_of


def write(root, sizes, extent=(100, 200)):
    (root / "images").mkdir(parents=True)
    rows = ["image,label,x1,y1,x2,y2"]
    for i, (width, height) in enumerate(sizes):
        Image.fromarray(np.full(extent, i, "uint8")).save(root / "images" / f"i{i}.png")
        rows.append(f"i{i}.png,cell,1,1,{1 + width},{1 + height}")
    (root / "boxes.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.mark.parametrize(
    "options, scale",
    [
        ({}, (1, 1)),
        ({"size": (50, 50), "fit": "resize"}, (0.25, 0.5)),
        ({"size": (50, 50), "fit": "letterbox"}, (0.25, 0.25)),
    ],
)
def test_anchors_are_the_sizes_that_occur_in_pixels_of_the_input(options, scale, tmp_path):
    root = write(tmp_path, [(20, 20), (20, 20), (80, 40), (80, 40)])
    found, boxes = anchors_of(root, 2, **options)
    assert boxes == 4 and found.recall == 1.0 and found.mean_iou == pytest.approx(1.0)
    expected = np.array([(20, 20), (80, 40)]) * scale
    assert found.anchors == pytest.approx(expected, rel=1e-5)


def test_blood_cells(shared_data):
    found, boxes = anchors_of(shared_data / "data" / "bccd", 9, size=(416, 416), fix=True)
    assert 2000 < boxes < 4888  # its training part
    assert found.recall > 0.99 and found.mean_iou > 0.85


def test_wrong_values_are_named(tmp_path):
    with pytest.raises(ValueError, match="`fit` must be one of .*received 'pad'"):
        anchors_of(tmp_path, fit="pad")
    root = write(tmp_path / "empty", [])
    with pytest.raises(DataError):
        anchors_of(root)
