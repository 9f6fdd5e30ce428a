import keras
import numpy as np
import pytest

from kmed.export.tflite import export_tflite, load_tflite
from kmed.layers import Letterbox, ResizeTo
from kmed.ops.letterbox import boxes_to_frame, placement


@pytest.mark.parametrize("shape, size", [((48, 64), (40, 40)), ((64, 33), (50, 70))])
def test_the_inner_part_is_a_plain_resize_and_the_margin_has_its_value(shape, size):
    image = np.random.default_rng(0).uniform(0, 1, (2, *shape, 3)).astype("float32")
    framed = np.array(Letterbox(size, value=0.5)(image))
    place = placement(*shape, size, letterbox=True)
    rows = slice(int(place.top), int(place.top + place.height))
    columns = slice(int(place.left), int(place.left + place.width))
    inner = ResizeTo((int(place.height), int(place.width)))(image)
    assert np.allclose(framed[:, rows, columns], inner, atol=1e-6)
    framed[:, rows, columns] = 0.5
    assert np.all(framed == 0.5)


def test_a_painted_box_lands_where_the_box_does():
    image = np.zeros((1, 120, 160, 1), "float32")
    image[0, 30:90, 40:120] = 1.0
    framed = np.asarray(Letterbox((64, 96))(image))[0, ..., 0]
    place = placement(120, 160, (64, 96), letterbox=True)
    x1, y1, x2, y2 = np.asarray(boxes_to_frame(np.float32([40, 30, 120, 90]), place))
    inside = framed > 0.5
    assert np.flatnonzero(inside.any(axis=0))[[0, -1]] == pytest.approx([x1, x2 - 1], abs=0.6)
    assert np.flatnonzero(inside.any(axis=1))[[0, -1]] == pytest.approx([y1, y2 - 1], abs=0.6)


def test_any_size_at_run_time_and_in_tflite(tmp_path):
    image = keras.Input((None, None, 1), name="image")
    model = keras.Model(image, Letterbox((32, 32), 0.25)(image))
    raw = np.random.default_rng(1).uniform(0, 1, (1, 24, 50, 1)).astype("float32")
    expected = np.asarray(model(raw))
    path = export_tflite(model, tmp_path / "model.tflite", size=(24, 50))
    assert np.allclose(next(iter(load_tflite(path)(raw[0]).values())), expected[0], atol=1e-6)
    config = Letterbox((32, 32), 0.25).get_config()
    assert Letterbox.from_config(config).value == 0.25


def test_wrong_size_is_named():
    with pytest.raises(ValueError, match="two positive numbers; received"):
        Letterbox((0, 4))
