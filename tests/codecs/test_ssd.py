import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.codecs.ssd import SSDCodec
from kmed.ops.suppression import select_detections


def square(**options):
    """Two by two squares of 8 pixels, and around each one of 8 too."""
    return SSDCodec((16, 16), [(2, 2)], [()], [0.5, 0.5], **options)


def objects(boxes, labels=None):
    labels = range(len(boxes)) if labels is None else labels
    return {"boxes": np.array([boxes], "float32"), "labels": np.array([list(labels)], "int32")}


def random_objects(images=4, count=9, size=128, seed=0):
    random = np.random.default_rng(seed)
    low = random.uniform(0, 0.8 * size, (images, count, 2))
    boxes = np.concatenate([low, low + random.uniform(4, size / 2, (images, count, 2))], -1)
    labels = random.integers(-1, 5, (images, count))
    return {"boxes": boxes.astype("float32"), "labels": labels.astype("int32")}


def overlap(a, b):
    sides = [max(0, min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1)]
    both = sides[0] * sides[1]
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return both / (sum(areas) - both)


def plain_matching(boxes, labels, defaults, threshold=0.5):
    """Object of each default box, -1 for background: the paper's two steps, with loops."""
    pairs = [(m, n) for m in range(len(boxes)) if labels[m] >= 0 for n in range(len(defaults))]
    table = {(m, n): overlap(boxes[m], defaults[n]) for m, n in pairs}
    matched = np.full(len(defaults), -1)
    for m, n in sorted(pairs, key=lambda pair: -table[pair]):
        if m not in matched and matched[n] < 0 and table[m, n] > 0:
            matched[n] = m
    for n in np.flatnonzero(matched < 0):
        best = max((table[m, n], -m) for m in range(len(boxes)) if labels[m] >= 0)
        if best[0] > threshold:
            matched[n] = -best[1]
    return matched


def test_the_authors_networks_have_their_default_boxes(goldens):
    codec = SSDCodec.ssd300()
    assert len(codec.default_boxes) == 8732
    assert len(SSDCodec.ssd512().default_boxes) == 24_564
    with np.load(goldens / "ssd300_vgg16.npz") as golden:
        np.testing.assert_allclose(codec.default_boxes, golden["default_boxes_xyxy"], atol=1e-4)


def test_ssd512_has_the_authors_boxes():
    # min_sizes 35.84, 76.8, 153.6 ... of its VOC configuration; conv4_3 every 8 pixels.
    boxes = SSDCodec.ssd512().default_boxes
    np.testing.assert_allclose(boxes[0], [4 - 17.92, 4 - 17.92, 4 + 17.92, 4 + 17.92], rtol=1e-5)
    second = boxes[64 * 64 * 4]
    np.testing.assert_allclose(second, [8 - 38.4, 8 - 38.4, 8 + 38.4, 8 + 38.4], rtol=1e-5)
    np.testing.assert_allclose(boxes[-4], [256 - 230.4] * 2 + [256 + 230.4] * 2, rtol=1e-5)


def test_decoding_undoes_encoding():
    codec = SSDCodec((128, 160), [(16, 20), (8, 10), (4, 5)])
    given = random_objects(size=128)
    given["boxes"] = np.clip(given["boxes"], 0, 128)
    offsets, classes = map(np.array, codec.encode(given))
    logits = 50 * np.eye(6, dtype="float32")[classes]
    boxes, scores = map(np.array, codec.decode(np.concatenate([offsets, logits], -1)))
    assert boxes.shape == (*classes.shape, 4) and scores.shape == (*classes.shape, 5)
    found = 0
    for image, truth, labels in zip(range(4), given["boxes"], given["labels"], strict=True):
        for n in np.flatnonzero(classes[image]):
            assert scores[image, n].argmax() == classes[image, n] - 1
            same = (labels == classes[image, n] - 1) & np.isclose(
                truth, boxes[image, n], atol=1e-3
            ).all(-1)
            assert same.any()
        missed = set(labels[labels >= 0] + 1) - set(classes[image])
        assert not missed
        found += (classes[image] > 0).sum()
    assert found > (given["labels"] >= 0).sum()


@pytest.mark.parametrize("seed", range(4))
def test_matches_as_the_paper(seed):
    codec = SSDCodec((64, 64), [(8, 8), (4, 4), (2, 2)])
    given = random_objects(images=1, size=64, seed=seed)
    _, classes = codec.encode(given)
    matched = plain_matching(given["boxes"][0], given["labels"][0], codec.default_boxes)
    expected = np.where(matched < 0, 0, given["labels"][0][matched] + 1)
    np.testing.assert_array_equal(classes[0], expected)


