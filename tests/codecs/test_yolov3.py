import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.applications.yolov3 import yolov3, yolov3_tiny
from kmed.codecs.yolov3 import ANCHORS, YOLOv3Codec


def objects(boxes, labels):
    return {"boxes": np.array([boxes], "float32"), "labels": np.array([labels], "int32")}


def around(x, y, width, height):
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


def logit(p):
    return np.log(p / (1 - p))


def places(found):
    return np.flatnonzero(found["objectness"].numpy()[0]).tolist()


def test_boxes_and_scores_are_darknets(goldens):
    with np.load(goldens / "darknet_yolov3.npz") as golden:
        raw = np.concatenate([golden[f"raw_{size}"].reshape(-1, 8) for size in (13, 26, 52)])
        center, scores = golden["boxes_center_xywh"], golden["class_scores"]
        objectness = golden["objectness"]
    boxes, found = YOLOv3Codec((416, 416)).decode(raw[None])
    assert boxes.shape == (1, 10_647, 4)
    corners = np.concatenate(
        [center[:, :2] - center[:, 2:] / 2, center[:, :2] + center[:, 2:] / 2], 1
    )
    np.testing.assert_allclose(boxes[0], corners, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found[0], scores, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(1 / (1 + np.exp(-raw[:, 4])), objectness, rtol=1e-4)


def test_each_object_goes_to_one_anchor_the_best_of_all_nine():
    codec = YOLOv3Codec((416, 416))
    first = {0: 2 * 1 * 0, 1: 13 * 13 * 3, 2: 13 * 13 * 3 + 26 * 26 * 3}  # of each level
    for index, (width, height) in enumerate(ANCHORS):
        level = 2 - index // 3  # large anchors belong to the coarse level
        cells = (13, 26, 52)[level]
        found = codec.encode(objects([around(210, 100, width, height)], [1]), classes=3)
        column, row = 210 * cells // 416, 100 * cells // 416
        wanted = first[level] + (row * cells + column) * 3 + index % 3
        assert places(found) == [wanted]
        np.testing.assert_array_equal(found["classes"][0, wanted], [0, 1, 0])


def test_offsets_and_weight_by_hand():
    # Anchor 8 of stride 32, cell (6, 3): 210 / 32 = 6.5625 and 100 / 32 = 3.125.
    found = YOLOv3Codec((416, 416)).encode(
        objects([around(210, 100, 2 * 373, 326 / 2)], [0]), classes=1
    )
    (place,) = places(found)
    assert place == (3 * 13 + 6) * 3 + 2
    wanted = [0.5625, 0.125, np.log(2), -np.log(2)]
    np.testing.assert_allclose(found["offsets"][0, place], wanted, rtol=1e-5)
    weight = 2 - (2 * 373 / 416) * (326 / 2 / 416)
    assert float(found["weights"][0, place]) == pytest.approx(weight, rel=1e-5)


def test_where_two_objects_meet_the_later_box_wins_and_both_classes_hold():
    boxes = [around(100, 100, 116, 90), around(101, 102, 120, 94)]
    found = YOLOv3Codec((416, 416)).encode(objects(boxes, [2, 0]), classes=3)
    (place,) = places(found)
    np.testing.assert_array_equal(found["classes"][0, place], [1, 0, 1])
    assert float(found["offsets"][0, place, 0]) == pytest.approx(101 / 32 - 3)
    assert float(found["offsets"][0, place, 2]) == pytest.approx(np.log(120 / 116), rel=1e-4)


def test_decode_undoes_encode():
    rng = np.random.default_rng(0)
    codec = YOLOv3Codec((64, 96), anchor_scale=0.2)
    # One in each cell of the coarsest level, so that none meets another.
    cells = np.array([(x, y) for y in range(2) for x in range(3)])
    center = 32 * (cells + rng.uniform(0.05, 0.95, (6, 2)))
    sides = rng.uniform(2, 60, (6, 2))
    boxes = np.concatenate([center - sides / 2, center + sides / 2], axis=1)
    labels = np.arange(6) % 4
    truth = codec.encode(objects(boxes, labels), classes=4)
    raw = np.concatenate(
        [
            logit(np.clip(truth["offsets"][..., :2], 1e-6, 1 - 1e-6)),
            truth["offsets"][..., 2:],
            20.0 * (2 * truth["objectness"][..., None] - 1),
            20.0 * (2 * truth["classes"] - 1),
        ],
        axis=-1,
    )
    found, scores = codec.decode(raw)
    best = np.argsort(-scores.numpy()[0].max(-1))[:6]
    wanted = {(label, *np.round(box, 2)) for label, box in zip(labels, boxes, strict=True)}
    assert len(best) == len(wanted) == len(places(truth))
    for place in best:
        label = int(scores.numpy()[0, place].argmax())
        error = [
            abs(np.array(row[1:]) - found.numpy()[0, place]).max()
            for row in wanted
            if row[0] == label
        ]
        assert min(error) < 0.02


def test_what_is_no_object_on_the_image_is_left_out():
    boxes = [
        around(50, 50, 30, 61),  # the only one
        [0, 0, 0, 0],  # padding
        [20, 20, 20, 40],  # no area
        [40, 40, 30, 30],  # ends swapped
        around(-3, 20, 30, 61),  # centre off the image
        around(20, 417, 30, 61),
    ]
    found = YOLOv3Codec((416, 416)).encode(objects(boxes, [1, -1, 0, 0, 0, 0]), classes=2)
    (place,) = places(found)
    assert np.isfinite(found["offsets"]).all()
    assert int(np.sum(found["classes"])) == int(found["classes"][0, place, 1]) == 1


def test_a_centre_on_the_right_edge_is_in_the_last_cell():
    found = YOLOv3Codec((416, 416)).encode(objects([around(416, 416, 373, 326)], [0]), classes=1)
    (place,) = places(found)
    assert place == 13 * 13 * 3 - 1
    np.testing.assert_allclose(found["offsets"][0, place, :2], 1.0, atol=1e-4)


def test_no_objects_at_all():
    codec = YOLOv3Codec((32, 32))
    empty = {"boxes": np.zeros((2, 0, 4), "float32"), "labels": np.zeros((2, 0), "int32")}
    assert not np.any(codec.encode(empty, classes=2)["objectness"])
    assert codec.targets(empty).shape == (2, 0, 5)


def test_targets_hold_boxes_and_labels():
    target = YOLOv3Codec((32, 32)).targets(objects([[1, 2, 3, 4], [0, 0, 0, 0]], [5, -1]))
    np.testing.assert_array_equal(target, [[[1, 2, 3, 4, 5], [0, 0, 0, 0, -1]]])


def test_a_square_needs_no_size():
    raw = np.random.default_rng(0).standard_normal((1, 252, 6)).astype("float32")
    fixed, free = YOLOv3Codec((64, 64)), YOLOv3Codec()
    wanted, scores = fixed.decode(raw)
    dynamic = tf.function(free.decode, input_signature=[tf.TensorSpec((None, None, 6))])
    for found in (free.decode(raw), dynamic(raw)):
        np.testing.assert_allclose(found[0], wanted, rtol=1e-6)
        np.testing.assert_allclose(found[1], scores, rtol=1e-6)


def test_of_reads_the_network():
    codec = YOLOv3Codec.of(yolov3(input_shape=(64, 96, 1), classes=2, width=2))
    assert codec.size == (64, 96) and codec.anchors == ANCHORS
    assert codec.class_count(np.zeros((1, 378, 7))) == 2
    network = yolov3_tiny(input_shape=(None, None, 1), classes=2, width=2, anchors_per_cell=2)
    codec = YOLOv3Codec.of(network)
    assert (codec.size, codec.strides, codec.masks) == (None, (32, 16), ((2, 3), (0, 1)))
    assert codec.anchors[0] == (10, 14) and codec.anchors[-1] == (344, 319)
    with pytest.raises(ValueError, match="has 2 anchors for each cell of its 2 levels"):
        YOLOv3Codec.of(network, anchors=ANCHORS[:2])
    with pytest.raises(ValueError, match="it is no YOLOv3 of ours"):
        YOLOv3Codec.of(keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)]))


