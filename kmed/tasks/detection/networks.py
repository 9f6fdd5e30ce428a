"""A detector before its training and after it: network, codec and what it is fitted by."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import keras
import numpy as np

from kmed import distribute
from kmed.codecs import FasterRCNNCodec, SSDCodec, YOLOv3Codec
from kmed.data import BoxAugmentation, Objects, anchor_clusters
from kmed.losses import MultiboxLoss, YOLOv3Loss
from kmed.tasks.detection.settings import Settings
from kmed.tasks.optimizers import scheduled_adam
from kmed.trainers.faster_rcnn import FasterRCNN

Builder = Callable[..., keras.Model]


def build(builder: Builder, settings: Settings, channels: int, classes: int) -> keras.Model:
    """Build the settings' network for images of so many channels.

    Args:
        builder: such as `kmed.applications.ssd300`.
        settings: size and the builder's options.
        channels: of the image.
        classes: number of classes of objects.

    Returns:
        The network.
    """
    shape = (*settings.size, channels)
    return builder(input_shape=shape, classes=classes, **settings.network)


def codec_of(network: keras.Model, settings: Settings, objects: Sequence[Objects] = ()):
    """Give the codec of a network.

    Args:
        network: of the settings' detector.
        settings: detector, anchors and the codec's options.
        objects: of the training images, in pixels of the network's input; for anchors="data".

    Returns:
        An object of `kmed.codecs`.
    """
    if settings.detector == "ssd":
        return SSDCodec.of(network, **settings.codec)
    if settings.detector == "faster_rcnn":
        return FasterRCNNCodec.of(network, **settings.codec)
    options = {}
    if settings.anchors == "data":
        sides = np.concatenate([one.boxes[:, 2:] - one.boxes[:, :2] for one in objects])
        count = len(YOLOv3Codec.of(network).anchors)
        options["anchors"] = anchor_clusters(sides, count, seed=settings.seed).anchors
    return YOLOv3Codec.of(network, **(options | settings.codec))


def augmentation(settings: Settings) -> BoxAugmentation:
    """Give the detector's own augmentation as the settings change it.

    Args:
        settings: detector, flip, augment and augmentation.

    Returns:
        The augmentation: `augment` changes the preset, `augmentation` counts as it is.

    Raises:
        ValueError: for an argument that BoxAugmentation does not have.
    """
    preset = {
        "ssd": BoxAugmentation.ssd,
        "yolov3": BoxAugmentation.yolo,
        "faster_rcnn": BoxAugmentation.faster_rcnn,
    }[settings.detector]()
    changes = {"flip": settings.flip} | settings.augmentation
    unknown = sorted(set(changes) - {one.name for one in dataclasses.fields(preset)})
    if unknown:
        raise ValueError(f"`augmentation` takes what BoxAugmentation has; received {unknown}")
    return dataclasses.replace(preset.scaled(settings.augment), **changes)


def compiled(network: keras.Model, codec, settings: Settings, steps: int) -> keras.Model:
    """Compile with Adam, a warm-up and a cosine decay, and the detector's loss.

    Args:
        network: of the settings' detector.
        codec: its codec.
        settings: learning rate and the loss' options.
        steps: batches of the whole training.

    Returns:
        What is fitted: the network itself, or the trainer around it.
    """
    optimizer = scheduled_adam(
        settings.learning_rate,
        steps,
        weight_decay=settings.weight_decay,
        warm_up_share=0.05,
        longest_warm_up=500,
    )
    if settings.detector == "faster_rcnn":
        trainer = FasterRCNN(network, codec, seed=settings.seed, **settings.loss)
        trainer.compile(optimizer, jit_compile=distribute.jit_compile())
        return trainer
    kind = {"ssd": MultiboxLoss, "yolov3": YOLOv3Loss}[settings.detector]
    loss = kind(codec=codec, **settings.loss)
    network.compile(optimizer, loss, jit_compile=distribute.jit_compile())
    return network
