"""What a generator makes while it is trained: pictures, and a warning where it collapses."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from kmed.data.atomic import write_bytes
from kmed.metrics.diversity import COLLAPSED, diversity, least_diversity

_CERTAIN = 0.99
_EPOCHS = 3


class GeneratedSamples(keras.callbacks.Callback):
    """Draws the same samples after every so many epochs.

    The picture becomes `samples-0001.png`, by the number of epochs done, and an image with a slider
    over the epochs in TensorBoard. A training that was killed and goes on writes the rest.

    Args:
        draw: makes a picture `(H, W)` or `(H, W, 3)` uint8 of fixed random numbers, such as with
            `kmed.results.image_grid`.
        folder: of the PNG files.
        every: epochs from one picture to the next; the first epoch has one too.
        board: folder for TensorBoard's files, or None.

    Raises:
        ValueError: if `every` is not positive, or `draw` gives no such picture.
    """

    def __init__(
        self,
        draw: Callable[[], np.ndarray],
        folder: str | os.PathLike,
        *,
        every: int = 1,
        board: str | os.PathLike | None = None,
    ):
        super().__init__()
        if every < 1:
            raise ValueError(f"`every` must be at least 1; received {every}")
        self.draw, self.folder, self.every = draw, Path(folder), every
        self.board = None if board is None else Path(board)
        self._writer = None

    def on_epoch_end(self, epoch, logs=None):
        """Draw, if it is this epoch's turn."""
        if epoch % self.every:
            return
        picture = np.asarray(self.draw())
        if picture.dtype != np.uint8 or picture.ndim not in (2, 3) or 0 in picture.shape:
            raise ValueError(
                "`draw` must give a picture (H, W) or (H, W, 3) uint8; received shape "
                f"{picture.shape} {picture.dtype}"
            )
        picture = picture[..., None] if picture.ndim == 2 else picture
        if picture.shape[-1] not in (1, 3):
            raise ValueError(f"a picture must have 1 or 3 channels; received {picture.shape[-1]}")
        png = io.BytesIO()
        rgb = np.ascontiguousarray(np.broadcast_to(picture, (*picture.shape[:2], 3)))
        Image.fromarray(rgb).save(png, "PNG")
        write_bytes(self.folder / f"samples-{epoch + 1:04d}.png", png.getvalue())
        if self.board is not None:
            if self._writer is None:
                self._writer = tf.summary.create_file_writer(str(self.board))
            with self._writer.as_default(step=epoch):
                tf.summary.image("samples", picture[np.newaxis])
            self._writer.flush()

    def on_train_end(self, logs=None):
        """Close TensorBoard's file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class ModeCollapse(keras.callbacks.Callback):
    """Adds the diversity of generated images to the log, and warns where the training failed.

    "diversity" is the mean distance between generated images relative to that between real ones,
    "least_diversity" that of each to the nearest other one, which also sees one image made again
    and again for each class. A line is said when either falls below `below`, or when the
    discriminator has been right about nearly all real and generated images for three epochs, so
    that the generator learns nothing from it; and not again until it was better in between.

    Place it before whatever reads the log.

    Args:
        draw: makes images `(N, [D,] H, W, C)` in [-1, 1] of fixed random numbers.
        real: real images to compare with, `(M, [D,] H, W, C)` in [-1, 1].
        say: told the warnings, a line at a time.
        below: diversity that is called a collapse.

    Raises:
        ValueError: for fewer than two images of either kind, of shapes that don't fit, or real
            images that are all the same.
    """

    def __init__(
        self,
        draw: Callable[[], np.ndarray],
        real: np.ndarray,
        *,
        say: Callable[[str], None] = print,
        below: float = COLLAPSED,
    ):
        super().__init__()
        self.draw, self.say, self.below = draw, say, below
        self.real = np.asarray(real, np.float32)
        diversity(self.real, self.real)  # refuses what later epochs could not compare with
        self._collapsed = False
        self._certain = 0  # epochs

    def on_epoch_end(self, epoch, logs=None):
        """Generate, compare, and say what is wrong."""
        logs = {} if logs is None else logs
        fake = np.asarray(self.draw(), np.float32)
        logs["diversity"] = diversity(fake, self.real)
        logs["least_diversity"] = least_diversity(fake, self.real)
        collapsed = min(logs["diversity"], logs["least_diversity"]) < self.below
        if collapsed and not self._collapsed:
            self.say(
                f"warning: epoch {epoch + 1}: generated images are nearly the same (distances "
                f"{logs['diversity']:.2f} of the real images', to the nearest other "
                f"{logs['least_diversity']:.2f}): the generator has collapsed to few images"
            )
        self._collapsed = collapsed
        shares = [logs.get(name, 0.0) for name in ("real_accuracy", "fake_accuracy")]
        self._certain = self._certain + 1 if min(shares) > _CERTAIN else 0
        if self._certain == _EPOCHS:
            self.say(
                f"warning: epoch {epoch + 1}: for {_EPOCHS} epochs the discriminator has been "
                f"right about over {_CERTAIN:.0%} of the images: the generator learns little from "
                "it; lower its learning rate, or augment what it sees"
            )
