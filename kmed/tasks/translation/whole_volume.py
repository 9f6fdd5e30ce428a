"""One whole image or volume through a translator: the same way in evaluation and in prediction."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from kmed.data.sample import DataError
from kmed.export import Bundle
from kmed.tasks.sliding_window import sliding_window

_BATCH = 8  # slices or windows of a slice at a time
_POINTWISE = ("ct", "intensity", "rgb")  # preprocessors that look at each voxel alone


class WholeVolume:
    """Translates images and volumes of any size with one bundle, compiled once.

    A 2D network sees a volume slice by slice. A network that was trained on patches, or a 3D
    network that takes voxels as they are (`fit="pad"`), sees an image through a sliding window
    whose results are blended with Gaussian weights. Beside the image and its translation only some
    slices or windows are kept in memory.

    Reference: Isensee et al. 2021, "nnU-Net", Methods, "Inference" (windows and their weights).

    Args:
        bundle: a bundle whose decoder gives "image". Its metadata may name a "window", the size of
            the patches along each of the network's spatial axes.
        overlap: share of a window that the next one covers too, in [0, 1).

    Raises:
        ValueError: for a bundle that gives no images, an overlap out of its range, or a window that
            the network cannot take.
    """

    def __init__(self, bundle: Bundle, *, overlap: float = 0.5):
        outputs = bundle.decoder.outputs
        if "image" not in outputs:
            raise ValueError(
                f"`bundle` must give an image, as a translator's does; {bundle.name} gives "
                f"{', '.join(outputs)}"
            )
        if not 0 <= overlap < 1:
            raise ValueError(f"`overlap` must be in [0, 1); received {overlap}")
        self.bundle, self.overlap = bundle, overlap
        self.rank, self.channels = bundle.rank, bundle.channels
        self.window = _window(bundle)
        self._pointwise = bundle.preprocessor.name in _POINTWISE
        self._whole = _traced(lambda x: bundle.model(x, training=False)["image"])
        self._prepare = _traced(lambda x: bundle.preprocessor(x, training=False))
        # The way back to raw units is linear: windows can be blended in those.
        self._network = _traced(
            lambda x: bundle.decoder(bundle.network(x, training=False))["image"]
        )

    def __call__(
        self, image: np.ndarray, *, progress: Callable[[int, int], None] | None = None
    ) -> np.ndarray:
        """Translate one image or volume.

        Args:
            image: `(H, W, C)` or `(D, H, W, C)` raw values; a volume may be memory-mapped.
            progress: called with the number of steps done and of all.

        Returns:
            float32 `(H, W, C')` or `(D, H, W, C')` on the image's grid, in raw units of the target.

        Raises:
            DataError: if rank or channels are not the network's, or what it makes is not finite.
        """
        axes = image.ndim - 1
        if not self.rank <= axes <= 3 or image.shape[-1] != self.channels or 0 in image.shape:
            raise DataError(
                f"the network takes {self.rank}D images of {self.channels} channel(s); received "
                f"an array of shape {image.shape} (channels last)"
            )
        if self.window is None:
            parts = self._whole_images(image, progress)
        else:
            parts = self._windows(image, progress)
        result = None
        for first, values in parts:
            if not np.isfinite(values).all():
                raise DataError(
                    f"the translation of an image of shape {image.shape} is not finite: the image "
                    "or the network's weights hold NaN or infinity"
                )
            if result is None:
                result = np.empty((*image.shape[:-1], values.shape[-1]), np.float32)
            result[first : first + len(values)] = values
        return result

    def _whole_images(self, image, progress):
        """Each image, or some slices of a volume of a 2D network, at once."""
        single = image.ndim - 1 == self.rank
        images = image[None] if single else image
        for first in range(0, len(images), _BATCH):
            batch = np.asarray(images[first : first + _BATCH], np.float32)
            values = self._whole(tf.constant(batch)).numpy()
            yield (0, values[0]) if single else (first, values)
            if progress:
                progress(min(first + _BATCH, len(images)), len(images))

    def _windows(self, image, progress):
        if image.ndim - 1 > self.rank:  # a 2D network on a volume
            for row in range(len(image)):
                for first, values in self._windows(image[row], None):
                    # Rows of one slice, as rows of the volume are the slices.
                    if first == 0:
                        plane = np.empty((*image.shape[1:-1], values.shape[-1]), np.float32)
                    plane[first : first + len(values)] = values
                yield row, plane[None]
                if progress:
                    progress(row + 1, len(image))
            return

        def predict(windows):
            x = tf.constant(windows)
            return self._network(self._prepare(x) if self._pointwise else x).numpy()

        if not self._pointwise:  # it needs the statistics of the whole image
            image = self._prepare(tf.constant(np.asarray(image, np.float32)[None])).numpy()[0]
        yield from sliding_window(
            predict,
            image,
            self.window,
            overlap=self.overlap,
            batch_size=_BATCH if self.rank == 2 else 2,
            progress=progress,
        )


def _window(bundle: Bundle) -> tuple[int, ...] | None:
    """Size of a sliding window, or None for a network that sees an image at once."""
    window, multiple = bundle.metadata.get("window"), 2 ** (bundle.levels - 1)
    if window is None:
        if bundle.rank == 2 or bundle.fit != "pad" or bundle.size is None:
            return None
        # A whole volume of any size at once would need memory that grows with it.
        return tuple(-(-size // multiple) * multiple for size in bundle.size)
    window, own = tuple(window), bundle.network.input_shape[1:-1]
    if len(window) != bundle.rank or any(
        size < 1 or size % multiple or fixed not in (None, size)
        for size, fixed in zip(window, own, strict=True)
    ):
        raise ValueError(
            f"the metadata's `window` needs {bundle.rank} multiples of {multiple} that the "
            f"network's own size {own} allows; received {window} in the bundle {bundle.name}"
        )
    return window


def _traced(call):
    # Keras' predict doubles the time of a small network; a traced function does not.
    return tf.function(call, reduce_retracing=True)
