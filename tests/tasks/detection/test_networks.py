import keras
import numpy as np
import pytest

from kmed.applications import faster_rcnn, ssd, yolov3_tiny
from kmed.codecs import FasterRCNNCodec, SSDCodec, YOLOv3Codec
from kmed.data import Objects
from kmed.losses import MultiboxLoss, YOLOv3Loss
from kmed.tasks.detection import Settings
from kmed.tasks.detection.networks import augmentation, build, codec_of, compiled
from kmed.trainers.faster_rcnn import FasterRCNN

TINY = {
    "ssd": (ssd, {"backbone_options": {"width": 4}, "extra_filters": ()}),
    "yolov3": (yolov3_tiny, {"width": 2}),
    "faster_rcnn": (
        faster_rcnn,
        {
            "backbone": "resnet18",
            "backbone_options": {"width": 4},
            "pyramid_channels": 4,
            "head_units": 4,
        },
    ),
}


@pytest.mark.parametrize(
    "detector, codec, loss",
    [
        ("ssd", SSDCodec, MultiboxLoss),
        ("yolov3", YOLOv3Codec, YOLOv3Loss),
        ("faster_rcnn", FasterRCNNCodec, None),
    ],
)
def test_each_detector_has_its_codec_and_algorithm(detector, codec, loss):
    builder, options = TINY[detector]
    settings = Settings(detector=detector, size=(64, 96), network=options)
    network = build(builder, settings, 1, 3)
    found = codec_of(network, settings)
    assert isinstance(found, codec) and found.class_count(network.output) == 3
    fitted = compiled(network, found, settings, 1000)
    if loss is None:
        assert isinstance(fitted, FasterRCNN) and fitted.network is network
    else:
        assert fitted is network and isinstance(network.loss, loss)
    rates = [float(fitted.optimizer.learning_rate)]
    for step in (50, 1000):
        fitted.optimizer.iterations.assign(step)
        rates.append(float(fitted.optimizer.learning_rate))
    assert rates == pytest.approx([0.0, settings.learning_rate, 0.0], abs=1e-8)


def test_anchors_come_from_the_boxes_of_the_training():
    builder, options = TINY["yolov3"]
    settings = Settings(detector="yolov3", anchors="data", size=(64, 64), network=options)
    sides = np.repeat([[4.0, 6], [8, 8], [10, 20], [20, 10], [30, 30], [40, 50]], 3, axis=0)
    boxes = np.concatenate([np.zeros_like(sides), sides], axis=1)
    objects = [Objects(boxes=boxes, labels=np.zeros(len(boxes)))]
    codec = codec_of(build(builder, settings, 1, 1), settings, objects)
    assert sorted(codec.anchors) == sorted(map(tuple, np.unique(sides, axis=0).tolist()))


def test_augmentation_is_the_detectors_own_and_can_be_changed():
    assert augmentation(Settings(detector="ssd")).crop == "ssd"
    assert augmentation(Settings(detector="yolov3")).jitter == pytest.approx(0.3)
    assert augmentation(Settings(detector="faster_rcnn")).zoom_out == 1.0
    changed = augmentation(Settings(augment=0.0, flip="all", augmentation={"mosaic": 0.5}))
    assert (changed.flip, changed.mosaic, changed.zoom_out) == ("all", 0.5, 1.0)
    with pytest.raises(ValueError, match=r"BoxAugmentation has; received \['jiter'\]"):
        augmentation(Settings(augmentation={"jiter": 1}))


def test_weight_decay_leaves_biases_and_scales_alone():
    builder, options = TINY["ssd"]
    settings = Settings(size=(64, 64), network=options, weight_decay=0.1)
    network = build(builder, settings, 1, 2)
    fitted = compiled(network, codec_of(network, settings), settings, 10)
    assert isinstance(fitted.optimizer, keras.optimizers.AdamW)
    fitted.optimizer.build(network.trainable_variables)
    decays = {
        v.path.rpartition("/")[2]
        for v in network.trainable_variables
        if fitted.optimizer._use_weight_decay(v)
    }
    assert decays == {"kernel"}
