import numpy as np
import pytest
from PIL import Image

from kmed.data.mask_boxes import boxes_of_mask, mask_boxes, with_mask_boxes
from kmed.data.sample import Arrays, DataError, Sample

MASK = np.array(
    [
        [1, 1, 0, 0, 2, 2],
        [1, 0, 0, 0, 2, 0],
        [0, 1, 0, 0, 0, 0],
        [0, 0, 0, 1, 0, 2],
    ]
)


def test_connected_parts_of_each_class():
    found = boxes_of_mask(MASK)
    assert found.boxes.tolist() == [[0, 0, 2, 3], [3, 3, 4, 4], [4, 0, 6, 2], [5, 3, 6, 4]]
    assert found.labels.tolist() == [0, 0, 1, 1]
    by_edge = boxes_of_mask(MASK, touching="edge")
    assert by_edge.boxes[:2].tolist() == [[0, 0, 2, 2], [1, 2, 2, 3]]
    assert len(by_edge) == 5
    assert boxes_of_mask(MASK, least_pixels=2).boxes.tolist() == [[0, 0, 2, 3], [4, 0, 6, 2]]
    assert len(boxes_of_mask(np.zeros((3, 4), np.uint8))) == 0


def test_each_box_is_the_least_around_painted_rectangles():
    random = np.random.default_rng(0)
    mask, expected = np.zeros((64, 64), np.uint8), []
    for row in range(0, 64, 16):
        for column in range(0, 64, 16):
            y, x = row + random.integers(0, 5), column + random.integers(0, 5)
            height, width = random.integers(1, 10, 2)
            mask[y : y + height, x : x + width] = 1
            expected.append([x, y, x + width, y + height])
    assert sorted(boxes_of_mask(mask).boxes.tolist()) == sorted(expected)


def test_a_folder_of_images_and_masks(tmp_path):
    for name in "ab":
        for folder in ("images", "masks"):
            (tmp_path / folder).mkdir(exist_ok=True)
        Image.new("RGB", (6, 4)).save(tmp_path / "images" / f"{name}.png")
        Image.fromarray((MASK * (name == "a")).astype(np.uint8)).save(
            tmp_path / "masks" / f"{name}_mask.png"
        )
    samples = mask_boxes(tmp_path / "images", tmp_path / "masks", classes=3)
    assert [(sample.id, len(sample.objects)) for sample in samples] == [("a", 4), ("b", 0)]
    assert samples[0].read().image.shape == (4, 6, 3)
    with pytest.raises(DataError, match="a_mask.png.*class indices from 0 to 1"):
        mask_boxes(tmp_path / "images", tmp_path / "masks")
    values = {0: 0, 1: 0, 2: 1}
    samples = mask_boxes(tmp_path / "images", tmp_path / "masks", mask_values=values)
    assert samples[0].objects.labels.tolist() == [0, 0]


def test_what_cannot_be_boxed_is_refused():
    with pytest.raises(ValueError, match=r"`mask` must be \(H, W\); received shape \(2, 3, 4\)"):
        boxes_of_mask(np.zeros((2, 3, 4)))
    with pytest.raises(ValueError, match="`touching` must be"):
        boxes_of_mask(MASK, touching="side")
    with pytest.raises(ValueError, match="`least_pixels` must be at least 1"):
        boxes_of_mask(MASK, least_pixels=0)
    arrays = Arrays(np.zeros((2, 2, 1)), None, (1.0, 1.0), None)
    with pytest.raises(ValueError, match="sample 'x' has no mask"):
        with_mask_boxes([Sample(id="x", patient="x", files=(), read=lambda: arrays)])


def test_lungs_of_radiographs(shared_data):
    folder = shared_data / "data" / "cxr_lung_masks"
    masks = sorted((folder / "masks").iterdir())[:8]
    found = [boxes_of_mask(np.asarray(Image.open(mask)) > 0, least_pixels=100) for mask in masks]
    # Two lungs, side by side, each higher than wide.
    assert all(len(objects) == 2 for objects in found)
    for objects in found:
        width, height = (objects.boxes[:, 2:] - objects.boxes[:, :2]).T
        assert (height > width).all()
