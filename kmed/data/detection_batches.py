"""From prepared cases and the boxes on them to batches for a detector."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from kmed.data.augmentation import change_intensity
from kmed.data.box_augmentation import BoxAugmentation, draw_mirrors, draw_windows
from kmed.data.box_windows import (
    boxes_through_window,
    compacted,
    image_through_window,
    mirror,
)
from kmed.data.cache import Case
from kmed.data.epochs import common_shape, finished, fold, shuffled_entries
from kmed.data.mosaic import draw_mosaic, draw_sources, joined

# Data sets below this size are read once and kept; larger ones are mapped from the disk.
_KEPT_BYTES = 512 * 2**20
_STREAM_OF_PLANS = 11  # any number that no other draw of an example folds in


def detection_training_batches(
    cases: Sequence[Case],
    objects: Sequence,
    *,
    targets: Callable,
    batch_size: int,
    epochs: int,
    first_epoch: int = 0,
    steps_per_epoch: int | None = None,
    max_boxes: int | None = None,
    augmentation: BoxAugmentation | None = None,
    seed: int = 0,
) -> tuple[tf.data.Dataset, int]:
    """Shuffled, augmented batches with targets for all epochs of a training.

    Epoch `e` is a function of the seed and of `e` alone, as in `training_batches`. Images without
    objects are negatives. Objects marked as difficult are left out.

    Args:
        cases: what `Cache.cases` prepared, of one common size.
        objects: of each case the `Objects`, with boxes in pixels of the prepared image.
        targets: from `{"boxes": (B, M, 4) float32 xyxy in pixels, "labels": (B, M) int32}`, padded
            with zeros and label -1, to what the loss takes; called on the batch of all replicas.
        batch_size: images in a batch, over all replicas.
        epochs: number of the last epoch.
        first_epoch: number of epochs already done.
        steps_per_epoch: batches in an epoch; by default as many as hold each image once.
        max_boxes: rows M of a batch; by default the largest number of objects of any image. A
            mosaic that has more becomes a plain image.
        augmentation: random changes, or None.
        seed: seed of all randomness.

    Returns:
        The dataset of (image `(B, H, W, C)` float32, targets), and the number of batches in an
        epoch.

    Raises:
        ValueError: if there are no cases, images have different sizes, or objects do not fit.
    """
    loader = _Loader(cases, objects, max_boxes)
    entries, steps = shuffled_entries(
        len(loader.cases),
        batch_size=batch_size,
        epochs=epochs,
        first_epoch=first_epoch,
        steps_per_epoch=steps_per_epoch,
        seed=seed,
    )
    plan = _Plan(loader, augmentation or BoxAugmentation.off())
    # What happens to the boxes is drawn for a batch at once: hundreds of small operations, which
    # would take longer than the pixels if they ran for each image.
    dataset = entries.batch(batch_size, drop_remainder=True)
    dataset = dataset.map(plan.drawn, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    dataset = dataset.unbatch()
    dataset = dataset.map(plan.painted, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return _batched(dataset, batch_size, targets, drop_remainder=True), steps


def detection_validation_batches(
    cases: Sequence[Case],
    objects: Sequence,
    *,
    targets: Callable,
    batch_size: int,
    images: int | None = None,
    max_boxes: int | None = None,
) -> tf.data.Dataset:
    """Batches of each image once, in order and unchanged.

    Args:
        cases: what `Cache.cases` prepared, of one common size.
        objects: as in `detection_training_batches`.
        targets: as in `detection_training_batches`.
        batch_size: images in a batch; the last may be smaller.
        images: how many to take, from the first; by default all.
        max_boxes: rows M of a batch; by default the largest number of objects of any image.

    Returns:
        The dataset of (image `(B, H, W, C)` float32, targets).

    Raises:
        ValueError: as `detection_training_batches`.
    """
    loader = _Loader(cases, objects, max_boxes)
    count = len(loader.cases) if images is None else min(images, len(loader.cases))
    dataset = tf.data.Dataset.range(count).map(
        lambda entry: (loader.image(entry), *loader.objects(entry)),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    return _batched(dataset, batch_size, targets, drop_remainder=False)


def _batched(dataset, batch_size, targets, *, drop_remainder):
    dataset = dataset.batch(batch_size, drop_remainder=drop_remainder)
    dataset = dataset.map(
        lambda images, boxes, labels: (images, targets({"boxes": boxes, "labels": labels})),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    return finished(dataset)


class _Plan:
    """Draws what happens to a batch, with its boxes, and then does it to each image."""

    def __init__(self, loader, augmentation):
        self.loader, self.augmentation = loader, augmentation
        if augmentation.mosaic and len(loader.cases) < 4:
            raise ValueError(
                f"`mosaic` takes parts of four images; received {len(loader.cases)} cases"
            )
        sizes = augmentation.sizes or [loader.shape[:2]]
        self.sizes = np.array(sizes, np.int32)

    def drawn(self, entries, seeds):
        """Give of each image its sources, windows, mirrors and corners, and the boxes it gets."""
        # The first example's seed stands for the batch: it depends on seed, epoch and step.
        seed = fold(seeds[0], _STREAM_OF_PLANS)
        sizing, windows, mirrors, mosaics = tf.unstack(tf.random.split(seed, 4))
        number = tf.random.stateless_uniform([], sizing, maxval=len(self.sizes), dtype=tf.int32)
        shown = tf.constant(self.sizes)[number]
        boxes, labels = self.loader.objects(entries)
        window = draw_windows(boxes, labels, self.loader.shape[:2], windows, self.augmentation)
        mirrored = draw_mirrors([tf.shape(entries)[0]], mirrors, self.augmentation)
        target = tf.cast(tf.stack([0, 0, shown[1], shown[0]]), tf.float32)
        target = tf.broadcast_to(target, tf.shape(window))
        boxes, labels = compacted(*boxes_through_window(boxes, labels, window, mirrored, target))
        plan = {"seed": seeds, "shown": tf.broadcast_to(shown, [tf.shape(entries)[0], 2])}
        single = (entries, window, mirrored, target)
        if not self.augmentation.mosaic:
            return plan | dict(zip(_FIELDS, single, strict=True)), boxes, labels
        return self._with_mosaics(plan, single, boxes, labels, shown, mosaics)

    def painted(self, plan, boxes, labels):
        """Give the image of a plan, with its boxes."""
        if not self.augmentation.resamples:
            image = mirror(self.loader.image(plan["entry"]), plan["mirrored"])
        elif not self.augmentation.mosaic:
            image = self._part(*(plan[field] for field in _FIELDS))
        else:
            image = tf.cond(
                plan["mosaic"],
                lambda: joined([self._part(*(plan[f][k] for f in _FIELDS)) for k in range(4)]),
                lambda: self._part(*(plan[field][0] for field in _FIELDS)),
            )
        if self.augmentation.contrast or self.augmentation.brightness or self.augmentation.noise:
            image = change_intensity(image, plan["seed"], self.augmentation)
        height, width = self.sizes[0] if len(self.sizes) == 1 else (None, None)
        return tf.ensure_shape(image, [height, width, self.loader.shape[2]]), boxes, labels

    def _part(self, entry, window, mirrored, target):
        size = tf.cast(target[2:] - target[:2], tf.int32)[::-1]
        return image_through_window(self.loader.image(entry), window, mirrored, size)

    def _with_mosaics(self, plan, single, boxes, labels, shown, seed):
        """Replace some of the images by mosaics of them and three others."""
        entries, count = single[0], tf.shape(single[0])[0]
        wishing, picking, placing, mirroring = tf.unstack(tf.random.split(seed, 4))
        sources = draw_sources(entries, len(self.loader.cases), picking)
        windows, corners = draw_mosaic(count, self.loader.shape[:2], shown, placing)
        mirrored = draw_mirrors([count, 4], mirroring, self.augmentation)
        several = boxes_through_window(*self.loader.objects(sources), windows, mirrored, corners)
        rows = 4 * self.loader.max_boxes
        several_boxes = tf.reshape(several[0], [count, rows, 4])
        several_labels = tf.reshape(several[1], [count, rows])
        number = tf.reduce_sum(tf.cast(several_labels >= 0, tf.int32), axis=-1)
        mosaic = tf.random.stateless_uniform([count], wishing) < self.augmentation.mosaic
        mosaic &= number <= self.loader.max_boxes  # no object is lost without a word
        several = compacted(several_boxes, several_labels, self.loader.max_boxes)
        boxes = tf.where(mosaic[:, None, None], several[0], boxes)
        labels = tf.where(mosaic[:, None], several[1], labels)
        parts = (sources, windows, mirrored, corners)
        for field, one, four in zip(_FIELDS, single, parts, strict=True):
            chosen = tf.reshape(mosaic, [count] + [1] * (four.shape.rank - 1))
            plan[field] = tf.where(chosen, four, tf.repeat(one[:, None], 4, axis=1))
        return plan | {"mosaic": mosaic}, boxes, labels


_FIELDS = ("entry", "window", "mirrored", "target")  # of one part of an image


class _Loader:
    """Reads the image and the objects of entry `i`."""

    def __init__(self, cases, objects, max_boxes):
        if not cases:
            raise ValueError("`cases` must not be empty: there is nothing to make batches of")
        if len(objects) != len(cases):
            raise ValueError(
                "`objects` must give the objects of each case; received "
                f"{len(objects)} for {len(cases)} cases"
            )
        self.cases = list(cases)
        channels = self.cases[0].image().shape[-1]
        self.shape = (*common_shape(cases, 2), channels)
        self._boxes, self._labels = _padded(objects, max_boxes)
        self.max_boxes = self._labels.shape[1]
        self.kept = None
        if len(cases) * int(np.prod(self.shape)) * 4 <= _KEPT_BYTES:
            self.kept = [np.array(case.image(), np.float32) for case in self.cases]

    def image(self, entry):
        """Give the image of an entry, `(H, W, C)`."""
        image = tf.numpy_function(self._read, [entry], tf.float32)
        return tf.ensure_shape(image, self.shape)

    def objects(self, entries):
        """Give the boxes `(..., M, 4)` and labels `(..., M)` of entries."""
        return tf.gather(self._boxes, entries), tf.gather(self._labels, entries)

    def _read(self, entry):
        if self.kept is not None:
            return self.kept[entry]
        return np.array(self.cases[entry].image(), np.float32)


def _padded(objects, max_boxes):
    """Boxes `(N, M, 4)` and labels `(N, M)` of all images but for what is difficult."""
    kept = [_without_difficult(index, each) for index, each in enumerate(objects)]
    counts = [len(labels) for _, labels in kept]
    rows = max(1, max(counts)) if max_boxes is None else max_boxes
    if max(counts) > rows:
        raise ValueError(
            f"`max_boxes` must be at least {max(counts)}, the number of objects in image "
            f"{int(np.argmax(counts))}; received {max_boxes}"
        )
    all_boxes = np.zeros((len(kept), rows, 4), np.float32)
    all_labels = np.full((len(kept), rows), -1, np.int32)
    for index, (boxes, labels) in enumerate(kept):
        all_boxes[index, : len(labels)] = boxes
        all_labels[index, : len(labels)] = labels
    return all_boxes, all_labels


def _without_difficult(index, objects):
    boxes, labels = np.asarray(objects.boxes, np.float32), np.asarray(objects.labels)
    if boxes.reshape(-1, 4).shape[0] != len(labels) or (len(labels) and labels.min() < 0):
        raise ValueError(
            f"`objects[{index}]` must have a box and a label of 0 or greater for each object; "
            f"received boxes {boxes.shape}, labels {labels[:10]}"
        )
    difficult = getattr(objects, "difficult", None)
    kept = np.ones(len(labels), bool) if difficult is None else ~np.asarray(difficult, bool)
    return boxes.reshape(-1, 4)[kept], labels[kept]
