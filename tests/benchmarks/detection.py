"""What detection costs beside its network, as ratios of one run.

    python tests/benchmarks/detection.py

1. Decoding and non-maximum suppression of SSD300 (8,732 boxes, 20 classes and background) against
   torchvision's algorithm in plain NumPy on the same outputs, and its share of the inference of one
   image.
2. The input pipeline: augmented and encoded images of 300x300 pixels per second, boxes carried
   along.
3. A training step of SSD300, YOLOv3 and Faster R-CNN (narrow networks, batch 4) against the same
   network of features under plain `keras.Model.compile` with a mean squared error.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time

os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "2")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from kmed import applications
from kmed.codecs import FasterRCNNCodec, SSDCodec, YOLOv3Codec
from kmed.data import Arrays, BoxAugmentation, Objects, Sample, detection_training_batches
from kmed.data.cache import Cache
from kmed.losses import MultiboxLoss, YOLOv3Loss
from kmed.ops.suppression import select_detections
from kmed.trainers.faster_rcnn import FasterRCNN

BATCH, SIZE = 4, 300


def seconds(call, repeats: int = 12, warm_up: int = 3) -> float:
    """Median of repeated calls."""
    times = []
    for turn in range(repeats + warm_up):
        start = time.perf_counter()
        call()
        if turn >= warm_up:
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def overlap(box, boxes):
    sides = np.clip(np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2]), 0, None)
    both = sides[:, 0] * sides[:, 1]
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return both / ((box[2] - box[0]) * (box[3] - box[1]) + areas - both)


def plain_detections(outputs: np.ndarray, defaults: np.ndarray) -> tuple[np.ndarray, ...]:
    """torchvision's `SSD.postprocess_detections` in NumPy."""
    logits = outputs[:, 4:]
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores /= scores.sum(axis=1, keepdims=True)
    sides = defaults[:, 2:] - defaults[:, :2]
    centres = (defaults[:, :2] + defaults[:, 2:]) / 2 + outputs[:, :2] * 0.1 * sides
    sides = sides * np.exp(np.minimum(outputs[:, 2:4] * 0.2, np.log(1000 / 16)))
    boxes = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1).clip(0, SIZE)
    kept_boxes, kept_scores, kept_labels = [], [], []
    for label in range(1, logits.shape[1]):
        chosen = np.flatnonzero(scores[:, label] > 0.01)
        chosen = chosen[np.argsort(-scores[chosen, label], kind="stable")[:400]]
        while len(chosen):
            best, chosen = chosen[0], chosen[1:]
            kept_boxes.append(boxes[best])
            kept_scores.append(scores[best, label])
            kept_labels.append(label - 1)
            chosen = chosen[overlap(boxes[best], boxes[chosen]) <= 0.45]
    order = np.argsort(-np.array(kept_scores), kind="stable")[:200]
    return np.array(kept_boxes)[order], np.array(kept_scores)[order], np.array(kept_labels)[order]


def decoding() -> None:
    codec = SSDCodec.ssd300()
    random = np.random.default_rng(0)
    outputs = random.normal(0, 1, (1, 8732, 25)).astype("float32")
    outputs[..., 4] += 6  # background; a trained network is as sure
    seen = random.choice(8732, 300, replace=False)
    outputs[0, seen, 5 + random.integers(20, size=300)] += 9
    decode = tf.function(
        lambda x: select_detections(*codec.decode(x), **codec.postprocessing), autograph=False
    )
    tensor = tf.constant(outputs)
    found = {name: value.numpy()[0] for name, value in decode(tensor).items()}
    boxes, scores, labels = plain_detections(outputs[0], codec.default_boxes)
    count = found["count"]
    assert count == len(scores) and np.array_equal(found["labels"][:count], labels)
    assert np.abs(found["boxes"][:count] - boxes).max() < 1e-3
    ours = seconds(lambda: decode(tensor))
    plain = seconds(lambda: plain_detections(outputs[0], codec.default_boxes))
    network = applications.ssd300()
    infer = tf.function(lambda x: network(x, training=False), autograph=False)
    image = tf.constant(random.normal(size=(1, SIZE, SIZE, 3)).astype("float32"))
    forward = seconds(lambda: infer(image))
    print(
        f"decode and suppress 8,732 boxes of 21 classes: kmed {1e3 * ours:.1f} ms, plain NumPy "
        f"{1e3 * plain:.1f} ms, ratio {ours / plain:.2f}; {count} detections, the same"
    )
    print(
        f"share of SSD300's inference ({1e3 * (forward + ours):.0f} ms an image): "
        f"{100 * ours / (forward + ours):.1f}%"
    )