def test_every_object_gets_its_best_box_however_small_the_overlap():
    # 2 x 2 pixels in a default box of 8 x 8: IoU 1/16.
    _, classes = square().encode(objects([[3, 3, 5, 5]]))
    assert np.array(classes)[0].tolist() == [1, 0, 0, 0, 0, 0, 0, 0]


def test_all_levels_are_matched_at_once():
    # The object's best box lies in the second level; none of the first exceeds 0.5, and a
    # matching level by level would give it one there too.
    codec = SSDCodec((32, 32), [(4, 4), (1, 1)], [(), ()], [0.25, 0.25, 0.25])
    _, classes = codec.encode(objects([[12.5, 12.5, 19.5, 19.5]]))
    assert np.flatnonzero(classes[0])[0] >= 32
    assert not np.array(classes)[0, :32].any()


def test_default_boxes_above_the_threshold_get_the_object_they_overlap_most():
    # Both boxes of the first cell are 8 x 8 at (0, 0): IoU 7 / 8 with the first object, 9 / 16 with
    # the second, whose own box is the second of the two.
    two = [[0, 0, 8, 7], [0, 0, 9, 16 * 64 / 81]]
    assert 0.5 < overlap(two[1], [0, 0, 8, 8]) < overlap(two[0], [0, 0, 8, 8])
    _, classes = square().encode(objects(two))
    assert np.array(classes)[0, :2].tolist() == [1, 2]
    _, classes = square().encode(objects(two[:1]))
    assert np.array(classes)[0].tolist() == [1, 1, 0, 0, 0, 0, 0, 0]
    _, classes = square(iou_threshold=0.9).encode(objects(two[:1]))
    assert np.array(classes)[0].tolist() == [1, 0, 0, 0, 0, 0, 0, 0]


def test_two_objects_with_one_best_box_both_get_one():
    # One default box at each place: the closer object gets it, the other its second best.
    codec = SSDCodec((16, 16), [(1, 2)], [()], [0.5, 0.125])
    close, other = [0, 4, 8, 12], [1, 4, 9, 12]
    for order in ([close, other], [other, close]):
        _, classes = codec.encode(objects(order))
        assert set(np.array(classes)[0]) == {0, 1, 2}
        assert np.array(classes)[0, 0] == 1 + order.index(close)


def test_what_is_no_object_is_background():
    for given in (
        objects([[0, 0, 8, 8]], [-1]),
        objects([[4, 4, 4, 8]]),  # no width
        objects([[40, 40, 44, 44]]),  # off the image
        {"boxes": np.zeros((1, 0, 4)), "labels": np.zeros((1, 0))},
    ):
        offsets, classes = square().encode(given)
        assert not np.any(classes) and not np.any(offsets)


def test_offsets_are_divided_by_the_variances():
    # 2 of 8 pixels to the right: 0.25 / 0.1; twice as high: log 2 / 0.2.
    offsets, _ = square(iou_threshold=0.3).encode(objects([[2, -4, 10, 12]]))
    np.testing.assert_allclose(offsets[0, 0], [2.5, 0, 0, np.log(2) / 0.2], atol=1e-5)
    offsets, _ = square(variances=(1, 1, 1, 1)).encode(objects([[2, -4, 10, 12]]))
    np.testing.assert_allclose(offsets[0, 0], [0.25, 0, 0, np.log(2)], atol=1e-5)


def test_targets_weigh_by_the_positives_of_the_batch():
    codec = SSDCodec((64, 64), [(8, 8), (4, 4)])
    given = random_objects(size=64)
    _, classes = codec.encode(given)
    targets = np.array(codec.targets(given))
    assert targets.shape == (4, len(codec.default_boxes), 6) and targets.dtype == "float32"
    np.testing.assert_array_equal(targets[..., 4], classes)
    np.testing.assert_allclose(targets[..., 5], 4 / (targets[..., 4] > 0).sum(), rtol=1e-6)


def test_targets_are_made_in_a_pipeline():
    codec = SSDCodec((64, 64), [(8, 8), (4, 4)])
    given = random_objects(size=64)
    dataset = tf.data.Dataset.from_tensor_slices(given).batch(4).map(codec.targets)
    (targets,) = dataset
    np.testing.assert_allclose(targets, codec.targets(given), atol=1e-5)
    spec = {"boxes": tf.TensorSpec((None, None, 4)), "labels": tf.TensorSpec((None, None), "int32")}
    traced = tf.function(codec.targets, input_signature=[spec])
    np.testing.assert_allclose(traced(given), targets, atol=1e-5)


