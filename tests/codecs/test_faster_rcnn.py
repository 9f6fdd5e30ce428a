import keras
import numpy as np
import pytest

from kmed.codecs.faster_rcnn import FasterRCNNCodec
from kmed.ops.suppression import select_detections


def codec(**options):
    # Anchors of 16 pixels at every 16 pixels of 64 x 64, the first around (0, 0).
    return FasterRCNNCodec((64, 64), (64, 64), ((4, 4),), ((16,),), (1.0,), **options)


def objects(*rows):
    """One image's objects from (x1, y1, x2, y2, label)."""
    rows = np.array(rows, "float32").reshape(1, -1, 5)
    return {"boxes": rows[..., :4], "labels": rows[..., 4].astype("int32")}


def overlap(a, b):
    """IoU of two boxes by hand."""
    width = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    height = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return width * height / (sum(areas) - width * height)


def test_an_anchor_from_07_is_positive_below_03_negative_between_neither():
    c = codec()
    # Around anchor 5 = (8, 8, 24, 24): IoU 16 / 20 = 0.8, and with anchor 6 at (24, 8):
    # 4 * 16 / (320 + 256 - 64) = 0.125.
    _, labels = c.encode_rpn(objects((8, 8, 28, 24, 2)))
    assert np.array(labels)[0].tolist() == [0] * 5 + [1] + [0] * 10
    # Twice as wide as high: both anchors 0.5, and the best of it: both positive.
    _, labels = c.encode_rpn(objects((8, 8, 40, 24, 2)))
    assert np.array(labels)[0, 5:7].tolist() == [1, 1]
    # A better anchor exists for the object: 0.5625 and 0.36 remain below 0.7 and are neither.
    _, labels = c.encode_rpn(objects((10, 8, 33, 24, 0)))
    overlaps = [overlap((10, 8, 33, 24), c.anchors[i]) for i in (5, 6)]
    assert overlaps[0] > 0.5 and 0.2 < overlaps[1] < 0.5
    assert np.array(labels)[0, 5] == 1
    assert np.array(labels)[0, 6] == (0 if overlaps[1] < 0.3 else -1)


def test_neither_positive_nor_negative():
    # Two objects: the first takes anchor 5 wholly; anchor 6 overlaps the second by 0.6, which
    # anchor 10 overlaps by more.
    c = codec()
    boxes = [(8, 8, 24, 24, 0), (24, 12, 40, 40, 1)]
    values = [overlap(boxes[1], c.anchors[i]) for i in (6, 10)]
    assert 0.3 < values[0] < values[1] < 0.7
    _, labels = c.encode_rpn(objects(*boxes))
    assert np.array(labels)[0, [5, 6, 10, 0]].tolist() == [1, -1, 1, 0]


def test_every_object_has_an_anchor_however_small():
    offsets, labels = codec().encode_rpn(objects((14, 14, 18, 18, 0)))
    labels = np.array(labels)[0]
    assert overlap((14, 14, 18, 18), (8, 8, 24, 24)) < 0.3
    assert np.flatnonzero(labels == 1).tolist() == [5]
    np.testing.assert_allclose(np.array(offsets)[0, 5], [0, 0, -np.log(4), -np.log(4)], rtol=1e-5)


def test_an_anchor_becomes_the_object_that_it_overlaps_most():
    # Anchor 5 is the best of the small object, and overlaps the large one more.
    small, large = (8, 8, 12, 12, 0), (8, 8, 26, 24, 1)
    offsets, labels = codec().encode_rpn(objects(small, large))
    assert np.array(labels)[0, 5] == 1
    np.testing.assert_allclose(
        np.array(offsets)[0, 5], [1 / 16, 0, np.log(18 / 16), 0], rtol=1e-5, atol=1e-7
    )


def test_an_image_without_objects_has_negatives_only():
    for rows in ([], [(0, 0, 0, 0, -1)]):
        empty = objects(*(rows or [(0, 0, 0, 0, -1)]))
        offsets, labels = codec().encode_rpn(empty)
        assert not np.array(offsets).any() and not np.array(labels).any()
        offsets, classes = codec().encode_rois(empty, np.array([[[1.0, 1, 9, 9]]], "float32"))
        assert not np.array(offsets).any() and not np.array(classes).any()


