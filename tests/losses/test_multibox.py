import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.codecs.ssd import SSDCodec
from kmed.losses.multibox import MultiboxLoss

CODEC = SSDCodec((32, 32), [(4, 4), (2, 2)])
BOXES = len(CODEC.default_boxes)


def cross_entropy(logits, of):
    return np.log(np.exp(logits).sum()) - logits[of]


def plain(y_true, y_pred, negatives=3):
    """Both parts of the whole batch, with loops, as the paper has them."""
    boxes = classes = positives = 0
    for truth, found in zip(y_true, y_pred, strict=True):
        background = []
        matched = 0
        for t, p in zip(truth, found, strict=True):
            if t[4] > 0:
                for error in np.abs(t[:4] - p[:4]):
                    boxes += 0.5 * error**2 if error < 1 else error - 0.5
                classes += cross_entropy(p[4:], int(t[4]))
                matched += 1
            else:
                background.append(cross_entropy(p[4:], 0))
        classes += sum(sorted(background, reverse=True)[: negatives * matched])
        positives += matched
    return boxes / max(1, positives), classes / max(1, positives)


def objects(images=3, count=4, seed=0):
    random = np.random.default_rng(seed)
    low, sides = (
        random.uniform(0, 24, (images, count, 2)),
        random.uniform(4, 20, (images, count, 2)),
    )
    labels = random.integers(-1, 3, (images, count))
    return {
        "boxes": np.concatenate([low, low + sides], -1).astype("float32"),
        "labels": labels.astype("int32"),
    }


def predictions(images=3, seed=0):
    random = np.random.default_rng(seed)
    return (2 * random.normal(size=(images, BOXES, 4 + 4))).astype("float32")


def row(*numbers):
    return list(map(float, numbers))


def test_follows_the_paper_on_a_batch():
    truth, found = np.array(CODEC.targets(objects())), predictions()
    loss = MultiboxLoss()
    boxes, classes = plain(truth, found)
    np.testing.assert_allclose(np.mean(loss.box_loss(truth, found)), boxes, rtol=1e-5)
    np.testing.assert_allclose(np.mean(loss.class_loss(truth, found)), classes, rtol=1e-5)
    np.testing.assert_allclose(loss(truth, found), boxes + classes, rtol=1e-5)


def test_gives_what_torchvision_gives(goldens):
    with np.load(goldens / "ssd300_vgg16.npz") as golden:
        boxes, labels = golden["target_boxes_xyxy"][None], golden["target_labels"][None] - 1
        truth = SSDCodec.ssd300().targets({"boxes": boxes, "labels": labels})
        found = np.concatenate([golden["bbox_regression"], golden["cls_logits"]], -1)[None]
        loss = MultiboxLoss()
        np.testing.assert_allclose(loss.box_loss(truth, found)[0], golden["loss_bbox"], rtol=1e-5)
        np.testing.assert_allclose(loss.class_loss(truth, found)[0], golden["loss_cls"], rtol=1e-5)


def test_negatives_are_mined_three_to_one_in_each_image():
    # Logits (0, z) of background: cross-entropy log(1 + e^z). The second image's negatives are all
    # harder, and yet the first image's three hardest count for its one matched box.
    hard = [5, 4, 3, 2, 1]
    first = [row(0, 0, 0, 0, 1, 1)] + [row(0, 0, 0, 0, 0, 1)] * 5
    second = [row(0, 0, 0, 0, 1, 1)] + [row(0, 0, 0, 0, 0, 1)] * 5
    found = [
        [row(0, 0, 0, 0, 0, 0)] + [row(0, 0, 0, 0, 0, z + add) for z in hard] for add in (0, 10)
    ]
    losses = MultiboxLoss(reduction=None)([first, second], found)
    for loss, add in zip(losses, (0, 10), strict=True):
        expected = np.log(2) + sum(np.log1p(np.exp(z + add)) for z in hard[:3])
        np.testing.assert_allclose(loss, expected, rtol=1e-5)
    two = MultiboxLoss(negatives=2)([first], found[:1])
    np.testing.assert_allclose(two, np.log(2) + np.log1p(np.exp([5, 4])).sum(), rtol=1e-5)


def test_the_loss_is_divided_by_the_positives_of_the_batch():
    # One object in the first image, which has one match, three in the second: four in all.
    codec = SSDCodec((64, 64), [(2, 2)], [()], [0.5, 0.5], iou_threshold=0.9)
    boxes = np.array([[0, 0, 32, 32], [32, 0, 64, 32], [0, 32, 32, 64]], "float32")
    labels = np.array([[0, -1, -1], [0, 0, 0]])
    truth = np.array(codec.targets({"boxes": np.stack([boxes, boxes]), "labels": labels}))
    positives = (truth[..., 4] > 0).sum(axis=1)
    np.testing.assert_allclose(truth[..., 5], 2 / positives.sum())
    found = predictions()[:2, : truth.shape[1]]
    loss = MultiboxLoss(reduction=None)(truth, found)
    unweighted = truth.copy()
    unweighted[..., 5] = 1
    sums = MultiboxLoss(reduction="sum")(unweighted, found)
    np.testing.assert_allclose(np.mean(loss), sums / positives.sum(), rtol=1e-5)


