"""One whole case through a bundle: the same way in evaluation and in prediction."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from kmed.data.resampling import resample, resampled_shape
from kmed.data.sample import DataError
from kmed.export import Bundle
from kmed.export.decoder import SegmentationDecoder
from kmed.tasks.sliding_window import sliding_window

_BATCH = 8  # slices or windows at a time


class Segmentation(NamedTuple):
    """Result of one case.

    Attributes:
        labels: `(H, W)` or `(D, H, W)` uint8, on the grid of the image.
        probabilities: `(..., K)` float32, or None where they were not asked for.
    """

    labels: np.ndarray
    probabilities: np.ndarray | None


class WholeCase:
    """Segments images and volumes of any size with one bundle, compiled once.

    A bundle trained on patches sees a volume through a sliding window; one trained on whole
    images sees each image, or each slice of a volume, at once.

    Args:
        bundle: the bundle.
        overlap: share of a window that the next one covers too.
        flips: average over mirrored inputs.
    """

    def __init__(self, bundle: Bundle, *, overlap: float = 0.5, flips: bool = False):
        self.bundle, self.overlap, self.flips = bundle, overlap, flips
        self.rank, self.channels = bundle.rank, bundle.channels
        self.window = bundle.metadata.get("window")  # size of the network's output, or None
        self.margin = bundle.metadata.get("margin", 0)
        # Keras' predict doubles the time of a small network; a traced function does not.
        self._prepare = tf.function(
            lambda x: bundle.preprocessor(x, training=False), reduce_retracing=True
        )
        decode = SegmentationDecoder()
        self._network = tf.function(
            lambda x: decode(bundle.network(x, training=False))["probabilities"],
            reduce_retracing=True,
        )
        self._whole = tf.function(lambda x: bundle.model(x, training=False), reduce_retracing=True)

    def __call__(
        self,
        image: np.ndarray,
        spacing_mm: tuple[float, ...],
        *,
        probabilities: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Segmentation:
        """Segment one case.

        Args:
            image: `(H, W, C)` or `(D, H, W, C)` raw values; a volume may be memory-mapped.
            spacing_mm: distance of neighbouring values along each spatial axis.
            probabilities: keep the probabilities as well.
            progress: called with the number of steps done and of all.

        Returns:
            Labels, and probabilities if asked for, on the image's grid.

        Raises:
            DataError: if rank or channels are not the network's.
        """
        axes = image.ndim - 1
        if axes < self.rank or axes > 3 or image.shape[-1] != self.channels:
            raise DataError(
                f"the network takes {self.rank}D images of {self.channels} channel(s); received "
                f"an array of shape {image.shape} (channels last)"
            )
        if self.window is None:
            parts = self._whole_images(image, progress)
        else:
            parts = self._windows(image, spacing_mm, progress)
        labels = np.zeros(image.shape[:-1], np.uint8)
        kept = None
        for first, values in parts:
            rows = slice(first, first + len(values))
            labels[rows] = _decide(values)
            if probabilities:
                if kept is None:
                    kept = np.zeros((*image.shape[:-1], values.shape[-1]), np.float32)
                kept[rows] = values
        return Segmentation(labels, kept)

    def _whole_images(self, image, progress):
        """Each image, or each slice of a volume of a 2D network, at once."""
        single = image.ndim - 1 == self.rank
        images = image[None] if single else image
        for first in range(0, len(images), _BATCH):
            batch = np.asarray(images[first : first + _BATCH], np.float32)
            values = self._whole(tf.constant(batch))["probabilities"].numpy()
            if self.flips:
                flipped = self._whole(tf.constant(batch[:, :, ::-1]))["probabilities"].numpy()
                values = (values + flipped[:, :, ::-1]) / 2
            yield (0, values[0]) if single else (first, values)
            if progress:
                progress(min(first + _BATCH, len(images)), len(images))

    def _windows(self, image, spacing_mm, progress):
        single = image.ndim - 1 == self.rank
        if not single:  # a 2D network on a volume
            for row in range(len(image)):
                slice_mm = tuple(spacing_mm)[1:]
                values = [v for _, v in self._windows(image[row], slice_mm, None)]
                yield row, np.concatenate(values)[None]
                if progress:
                    progress(row + 1, len(image))
            return
        shape = image.shape[:-1]
        wanted = self.bundle.spacing_mm
        grid = resampled_shape(shape, spacing_mm, wanted) if wanted else shape
        if grid != shape:
            image = resample(image, grid, order=1)
        prepared = self._prepare(tf.constant(np.asarray(image, np.float32)[None])).numpy()[0]
        parts = sliding_window(
            lambda windows: self._network(tf.constant(windows)).numpy(),
            prepared,
            self.window,
            margin=self.margin,
            overlap=self.overlap,
            batch_size=_BATCH if self.rank == 2 else 2,
            flips=self.flips,
            progress=progress,
        )
        if grid == shape:
            yield from parts
        else:  # the whole grid is needed to go back to the image's
            yield 0, resample(np.concatenate([v for _, v in parts]), shape, order=1)


def _decide(probabilities: np.ndarray) -> np.ndarray:
    if probabilities.shape[-1] == 1:
        return (probabilities[..., 0] > 0.5).astype(np.uint8)
    return probabilities.argmax(axis=-1).astype(np.uint8)