def test_padding_changes_nothing():
    rows = [(8, 8, 28, 24, 2), (33, 40, 50, 55, 0)]
    c, boxes = codec(), np.array([[[8.0, 8, 24, 20], [30, 38, 51, 60]]], "float32")
    padded = objects(*rows, (0, 0, 0, 0, -1), (8, 8, 24, 24, -1))
    for ours, expected in (
        (c.encode_rpn(padded), c.encode_rpn(objects(*rows))),
        (c.encode_rois(padded, boxes), c.encode_rois(objects(*rows), boxes)),
    ):
        for a, b in zip(ours, expected, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_proposal_from_05_has_the_class_of_its_object():
    boxes = np.array([[[8, 8, 24, 24], [8, 8, 16, 24.5], [8, 8, 15.9, 24], [40, 40, 60, 60]]])
    _, classes = codec().encode_rois(objects((8, 8, 24, 24, 2)), boxes.astype("float32"))
    # IoU 1; 128 / 260; 0.494; 0.
    assert np.array(classes)[0].tolist() == [3, 0, 0, 0]
    _, classes = codec(roi_iou=0.49).encode_rois(
        objects((8, 8, 24, 24, 2)), boxes.astype("float32")
    )
    assert np.array(classes)[0].tolist() == [3, 3, 3, 0]


def test_offsets_of_the_head_are_weighted():
    box = np.array([[[8.0, 8, 24, 24]]], "float32")
    offsets, _ = codec().encode_rois(objects((12, 8, 28, 24, 0)), box)
    np.testing.assert_allclose(np.array(offsets)[0, 0], [10 * 4 / 16, 0, 0, 0], atol=1e-6)
    offsets, _ = codec(weights=(1, 1, 1, 1)).encode_rois(objects((12, 8, 28, 24, 0)), box)
    np.testing.assert_allclose(np.array(offsets)[0, 0], [0.25, 0, 0, 0], atol=1e-6)


def test_decoding_gives_back_what_was_encoded():
    random = np.random.default_rng(0)
    corner = random.uniform(0, 40, (2, 6, 2))
    truth = np.concatenate([corner, corner + random.uniform(8, 20, (2, 6, 2))], -1)
    shift = random.uniform(-1, 1, truth.shape)
    truth, boxes = truth.astype("float32"), (truth + shift).astype("float32")
    labels = random.integers(0, 3, (2, 6))
    c = codec()
    offsets, classes = c.encode_rois({"boxes": truth, "labels": labels}, boxes)
    matched = np.array(classes) > 0
    assert matched.sum() > 8
    decoded = np.array(c.decode_rois(offsets, boxes))
    best = np.array([[max(t, key=lambda x: overlap(b, x)) for b in p]
                     for t, p in zip(truth, boxes, strict=True)])  # fmt: skip
    np.testing.assert_allclose(decoded[matched], best[matched], atol=1e-4)


def outputs(logits, offsets, proposals, count):
    return {
        "class_logits": np.array([logits], "float32"),
        "box_offsets": np.array([offsets], "float32"),
        "proposals": np.array([proposals], "float32"),
        "count": np.array([count], "int32"),
    }


def test_every_class_has_its_own_box():
    # Two classes; class 0 shifts by a quarter to the right, class 1 leaves the image.
    shifts = [[9, 9, 9, 9, 2.5, 0, 0, 0, 10 * 2.5, 0, 0, 0]] * 2
    given = outputs([[0, 1, 2], [0, 1, 2]], shifts, [[8, 8, 24, 24], [0, 0, 0, 0]], 1)
    boxes, scores = (np.array(x)[0] for x in codec().decode(given))
    assert boxes.shape == (2, 2, 4) and scores.shape == (2, 2)
    np.testing.assert_allclose(boxes[0], [[12, 8, 28, 24], [48, 8, 64, 24]], rtol=1e-5)
    softmax = np.exp([0, 1, 2]) / np.exp([0, 1, 2]).sum()
    np.testing.assert_allclose(scores[0], softmax[1:], rtol=1e-5)
    assert not scores[1].any()  # no proposal
    assert FasterRCNNCodec.class_count(given) == 2
    assert FasterRCNNCodec.class_count({"class_logits": (None, 100, 21)}) == 20


def test_boxes_outside_of_the_image_have_no_score():
    given = outputs([[0, 9]], [[0] * 4 + [80, 0, 0, 0]], [[8, 8, 24, 24]], 1)
    boxes, scores = codec().decode(given)
    assert np.array(boxes)[0, 0, 0].tolist() == [64, 8, 64, 24] and not np.array(scores).any()


def test_feeds_the_selection_of_detections():
    given = outputs(
        [[0, 4, 0], [0, 3, 0], [0, 0, 5]], [[0] * 12] * 3,
        [[8, 8, 24, 24], [8, 8, 25, 24], [8, 8, 24, 24]], 3,
    )  # fmt: skip
    found = select_detections(*codec().decode(given), **FasterRCNNCodec.postprocessing)
    assert int(found["count"][0]) == 2
    assert np.array(found["labels"])[0, :3].tolist() == [1, 0, -1]


def test_targets_carry_the_place_in_the_whole_batch():
    boxes = np.arange(24.0).reshape(3, 2, 4)
    labels = np.array([[0, -1], [2, 1], [-1, -1]])
    y = codec().targets({"boxes": boxes, "labels": labels})
    assert y.shape == (3, 2, 6) and y.dtype == "float32"
    back = codec().objects(y)
    np.testing.assert_array_equal(back["boxes"], boxes)
    np.testing.assert_array_equal(back["labels"], labels)
    assert np.array(back["place"]).tolist() == [0, 1, 2]
    assert np.array(codec().objects(y[1:])["place"]).tolist() == [1, 2]


def test_is_rebuilt_from_its_arguments():
    c = codec(weights=(1, 2, 3, 4), positive_iou=0.6)
    text = keras.saving.serialize_keras_object(c)
    again = keras.saving.deserialize_keras_object(text)
    assert isinstance(again, FasterRCNNCodec) and again.get_config() == c.get_config()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"positive_iou": 0.2}, "`negative_iou` at most `positive_iou`"),
        ({"roi_iou": 0.0}, "`roi_iou` 0.0"),
        ({"weights": (1, 1, 1)}, "four positive numbers"),
    ],
)
def test_refuses_what_does_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        codec(**options)