def test_detections_are_torchvisions(goldens):
    codec = SSDCodec.ssd300()
    with np.load(goldens / "ssd300_vgg16.npz") as golden:
        predictions = np.concatenate([golden["bbox_regression"], golden["cls_logits"]], -1)
        boxes, scores = codec.decode(predictions[None])
        found = select_detections(boxes, scores, **codec.postprocessing)
        assert codec.class_count(predictions) == 20 and found["count"][0] == 200
        np.testing.assert_allclose(found["boxes"][0], golden["boxes"], atol=1e-2, rtol=1e-4)
        np.testing.assert_allclose(found["scores"][0], golden["scores"], rtol=1e-4)
        np.testing.assert_array_equal(found["labels"][0] + 1, golden["labels"])


def test_postprocessing_is_the_papers():
    # Section 2.2: confidence 0.01, NMS with 0.45 per class, the top 200 of an image.
    codec, far = square(), -30.0
    logits = np.full((1, 8, 3), far, "float32")
    logits[0, :, 0] = 0
    # Two cells, each with two equal boxes. p / (p0 + p) of class 1: 0.02 and 0.015, of 2: 0.009.
    for n, of, share in ((0, 1, 0.02), (1, 1, 0.015), (2, 2, 0.009), (4, 2, 0.9), (1, 2, 0.5)):
        logits[0, n, of] = np.log(share / (1 - share))
    boxes, scores = codec.decode(np.concatenate([np.zeros((1, 8, 4)), logits], -1))
    found = select_detections(boxes, scores, **codec.postprocessing)
    assert np.array(found["labels"])[0, :4].tolist() == [1, 1, 0, -1]
    assert found["boxes"].shape == (1, 200, 4)
    np.testing.assert_allclose(found["boxes"][0, 0], [0, 8, 8, 16], atol=1e-5)
    np.testing.assert_allclose(found["scores"][0, 0], 0.9, rtol=1e-4)


def test_boxes_end_at_the_image_and_are_never_infinite():
    predictions = np.zeros((1, 8, 6), "float32")
    predictions[..., 2:4] = 1e6
    boxes, _ = square().decode(predictions)
    np.testing.assert_array_equal(boxes[0], np.tile([0.0, 0, 16, 16], (8, 1)))


def test_survives_its_configuration():
    codec = SSDCodec((64, 48), [(8, 6), (4, 3)], [(2,), (3,)], (0.1, 0.2, 0.3), steps=(8, 16))
    config = keras.saving.serialize_keras_object(codec)
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == codec.get_config()
    np.testing.assert_array_equal(again.default_boxes, codec.default_boxes)


def head_network(size=(64, 48), boxes=(4, 6), extra=""):
    image = keras.Input((*size, 1))
    outputs = []
    for i, count in enumerate(boxes):
        x = keras.layers.AveragePooling2D(8 * 2**i)(image)
        outputs.append(keras.layers.Conv2D(4 * count, 1, name=f"{extra}head{i}_boxes")(x))
    return keras.Model(image, outputs, name="net")


def test_reads_the_levels_of_a_network():
    codec = SSDCodec.of(head_network())
    assert codec.size == (64, 48) and codec.feature_sizes == ((8, 6), (4, 3))
    assert codec.aspect_ratios == ((2,), (2, 3)) and codec.steps is None
    codec = SSDCodec.of(head_network(), aspect_ratios=[(1.5,), (2, 4)], scales=(0.1, 0.2, 0.4))
    assert codec.aspect_ratios == ((1.5,), (2, 4)) and codec.scales == (0.1, 0.2, 0.4)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"\(0, 1\); received 1"):
        square(iou_threshold=1)
    with pytest.raises(ValueError, match="four numbers above 0; received"):
        square(variances=(1, 1, 1))
    with pytest.raises(ValueError, match="`scales` one more; received 1, 1, None and 1"):
        SSDCodec((8, 8), [(1, 1)], [()], [0.5])
    with pytest.raises(ValueError, match="no SSD of ours"):
        SSDCodec.of(head_network(extra="my_"))
    with pytest.raises(ValueError, match=r"has \[4, 6\] boxes.*make \[4, 4\]"):
        SSDCodec.of(head_network(), aspect_ratios=[(2,), (2,)])
