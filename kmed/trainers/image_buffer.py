"""A buffer of generated images: the discriminator is shown earlier ones among the newest."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("kmed")
class ImageBuffer(keras.layers.Layer):
    """Generated images of earlier steps, one of which may come back in the place of a new one.

    Until the buffer is full, an image is stored and comes back itself. From then on half of the
    images are exchanged for a random one of the buffer, and half come back themselves. Every
    replica holds the same, since each is given the images of all. What is held is part of the
    weights, so that a checkpoint has it.

    Reference: Shrivastava et al. 2017, "Learning from Simulated and Unsupervised Images through
    Adversarial Training", section 2.3; Zhu et al. 2017 (CycleGAN), section 4: 50 images.

    Args:
        size: number of images held; 0 gives every image back itself.
        shape: of an image, `([D,] H, W, C)`.
        name: name of the layer.

    Raises:
        ValueError: if the size is negative or the shape is not known.

    Example:
        >>> buffer = ImageBuffer(1, (1, 1, 1))
        >>> images = tf.reshape(tf.constant([1.0, 2.0, 3.0]), (3, 1, 1, 1))
        >>> draws = tf.constant([[0.9, 0.0], [0.2, 0.0], [0.9, 0.0]])  # store, keep, exchange
        >>> tf.reshape(buffer.query(images, draws), (-1,)).numpy().tolist()
        [1.0, 2.0, 1.0]
    """

    def __init__(self, size: int, shape: Sequence[int], *, name: str = "image_buffer"):
        """Make room for `size` images."""
        super().__init__(name=name, dtype="float32", trainable=False)
        if size < 0:
            raise ValueError(f"`size` must be at least 0; received {size}")
        self.size, self.shape = int(size), tuple(shape)
        if self.size and not all(self.shape):
            raise ValueError(
                "a buffer holds images of one size: `shape` must have numbers only; received "
                f"{self.shape}. Build the generators with the size of the training's images, or "
                "take a buffer of 0"
            )

        def zeros(what, shape, type_):
            # All replicas assign the same value, so that any one's will do.
            return self.add_weight(
                name=what, shape=shape, dtype=type_, initializer="zeros", trainable=False,
                aggregation="only_first_replica",
            )  # fmt: skip

        if self.size:
            self.images = zeros("images", (self.size, *self.shape), "float32")
            self.filled = zeros("filled", (), "int32")
        self.built = True

    def query(self, images, draws):
        """Give an image for each of a batch, and hold what is exchanged.

        The images pass one after the other, as if each were a call of its own: an image may be
        exchanged for one that came before it in the same batch.

        Args:
            images: float32 `(N, *shape)` of the whole batch. One that is not finite, as a step of
                float16 may give it, comes back itself and is not held.
            draws: uniform numbers `(N, 2)` in [0, 1): whether to exchange, and for which.

        Returns:
            float32 `(N, *shape)`.
        """
        if not self.size:
            return images
        number = tf.range(tf.shape(images)[0])
        axes = tf.range(1, tf.rank(images))
        finite = tf.reduce_all(tf.math.is_finite(images), axis=axes)
        place = self.filled.value + tf.cumsum(tf.cast(finite, "int32"), exclusive=True)
        drawn = tf.cast(draws[:, 1] * self.size, "int32")
        fills = finite & (place < self.size)
        stored = fills | (finite & (draws[:, 0] >= 0.5))
        slot = tf.where(fills, place, tf.minimum(drawn, self.size - 1))

        def last(writes):
            # The latest image of those that are written to a slot, -1 where none is.
            return tf.reduce_max(tf.where(writes, number, -1), axis=1)

        # What a slot holds when its image comes: the last one written before, else the buffer's.
        earlier = number[None, :] < number[:, None]
        writer = last(stored & earlier & (slot[None, :] == slot[:, None]))
        source = tf.where(writer >= 0, self.size + writer, slot)
        source = tf.where(stored & ~fills, source, self.size + number)
        slots = tf.range(self.size)
        writer = last(stored & (slot[None, :] == slots[:, None]))
        held = tf.where(writer >= 0, self.size + writer, slots)

        both = tf.concat([self.images.value, tf.cast(images, "float32")], axis=0)
        self.images.assign(tf.ensure_shape(tf.gather(both, held), self.images.shape))
        self.filled.assign(self.filled.value + tf.reduce_sum(tf.cast(fills, "int32")))
        return tf.ensure_shape(tf.gather(both, source), (None, *self.shape))

    def get_config(self):
        """Arguments that rebuild an empty buffer."""
        return {"size": self.size, "shape": list(self.shape), "name": self.name}
