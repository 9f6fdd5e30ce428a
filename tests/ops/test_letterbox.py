import numpy as np
import pytest

from kmed.ops.letterbox import boxes_from_frame, boxes_to_frame, placement


@pytest.mark.parametrize(
    "image, size, expected",
    [
        ((480, 640), (416, 416), (312, 416, 52, 0)),  # Darknet's own example
        ((640, 480), (416, 416), (416, 312, 0, 52)),
        ((100, 100), (300, 200), (200, 200, 50, 0)),
        ((1, 1000), (64, 64), (1, 64, 31, 0)),  # never empty
    ],
)
def test_letterbox_keeps_the_aspect_ratio(image, size, expected):
    place = placement(*image, size, letterbox=True)
    assert tuple(int(value) for value in place[:4]) == expected


def test_stretching_fills_the_frame():
    place = placement(480, 640, (300, 320), letterbox=False)
    assert tuple(int(value) for value in place[:4]) == (300, 320, 0, 0)
    assert (float(place.scale_y), float(place.scale_x)) == (0.625, 0.5)


@pytest.mark.parametrize("letterbox", [False, True])
def test_boxes_go_to_the_frame_and_back(letterbox):
    random = np.random.default_rng(0)
    boxes = np.sort(random.uniform(0, 400, (40, 2, 2)), axis=1).reshape(40, 4).astype("float32")
    place = placement(457, 611, (224, 320), letterbox=letterbox)
    there = boxes_to_frame(boxes, place)
    assert np.allclose(boxes_from_frame(there, place), boxes, atol=1e-3)
    whole = np.asarray(boxes_to_frame(np.float32([0, 0, 611, 457]), place))
    assert whole[0] >= 0 and whole[2] <= 320.001 and whole[3] <= 224.001