def drawn(number: int) -> tuple[np.ndarray, Objects]:
    random = np.random.default_rng(number)
    corners, sides = random.uniform(0, 200, (10, 2)), random.uniform(15, 90, (10, 2))
    boxes = np.concatenate([corners, corners + sides], axis=1)
    image = random.normal(size=(SIZE, SIZE, 3)).astype("float32")
    return image, Objects(boxes=boxes, labels=random.integers(20, size=10))


def pipeline() -> None:
    with tempfile.TemporaryDirectory() as folder:
        samples, objects = [], []
        for i in range(64):
            image, known = drawn(i)
            file = f"{folder}/{i}"
            open(file, "wb").close()
            arrays = Arrays(image, None, (1.0, 1.0), None)
            samples.append(
                Sample(id=str(i), patient=str(i), files=(file,), read=lambda a=arrays: a)
            )
            objects.append(known)
        cache = Cache(f"{folder}/cache", lambda image, mask, spacing: (image, None, None), {})
        cases, codec = cache.cases(samples), SSDCodec.ssd300()
        for name, augmentation in (("as they are", None), ("SSD's", BoxAugmentation.ssd())):
            batches, _ = detection_training_batches(
                cases,
                objects,
                targets=codec.targets,
                batch_size=8,
                epochs=20,
                augmentation=augmentation,
            )
            iterator = iter(batches)
            for _ in range(10):
                next(iterator)
            start = time.perf_counter()
            for _ in range(60):
                next(iterator)
            rate = 480 / (time.perf_counter() - start)
            print(f"input pipeline, augmentation {name}: {rate:.0f} images/s of 300x300x3, encoded")


def steps() -> None:
    random = np.random.default_rng(0)
    known = [drawn(i)[1] for i in range(BATCH)]
    objects = {
        "boxes": np.stack([one.boxes for one in known]),
        "labels": np.stack([one.labels for one in known]),
    }
    narrow = {"backbone": "resnet18", "backbone_options": {"width": 16}}
    rows = {
        "SSD300": (
            lambda: applications.ssd300(filters=(16, 32, 64, 128, 128), dense_filters=256),
            SIZE,
        ),
        "YOLOv3": (
            lambda: applications.yolov3(classes=20, width=8, input_shape=(320, 320, 3)),
            320,
        ),
        "Faster R-CNN": (
            lambda: applications.faster_rcnn(
                classes=20, input_shape=(320, 320, 3), pyramid_channels=64, head_units=128, **narrow
            ),
            320,
        ),
    }
    for name, (build, size) in rows.items():
        image = random.normal(size=(BATCH, size, size, 3)).astype("float32")
        network = build()
        if name == "Faster R-CNN":
            codec = FasterRCNNCodec.of(network)
            fitted = FasterRCNN(network, codec, proposals_before=500, proposals=200, rois=128)
            fitted.compile(keras.optimizers.Adam(1e-4), jit_compile=False)
            plain_network, outputs = fitted.features, fitted.features.output
        else:
            kind, loss = {"SSD300": (SSDCodec, MultiboxLoss), "YOLOv3": (YOLOv3Codec, YOLOv3Loss)}[
                name
            ]
            codec, fitted = kind.of(network), network
            network.compile(keras.optimizers.Adam(1e-4), loss(codec=codec), jit_compile=False)
            plain_network, outputs = build(), network.output
        targets = codec.targets(objects)
        ours = seconds(lambda f=fitted, x=image, y=targets: f.train_on_batch(x, y), 8)
        zeros = keras.tree.map_structure(
            lambda output: np.zeros((BATCH, *output.shape[1:]), "float32"), outputs
        )
        plain_network = keras.Model(plain_network.input, plain_network.output)
        plain_network.compile(keras.optimizers.Adam(1e-4), "mse", jit_compile=False)
        plain = seconds(lambda f=plain_network, x=image, y=zeros: f.train_on_batch(x, y), 8)
        print(
            f"training step, {name}: {ours:.3f} s, plain compile {plain:.3f} s, ratio "
            f"{ours / plain:.2f}"
        )


if __name__ == "__main__":
    decoding()
    pipeline()
    steps()