def test_offsets_of_background_cost_nothing():
    truth, found = np.array(CODEC.targets(objects())), predictions()
    other = found.copy()
    other[truth[..., 4] == 0, :4] = 1e6
    for box in ("smooth_l1", "giou", "ciou"):
        loss = MultiboxLoss(box=box, codec=CODEC)
        np.testing.assert_allclose(loss.box_loss(truth, other), loss.box_loss(truth, found))


def test_images_without_objects_train_as_negatives():
    nothing = {"boxes": np.zeros((1, 2, 4)), "labels": np.full((1, 2), -1)}
    truth, found = np.array(CODEC.targets(nothing)), predictions(1)
    assert not truth[..., :5].any() and (truth[..., 5] == 1).all()
    hardest = sorted((cross_entropy(p[4:], 0) for p in found[0]), reverse=True)[:3]
    np.testing.assert_allclose(MultiboxLoss()(truth, found), sum(hardest), rtol=1e-5)
    assert MultiboxLoss(negatives_at_least=0)(truth, found) == 0  # the paper's


def test_few_background_boxes_count_once():
    truth = [[row(0, 0, 0, 0, 1, 1), row(0, 0, 0, 0, 0, 1)]]
    found = [[row(0, 0, 0, 0, 0, 0), row(0, 0, 0, 0, 0, 1)]]
    np.testing.assert_allclose(MultiboxLoss()(truth, found), np.log(2) + np.log1p(np.e), rtol=1e-6)


def test_focal_loss_counts_every_box():
    truth, found = np.array(CODEC.targets(objects(1))), predictions(1)
    expected = 0
    for t, p in zip(truth[0], found[0], strict=True):
        probability = np.exp(-cross_entropy(p[4:], int(t[4])))
        factor = 0.25 if t[4] > 0 else 0.75
        expected -= factor * (1 - probability) ** 2 * np.log(probability)
    loss = MultiboxLoss(focal_gamma=2.0).class_loss(truth, found)
    np.testing.assert_allclose(loss, [expected * truth[0, 0, 5]], rtol=1e-4)


@pytest.mark.parametrize("box", ["giou", "ciou"])
def test_loss_of_overlap(box):
    truth, found = np.array(CODEC.targets(objects())), predictions()
    loss = MultiboxLoss(box=box, codec=CODEC)
    perfect = np.concatenate([truth[..., :4], found[..., 4:]], -1)
    np.testing.assert_allclose(loss.box_loss(truth, perfect), np.zeros(3), atol=1e-4)
    # GIoU of boxes side by side, each 2 x 2 default boxes of 16 pixels: -1 + union over hull.
    codec = SSDCodec((32, 32), [(2, 2)], [()], [0.5, 0.5])
    truth = np.array(codec.targets({"boxes": [[[0.0, 0, 16, 16]]], "labels": [[0]]}))
    found = np.zeros((1, 8, 6), "float32")
    found[..., 0] = truth[..., 0] + 20  # 2 * 16 pixels to the right, 16 of them between
    matched = truth[..., 4].sum()
    expected = {"giou": 1 + 16 / 48, "ciou": 1 + 32**2 / (48**2 + 16**2)}[box]
    result = MultiboxLoss(box=box, codec=codec).box_loss(truth, found)
    np.testing.assert_allclose(result, [expected * matched * truth[0, 0, 5]], rtol=1e-4)


@pytest.mark.parametrize("options", [{}, {"focal_gamma": 0.5}, {"box": "ciou", "codec": CODEC}])
def test_gradients_are_finite(options):
    truth = CODEC.targets(objects())
    found = np.concatenate([predictions()[:2], np.zeros((1, BOXES, 8), "float32")])
    found[0, :, 4] = 200.0
    variable = tf.Variable(found)
    with tf.GradientTape() as tape:
        loss = MultiboxLoss(**options)(truth, variable)
    gradient = tf.convert_to_tensor(tape.gradient(loss, variable))
    assert np.isfinite(gradient).all() and np.abs(gradient[2, :, :4]).max() > 0


def test_half_precision_is_computed_in_float32():
    truth, found = CODEC.targets(objects()), predictions().astype("float16")
    loss = MultiboxLoss()(truth, found)
    assert loss.dtype == "float32"
    np.testing.assert_allclose(loss, MultiboxLoss()(truth, found.astype("float32")), rtol=1e-6)


def test_survives_its_configuration():
    loss = MultiboxLoss(negatives=2, focal_gamma=1.5, box="giou", box_weight=2.0, codec=CODEC)
    config = keras.saving.serialize_keras_object(loss)
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == loss.get_config()
    truth, found = CODEC.targets(objects()), predictions()
    np.testing.assert_array_equal(again(truth, found), loss(truth, found))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"negatives": -1}, "0 or more.*-1"),
        ({"focal_alpha": 2}, "0..1; received .* and 2"),
        ({"box": "l2"}, "one of .*received 'l2'"),
        ({"box": "giou"}, "needs `codec`"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        MultiboxLoss(**options)
