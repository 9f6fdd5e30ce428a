import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.codecs.yolov3 import YOLOv3Codec
from kmed.losses.yolov3 import YOLOv3Loss

ANCHOR = (116, 90)  # the first box of each cell of stride 32
EMPTY = -30.0  # objectness of a box that says it is empty


def around(x, y, width, height):
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


def target(boxes, labels=None):
    labels = [0] * len(boxes) if labels is None else labels
    return np.array([[[*box, label] for box, label in zip(boxes, labels, strict=True)]], "float32")


def quiet(size, classes=2):
    """Predictions that find nothing."""
    raw = np.zeros((1, 63 * (size // 32) ** 2, 5 + classes), "float32")
    raw[..., 4] = EMPTY
    return raw


def parts(truth, raw, size=416, **options):
    found = YOLOv3Loss(YOLOv3Codec((size, size)), **options).parts(truth, raw)
    return {name: float(value[0]) for name, value in found.items()}


def crossed(p, logit):
    q = 1 / (1 + np.exp(-logit))
    return -p * np.log(q) - (1 - p) * np.log(1 - q)


@pytest.fixture(scope="module")
def darknet(goldens):
    with np.load(goldens / "darknet_yolov3.npz") as golden:
        arrays = {name: golden[name] for name in golden}
    raw, delta = (
        np.concatenate([arrays[f"{kind}_{n}"].reshape(-1, 8) for n in (13, 26, 52)])[None]
        for kind in ("raw", "delta")
    )
    truth = arrays["truth_center_xywh_class"]
    boxes = [around(*(416 * row[:4].astype("float64"))) for row in truth]
    return target(boxes, truth[:, 4]), raw, delta


def gradient(truth, raw, loss):
    raw = tf.constant(raw)
    with tf.GradientTape() as tape:
        tape.watch(raw)
        value = tf.reduce_sum(loss.call(truth, raw))
    return tape.gradient(value, raw).numpy()


def test_the_gradient_is_minus_darknets_delta(darknet):
    truth, raw, delta = darknet
    found = gradient(truth, raw, YOLOv3Loss(YOLOv3Codec((416, 416))))
    np.testing.assert_allclose(found, -delta, rtol=1e-4, atol=2e-5)
    # Eleven boxes are ignored: no object of theirs, and yet no push towards empty.
    assert int(np.sum(delta[..., 4] == 0)) == int(np.sum(found[..., 4] == 0)) == 11


def test_what_darknet_prints_is_the_sum_of_squares(darknet, goldens):
    truth, raw, _ = darknet
    found = gradient(truth, raw, YOLOv3Loss(YOLOv3Codec((416, 416))))[0]
    with np.load(goldens / "darknet_yolov3.npz") as golden:
        costs = [float(golden[f"cost_{n}"]) for n in (13, 26, 52)]
    levels = np.split(found.astype("float64"), np.cumsum([13 * 13 * 3, 26 * 26 * 3]))
    np.testing.assert_allclose([np.sum(level**2) for level in levels], costs, rtol=1e-4)


def test_a_size_is_not_needed(darknet):
    truth, raw, _ = darknet
    fixed = YOLOv3Loss(YOLOv3Codec((416, 416))).call(truth, raw)
    free = tf.function(
        YOLOv3Loss(YOLOv3Codec()).call,
        input_signature=[tf.TensorSpec((None, None, 5)), tf.TensorSpec((None, None, 8))],
    )
    np.testing.assert_allclose(free(truth, raw), fixed, rtol=1e-6)


def test_an_image_without_objects_teaches_that_all_is_empty():
    raw = np.random.default_rng(0).standard_normal((1, 63, 7)).astype("float32")
    wanted = crossed(0, raw[..., 4]).sum()
    for truth in (np.zeros((1, 0, 5), "float32"), target([[0, 0, 0, 0]], [-1])):
        found = parts(truth, raw, 32)
        assert found["objectness"] == pytest.approx(wanted, rel=1e-5)
        assert found["boxes"] == found["classes"] == 0


def test_cross_entropy_of_x_and_y_squared_error_of_width_and_height():
    # Cell (3, 1): x and y at 0.25 and 0.75 of it; the anchor doubled, and halved.
    raw = quiet(416)
    place = (1 * 13 + 3) * 3
    raw[0, place] = [0.3, -0.2, 0.5, 0.1, EMPTY, 0, 0]
    box = around(3.25 * 32, 1.75 * 32, 2 * 116, 45)
    error = (np.log(2) - 0.5) ** 2 + (-np.log(2) - 0.1) ** 2
    wanted = crossed(0.25, 0.3) + crossed(0.75, -0.2) + error / 2
    weight = 2 - 2 * 116 * 45 / 416**2
    found = parts(target([box]), raw)
    assert found["boxes"] == pytest.approx(weight * wanted, rel=1e-4)
    assert found["objectness"] == pytest.approx(-EMPTY, rel=1e-4)
    assert parts(target([box]), raw, box_weight=3)["boxes"] == found["boxes"]
    total = YOLOv3Loss(YOLOv3Codec((416, 416)), box_weight=3)(target([box]), raw)
    parts_sum = 3 * found["boxes"] + found["objectness"] + found["classes"]
    assert float(total) == pytest.approx(parts_sum, rel=1e-5)


def test_classes_have_sigmoids_of_their_own():
    raw = quiet(416, classes=3)
    raw[0, (1 * 13 + 3) * 3, 5:] = [2.0, -1.0, 0.5]
    box = around(112, 48, *ANCHOR)
    wanted = crossed(0, 2.0) + crossed(1, -1.0) + crossed(0, 0.5)
    assert parts(target([box], [1]), raw)["classes"] == pytest.approx(wanted, rel=1e-5)
    # Two objects of one cell and anchor: both are true.
    wanted = crossed(1, 2.0) + crossed(1, -1.0) + crossed(0, 0.5)
    assert parts(target([box, box], [1, 0]), raw)["classes"] == pytest.approx(wanted, rel=1e-5)
    wanted = crossed(0.05, 2.0) + crossed(0.95, -1.0) + crossed(0.05, 0.5)
    found = parts(target([box], [1]), raw, label_smoothing=0.1)
    assert found["classes"] == pytest.approx(wanted, rel=1e-5)


def test_a_prediction_near_an_object_is_not_punished():
    # The object belongs to cell (3, 1). The next cell's box, 32 pixels on, is an anchor that fits
    # it badly; only where it is moved and stretched onto the object does the rule hold.
    box = target([around(112, 48, *ANCHOR)])
    mine, other = ((1 * 13 + column) * 3 for column in (3, 4))
    raw = quiet(416)
    raw[0, mine, 4] = 30.0
    raw[0, other, 4] = 5.0
    punished = crossed(0, 5.0)
    assert parts(box, raw)["objectness"] == pytest.approx(punished, rel=1e-3)
    raw[0, other, :2] = [-30.0, 0.0]  # x = 128, the cell's left edge: 100 of 132 pixels, 0.7576
    assert parts(box, raw)["objectness"] == pytest.approx(0, abs=1e-3)
    raw[0, other, 3] = np.log(0.9)  # as wide, less high: 0.7576 at most, here 0.6876
    assert parts(box, raw)["objectness"] == pytest.approx(punished, rel=1e-3)
    assert parts(box, raw, ignore_threshold=0.5)["objectness"] == pytest.approx(0, abs=1e-3)


def test_the_box_of_an_object_is_never_ignored():
    raw = quiet(416)
    raw[0, (1 * 13 + 3) * 3, 4] = -5.0  # its box, the anchor itself, is right
    found = parts(target([around(112, 48, *ANCHOR)]), raw)
    assert found["objectness"] == pytest.approx(crossed(1, -5.0), rel=1e-4)


def test_the_overlap_rule_has_no_gradient():
    raw = np.random.default_rng(1).standard_normal((1, 63 * 4, 7)).astype("float32")
    truth = target([around(20, 20, 40, 40)])
    found = gradient(truth, raw, YOLOv3Loss(YOLOv3Codec((64, 64)), ignore_threshold=0.1))
    rows = np.flatnonzero(np.any(found[0, :, :4] != 0, axis=-1))
    assert len(rows) == 1  # that of the object alone


@pytest.mark.parametrize("box", ["giou", "ciou"])
def test_overlap_in_place_of_offsets(box):
    raw = quiet(416)
    exact = around(112, 48, *ANCHOR)  # what the first box of cell (3, 1) gives for 0, 0, 0, 0
    assert parts(target([exact]), raw, box=box)["boxes"] == pytest.approx(0, abs=1e-5)
    # Two thirds as high, on the same centre: IoU and GIoU 2 / 3.
    flat = around(112, 48, 116, 60)
    angle = np.arctan(116 / 60) - np.arctan(116 / 90)
    v = 4 / np.pi**2 * angle**2
    wanted = 1 / 3 if box == "giou" else 1 / 3 + v * v / (1 / 3 + v)
    weight = 2 - 116 * 60 / 416**2
    found = parts(target([flat]), raw, box=box)
    assert found["boxes"] == pytest.approx(weight * wanted, rel=1e-3)
    values = gradient(target([flat]), raw, YOLOv3Loss(YOLOv3Codec((416, 416)), box=box))
    assert np.isfinite(values).all() and np.any(values[..., 2:4])


def test_focal_objectness_by_hand():
    raw = np.zeros((1, 63, 6), "float32")
    raw[..., 4] = 1.5
    p = 1 / (1 + np.exp(-1.5))
    wanted = 63 * p**2 * crossed(0, 1.5)
    found = parts(np.zeros((1, 0, 5), "float32"), raw, 32, focal_gamma=2.0)
    assert found["objectness"] == pytest.approx(wanted, rel=1e-5)


def test_one_value_per_image_in_float32_of_half_precision():
    loss = YOLOv3Loss(YOLOv3Codec((32, 32)), reduction=None)
    raw = np.concatenate([quiet(32), quiet(32) + 1]).astype("float16")
    truth = np.concatenate([target([around(9, 9, 30, 20)]), target([[0, 0, 0, 0]], [-1])])
    value = loss(truth, raw)
    assert value.shape == (2,) and value.dtype == "float32"
    np.testing.assert_allclose(value[1], loss(truth[1:], raw[1:])[0], rtol=1e-5)


def test_wild_predictions_stay_finite():
    raw = np.full((1, 63, 7), 1e4, "float32")
    for box in ("paper", "giou", "ciou"):
        loss = YOLOv3Loss(YOLOv3Codec((32, 32)), box=box)
        found = gradient(target([around(9, 9, 30, 20)]), raw, loss)
        assert np.isfinite(found).all()


def test_survives_saving():
    loss = YOLOv3Loss(YOLOv3Codec((32, 32)), ignore_threshold=0.5, box="ciou", focal_gamma=1.5)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert again.get_config() == loss.get_config()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"box": "l1"}, "`box` must be one of"),
        ({"ignore_threshold": 0}, "`ignore_threshold` must lie in"),
        ({"label_smoothing": 1}, "`label_smoothing` in"),
        ({"focal_gamma": -1}, "`focal_gamma` and `box_weight` must be 0 or more"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        YOLOv3Loss(YOLOv3Codec(), **options)
