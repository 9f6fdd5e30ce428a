import inspect
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.applications.faster_rcnn import faster_rcnn
from kmed.codecs.faster_rcnn import FasterRCNNCodec
from kmed.trainers.faster_rcnn import LOSSES, FasterRCNN

SIZE = 64


def make(normalization=None, trainer=None, **options):
    """A small trainer; on 64 pixels there are 1,023 anchors.

    Sixteen channels, since oneDNN's gradients of convolutions of fewer crash now and then.
    """
    network = faster_rcnn(
        input_shape=(SIZE, SIZE, 1), classes=2, backbone="vgg11", pyramid_channels=16,
        backbone_options={"filters": (16,) * 5, "normalization": normalization}, head_units=16,
        anchor_sizes=(8, 16, 32, 48, 64), proposals_before=30, proposals=20, canonical_size=64.0,
        **options,
    )  # fmt: skip
    sizes = {"proposals_before": 40, "proposals": 30, "anchors": 64, "rois": 16}
    return FasterRCNN(network, FasterRCNNCodec.of(network), **sizes | (trainer or {}))


def cells(count=4, boxes=3):
    """Images of bright and dark squares with noise, and their objects; one image has none."""
    random = np.random.default_rng(0)
    images = random.normal(size=(count, SIZE, SIZE, 1)).astype("float32") * 0.1
    corners = random.integers(0, SIZE - 24, (count, boxes, 2))
    sides = random.integers(12, 24, (count, boxes, 1))
    found = np.concatenate([corners, corners + sides], axis=-1).astype("float32")
    labels = random.integers(0, 2, (count, boxes))
    labels[-1] = -1
    for i in range(count - 1):
        for (x1, y1, x2, y2), label in zip(found[i].astype(int), labels[i], strict=True):
            images[i, y1:y2, x1:x2] += 2.0 * label - 1.0
    found[labels < 0] = 0
    return images, {"boxes": found, "labels": labels.astype("int32")}


def values(variables):
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def test_has_the_papers_and_torchvisions_numbers():
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(FasterRCNN).parameters.items()
    }
    assert defaults["proposals_before"] == defaults["proposals"] == 2000
    assert (defaults["anchors"], defaults["anchor_share"]) == (256, 0.5)
    assert (defaults["rois"], defaults["roi_share"]) == (512, 0.25)


def test_learns_and_shares_its_weights_with_the_network():
    trainer = make("batch")
    images, objects = cells()
    trainer.compile(keras.optimizers.Adam(3e-3), jit_compile=False)
    before, moving = (
        values(trainer.network.trainable_weights),
        values(trainer.non_trainable_weights),
    )
    data = tf.data.Dataset.from_tensors((images, trainer.codec.targets(objects)))
    history = trainer.fit(
        data.repeat(20), epochs=2, verbose=0, shuffle=False, validation_data=data
    ).history
    assert set(history) == {n for name in ("loss", *LOSSES) for n in (name, f"val_{name}")}
    assert history["loss"][1] < 0.75 * history["loss"][0]
    parts = sum(history[name][0] for name in LOSSES)
    assert parts == pytest.approx(history["loss"][0], rel=1e-4)
    # Joint training: every weight moves, of backbone, pyramid, proposals and head.
    after = values(trainer.network.trainable_weights)
    assert all((a != b).any() for a, b in zip(before, after, strict=True))
    after = values(trainer.non_trainable_weights)
    assert any((a != b).any() for a, b in zip(moving, after, strict=True))
    outputs = trainer.network(images)
    np.testing.assert_allclose(
        trainer.predict(images, verbose=0)["class_logits"], outputs["class_logits"], atol=1e-4
    )


