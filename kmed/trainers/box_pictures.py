"""Predicted and true boxes of some images, for TensorBoard, while a detector is trained."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf


class BoxPictures(keras.callbacks.Callback):
    """Draw what the network finds in the same few images after every so many epochs.

    `tensorboard --logdir FOLDER` then shows one picture with a slider over the epochs. The images
    go through the network as they are, so they are prepared as those of the training; their
    number is the batch's size.

    Args:
        images: `(B, H, W, C)` float32, at the network's size.
        objects: of each image its `boxes` `(N, 4)` as (x1, y1, x2, y2) in pixels of the prepared
            image and its `labels` `(N,)`, as attributes.
        decode: turns what the network gives for the images into `boxes` `(B, M, 4)`, `scores`
            `(B, M)`, `labels` `(B, M)` and `count` `(B,)`, as `kmed.ops` `select_detections` does.
        draw: of the images, the detections and the reference, one dict for each image, makes one
            `(H', W', 3)` uint8 picture; such as `kmed.results.box_sheet` with its `labels` set.
        every: epochs from one picture to the next; the first epoch has one too.
        folder: for TensorBoard's files.

    Raises:
        ValueError: if there is no image, not one entry of `objects` for each, or `every` is not
            positive.
    """

    def __init__(
        self,
        images: np.ndarray,
        objects: Sequence[Any],
        *,
        decode: Callable[[Any], Mapping[str, Any]],
        draw: Callable[[Sequence[np.ndarray], list[dict], list[dict]], np.ndarray],
        folder: str | os.PathLike,
        every: int = 1,
    ):
        super().__init__()
        self.images = np.asarray(images, np.float32)
        if self.images.ndim != 4 or not len(self.images) or len(objects) != len(self.images):
            raise ValueError(
                "`images` must be (B, H, W, C) and `objects` have one entry for each; received "
                f"{self.images.shape} and {len(objects)}"
            )
        if every < 1:
            raise ValueError(f"`every` must be at least 1; received {every}")
        self.truth = [
            {"boxes": np.asarray(one.boxes), "labels": np.asarray(one.labels)} for one in objects
        ]
        self.decode, self.draw, self.every = decode, draw, every
        self.folder = Path(folder)
        self._writer = None

    def on_epoch_end(self, epoch, logs=None):
        """Draw, if it is this epoch's turn."""
        if epoch % self.every:
            return
        if self._writer is None:
            self._writer = tf.summary.create_file_writer(str(self.folder))
        picture = self.draw(list(self.images), self.detections(), self.truth)
        with self._writer.as_default(step=epoch):
            tf.summary.image("boxes", picture[np.newaxis])
        self._writer.flush()

    def on_train_end(self, logs=None):
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def detections(self) -> list[dict[str, np.ndarray]]:
        """What the network finds now.

        Returns:
            For each image `boxes` `(N, 4)`, `scores` `(N,)` and `labels` `(N,)`.
        """
        # Not `predict`: under a distribution strategy it would run the batch on every replica.
        found = self.decode(self.model(self.images, training=False))
        found = {name: keras.ops.convert_to_numpy(value) for name, value in found.items()}
        return [
            {name: found[name][i, :count] for name in ("boxes", "scores", "labels")}
            for i, count in enumerate(found["count"].tolist())
        ]
