import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.export import export_tflite, operators, run_tflite
from kmed.layers.roi_align import RoIAlign


def reference(feature, box, stride, size=7, samples=2):
    """Torchvision's roi_align of one box, aligned=False, in plain loops: (size, size, C)."""
    height, width, channels = feature.shape
    x1, y1, x2, y2 = (value / stride for value in box)
    steps = max(y2 - y1, 1.0) / size, max(x2 - x1, 1.0) / size

    def sample(y, x):
        if y < -1 or y > height or x < -1 or x > width:
            return np.zeros(channels)
        y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
        top, left = int(y), int(x)
        bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
        v, u = y - top, x - left
        above = (1 - u) * feature[top, left] + u * feature[top, right]
        below = (1 - u) * feature[bottom, left] + u * feature[bottom, right]
        return (1 - v) * above + v * below

    result = np.zeros((size, size, channels))
    for row in range(size):
        for column in range(size):
            for i in range(samples):
                for j in range(samples):
                    y = y1 + (row + (i + 0.5) / samples) * steps[0]
                    x = x1 + (column + (j + 0.5) / samples) * steps[1]
                    result[row, column] += sample(y, x) / samples**2
    return result


def level_of(box, strides, canonical=224.0):
    """Equation 1 of the FPN paper, as torchvision rounds it."""
    side = math.sqrt((box[2] - box[0]) * (box[3] - box[1]))
    if not side:
        return 0
    k = math.floor(4 + math.log2(side / canonical) + 1e-6)
    finest, coarsest = math.log2(strides[0]), math.log2(strides[-1])
    return int(min(max(k, finest), coarsest) - finest)


def levels(size, strides, channels=3, batch=2):
    random = np.random.default_rng(0)
    shapes = [(batch, size[0] // s, size[1] // s, channels) for s in strides]
    return [random.normal(size=shape).astype("float32") for shape in shapes]


def test_a_ramp_gives_the_bins_centres():
    # Feature = x coordinate of its pixel; bins of a box of 14 cells are 2 wide: samples at 0.5
    # and 1.5, mean 1, from the box's left edge at 3.
    x = np.tile(np.arange(32.0, dtype="float32")[None, :, None], (32, 1, 1))
    box = [[[3.0, 2.0, 17.0, 16.0]]]
    pooled = np.array(RoIAlign([1])([x[None], np.array(box, "float32")]))
    assert pooled.shape == (1, 1, 7, 7, 1)
    np.testing.assert_allclose(pooled[0, 0, 0, :, 0], 4 + 2 * np.arange(7), rtol=1e-6)


@pytest.mark.parametrize("samples", [1, 2, 3])
def test_is_torchvisions_in_plain_loops(samples):
    strides, size = (4, 8, 16), (64, 96)
    features = levels(size, strides)
    boxes = np.array(
        [
            [[0, 0, 96, 64], [10.3, 5.2, 30.9, 60.1], [90, 60, 96, 64], [0, 0, 0, 0]],
            [[95.5, 63.5, 96, 64], [-9, -9, 5, 5], [8, 8, 9, 40], [3.7, 1.2, 95.1, 20]],
        ],
        "float32",
    )
    pooled = np.array(RoIAlign(strides, 3, samples, canonical_size=64.0)([*features, boxes]))
    used = set()
    for image in range(2):
        for roi, box in enumerate(boxes[image]):
            level = level_of(box, strides, 64.0)
            used.add(level)
            expected = reference(features[level][image], box, strides[level], 3, samples)
            np.testing.assert_allclose(pooled[image, roi], expected, atol=1e-5)
    assert used == {0, 1, 2}


def test_each_doubling_of_the_side_is_a_level():
    strides = (4, 8, 16, 32)
    features = [np.full((1, 512 // s, 512 // s, 1), i, "float32") for i, s in enumerate(strides)]
    sides = [10, 111.9, 112, 223.9, 224, 447.9, 448, 512]
    boxes = np.array([[[0, 0, side, side] for side in sides]], "float32")
    pooled = np.array(RoIAlign(strides)([*features, boxes]))[0, :, 0, 0, 0]
    assert pooled.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_the_gradient_reaches_the_features_and_not_the_boxes():
    (feature,) = levels((8, 8), (1,), channels=2, batch=1)
    feature, boxes = tf.Variable(feature), tf.Variable([[[1.3, 2.1, 6.2, 5.9]]])
    layer = RoIAlign([1], 2)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer([feature, boxes]) ** 2)
    gradient, none = tape.gradient(total, [feature, boxes])
    assert none is None
    gradient = tf.convert_to_tensor(gradient).numpy()
    box, h = boxes.numpy()[0, 0], 1e-2
    for place in ((3, 2, 1), (4, 5, 0)):
        sides = []
        for sign in (1, -1):
            moved = feature.numpy()[0].astype("float64")
            moved[place] += sign * h
            sides.append((reference(moved, box, 1, 2) ** 2).sum())
        assert gradient[0][place] == pytest.approx((sides[0] - sides[1]) / (2 * h), rel=1e-3)


def test_half_precision_features_keep_the_boxes_exact():
    features = [x.astype("float16") for x in levels((512, 512), (4,), batch=1)]
    boxes = np.array([[[500.3, 499.7, 507.9, 505.2]]], "float32")
    layer = RoIAlign([4], dtype="mixed_float16")
    pooled = layer([*features, boxes])
    assert pooled.dtype == "float16"
    expected = reference(features[0][0].astype("float64"), boxes[0, 0], 4)
    np.testing.assert_allclose(pooled[0, 0], expected, atol=5e-3)


def test_tflite_has_it_built_in(tmp_path):
    image = keras.Input((16, 16, 2))
    half = keras.layers.AveragePooling2D(2)(image)
    boxes = keras.layers.Reshape((-1, 4))(keras.layers.Flatten()(image[:, :2, :, 0])) * 16.0
    model = keras.Model(image, {"out": RoIAlign([1, 2], canonical_size=32.0)([image, half, boxes])})
    path = export_tflite(model, tmp_path / "m.tflite")
    assert not [n for n in operators(path) if n.startswith(("Flex", "custom:"))]
    x = np.sort(np.random.default_rng(0).uniform(size=(16, 16, 2)).astype("float32"), axis=1)
    np.testing.assert_allclose(run_tflite(path, x)["out"], model(x[None])["out"][0], atol=1e-5)


def test_is_rebuilt_from_its_arguments():
    layer = RoIAlign([2, 4], 5, 1, 32.0, name="a")
    again = RoIAlign.from_config(layer.get_config())
    assert again.get_config() == layer.get_config() and not again.autocast
    shapes = [(None, 8, 8, 3), (None, 4, 4, 3), (None, 9, 4)]
    assert layer.compute_output_shape(shapes) == (None, 9, 5, 5, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(([],), "rising"), (([8, 4],), "rising"), (([4], 0), "positive"), (([4], 7, 0), "positive")],
)
def test_refuses_what_is_no_pooling(arguments, message):
    with pytest.raises(ValueError, match=message):
        RoIAlign(*arguments)


def test_refuses_another_number_of_levels():
    with pytest.raises(ValueError, match="2 levels are due; received 1"):
        RoIAlign([4, 8])([np.zeros((1, 4, 4, 1), "float32"), np.zeros((1, 1, 4), "float32")])