def test_scaled_anchors():
    found = YOLOv3Codec((32, 32), anchor_scale=0.5).decode_boxes(np.zeros((1, 63, 4), "float32"))
    np.testing.assert_allclose(found[0, 0], [-29, -22.5, 29, 22.5])


def test_a_wild_prediction_stays_finite():
    boxes, _ = YOLOv3Codec((32, 32)).decode(np.full((1, 63, 6), 1e4, "float32"))
    assert np.isfinite(boxes).all()


def test_the_tiny_networks_masks():
    assert YOLOv3Codec.tiny().masks == ((3, 4, 5), (0, 1, 2))
    # The authors' weights: anchor 3 belongs to both levels, anchor 0 to none.
    codec = YOLOv3Codec.tiny((32, 32), masks=((3, 4, 5), (1, 2, 3)))
    both = codec.encode(objects([around(5, 5, 81, 82)], [0]), classes=1)
    assert places(both) == [0, 3 + 2]
    assert places(codec.encode(objects([around(5, 5, 10, 14)], [0]), classes=1)) == []


def test_evaluated_at_a_low_confidence():
    assert YOLOv3Codec.postprocessing["score_threshold"] == 0.001


def test_survives_saving():
    codec = YOLOv3Codec((64, 96), anchor_scale=0.5)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(codec))
    assert again.get_config() == codec.get_config()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (40, 64)}, "`size` must be multiples of 32"),
        ({"anchors": ((1, 2), (0, 3), (1, 1))}, "`anchors` and `anchor_scale` must be above 0"),
        ({"anchor_scale": 0}, "`anchors` and `anchor_scale` must be above 0"),
        ({"strides": (32, 12, 8)}, "`strides` must divide the largest"),
        ({"strides": ()}, "`strides` must divide the largest"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        YOLOv3Codec(**options)


def test_refuses_predictions_of_another_size():
    with pytest.raises(ValueError, match="must be of 252 boxes for `size` .64, 64.; got 63"):
        YOLOv3Codec((64, 64)).decode(np.zeros((1, 63, 6), "float32"))
    with pytest.raises(ValueError, match="`size` must be given"):
        YOLOv3Codec().encode(objects([[0, 0, 1, 1]], [0]), classes=1)