def test_frozen_norm_stays_in_training():
    trainer = make("batch", frozen_norm=True)
    images, objects = cells()
    trainer.compile(keras.optimizers.SGD(0.01), run_eagerly=True)
    norm = [n for n in trainer.network.layers if isinstance(n, keras.layers.BatchNormalization)]
    before = [values(layer.weights) for layer in norm]
    trainer.train_on_batch(images, trainer.codec.targets(objects))
    for old, layer in zip(before, norm, strict=True):
        for a, b in zip(old, values(layer.weights), strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_losses_are_torchvisions_over_all_sampled():
    # So many samples that everything is chosen and nothing is left to chance.
    trainer = make(None, {"anchors": 100_000, "anchor_share": 0.5, "rois": 1000})
    images, objects = cells()
    codec, network = trainer.codec, trainer.network
    losses = trainer.losses_of(images, codec.targets(objects), 0, training=False)
    outputs = {name: np.array(x, "float64") for name, x in network(images).items()}
    offsets, labels = (np.array(x) for x in codec.encode_rpn(objects))
    logits = outputs["rpn_objectness"]
    chosen = labels >= 0
    entropy = np.log1p(np.exp(-np.where(labels == 1, logits, -logits)))
    assert float(losses["rpn_objectness"]) == pytest.approx(entropy[chosen].mean(), rel=1e-4)
    d = np.abs(outputs["rpn_offsets"] - offsets)[labels == 1]
    smooth = np.where(d < 1 / 9, 4.5 * d * d, d - 1 / 18)
    assert float(losses["rpn_boxes"]) == pytest.approx(smooth.sum() / chosen.sum(), rel=1e-4)


def head_samples(trainer, images, objects, step=0):
    """What `losses_of` hands to the head: boxes (B, S, 4) and targets (B, S, 6)."""
    caught = {}
    sample = trainer._sample_boxes

    def catch(*arguments):
        caught["found"] = sample(*arguments)
        return caught["found"]

    trainer._sample_boxes = catch
    trainer.losses_of(images, trainer.codec.targets(objects), step, training=False)
    trainer._sample_boxes = sample
    return [np.array(x) for x in caught["found"]]


def test_the_head_sees_a_quarter_of_positives_and_the_objects_themselves():
    trainer = make()
    images, objects = cells()
    boxes, y_true = head_samples(trainer, images, objects)
    assert boxes.shape == (4, 16, 4) and y_true.shape == (4, 16, 6)
    sampled = y_true[..., 5] > 0
    positive = sampled & (y_true[..., 4] > 0)
    assert positive.sum(axis=1).max() <= 4 and not positive[3].any()
    assert y_true[..., 5].sum() == pytest.approx(4)  # the weights' mean over images is 1
    # A random network proposes nothing useful: what is positive are mostly objects, exactly.
    wide = make(None, {"rois": 40, "roi_share": 1.0})
    boxes, y_true = head_samples(wide, images, objects)
    for i in range(3):
        for box, label in zip(objects["boxes"][i], objects["labels"][i], strict=True):
            same = (boxes[i] == box).all(axis=-1)
            assert same.any() and (y_true[i, same, 4] == label + 1).all()
    # Padded objects and padded proposals are never sampled.
    empty = (boxes == 0).all(axis=-1)
    assert not y_true[empty][:, 5].any()


def test_samples_follow_from_seed_step_and_place():
    images, objects = cells()
    same = {"boxes": objects["boxes"][[0, 0, 0, 0]], "labels": objects["labels"][[0, 0, 0, 0]]}
    trainer = make()
    boxes, y_true = head_samples(trainer, images[[0, 0, 0, 0]], same)
    again, _ = head_samples(trainer, images[[0, 0, 0, 0]], same)
    np.testing.assert_array_equal(boxes, again)
    later, _ = head_samples(trainer, images[[0, 0, 0, 0]], same, step=1)
    assert (boxes != later).any()
    assert (boxes[0] != boxes[1]).any()  # the same image at another place
    other = FasterRCNN.from_config(trainer.get_config() | {"seed": 7})
    other.network.set_weights(trainer.network.get_weights())
    assert (head_samples(other, images[[0, 0, 0, 0]], same)[0] != boxes).any()


def test_the_heads_loss_does_not_move_the_proposals():
    trainer = make()
    images, objects = cells()
    with tf.GradientTape() as tape:
        losses = trainer.losses_of(images, trainer.codec.targets(objects), 0, training=True)
        loss = losses["roi_classes"] + losses["roi_boxes"]
    layer = trainer.network.get_layer
    sources = [layer(n).kernel.value for n in ("rpn_offsets", "rpn_objectness", "block1_conv1")]
    moved, scored, stem = tape.gradient(loss, sources)
    assert moved is None and scored is None and np.abs(stem).max() > 0


def test_mixed_precision_scales_the_loss():
    keras.config.set_dtype_policy("mixed_float16")
    trainer = make()
    images, objects = cells()
    trainer.compile(keras.optimizers.SGD(0.01), jit_compile=False)
    assert isinstance(trainer.optimizer, keras.optimizers.LossScaleOptimizer)
    before = values(trainer.trainable_variables)
    for _ in range(3):  # a first scale that overflows is halved
        logs = trainer.train_on_batch(images, trainer.codec.targets(objects), return_dict=True)
    assert np.isfinite(logs["loss"])
    change = [np.abs(a - b).max() for a, b in zip(before, values(trainer.trainable_variables),
                                                 strict=True)]  # fmt: skip
    assert 0 < max(change) < 1


def on_devices(devices, path):
    """Train for two epochs on logical processors; print losses and save the weights."""
    [processor] = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(
        processor, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    from kmed.distribute import strategy

    with strategy(devices).scope():
        keras.utils.set_random_seed(1)
        trainer = make()
        trainer.compile(keras.optimizers.SGD(0.005, momentum=0.9), jit_compile=False)
    images, objects = cells(7)
    # Batches of four and of three, which two replicas share as 2 + 2 and 2 + 1.
    data = tf.data.Dataset.from_tensor_slices((images, objects)).batch(4)
    data = data.map(lambda image, truth: (image, trainer.codec.targets(truth)))
    history = trainer.fit(data, epochs=2, verbose=0, shuffle=False, validation_data=data).history
    np.savez(path, *values(trainer.network.trainable_weights))
    print(json.dumps(history))


def test_two_replicas_end_where_one_does(run_isolated, tmp_path):
    # oneDNN sums in an order that depends on the threads.
    env = {"TF_ENABLE_ONEDNN_OPTS": "0"}
    printed = [run_isolated(on_devices, n, str(tmp_path / f"{n}.npz"), env=env) for n in (1, 2)]
    one, two = (json.loads(text.splitlines()[-1]) for text in printed)
    for name in one:
        np.testing.assert_allclose(two[name], one[name], rtol=1e-3, atol=1e-5, err_msg=name)
    with np.load(tmp_path / "1.npz") as a, np.load(tmp_path / "2.npz") as b:
        for name in a:
            np.testing.assert_allclose(b[name], a[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rois": 0}, "at least 1; received 40, 30, 64 and 0"),
        ({"roi_share": 1.5}, "received 0.5 and 1.5"),
    ],
)
def test_refuses_what_cannot_be_sampled(options, message):
    with pytest.raises(ValueError, match=message):
        make(trainer=options)
