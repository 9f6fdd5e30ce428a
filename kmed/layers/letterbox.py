"""A layer that fits an image of any size into a frame without changing its aspect ratio."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import ops

from kmed.layers.resizing import along, triangle_weights
from kmed.ops.letterbox import placement


@keras.saving.register_keras_serializable("kmed")
class Letterbox(keras.layers.Layer):
    """Resize a picture to fit into a frame, centred, with a margin of one value around it.

    The resize averages where the picture shrinks, as `ResizeTo`; `kmed.ops.letterbox` moves boxes
    between the picture and the frame.

    Reference: Redmon and Farhadi 2018, "YOLOv3" (the authors' `letterbox_image`).

    Args:
        size: height and width of the frame, in pixels.
        value: of the margin, in the values of the network; 0 is the mean after kmed's
            preprocessors.

    Example:
        >>> framed = Letterbox((4, 4))(ops.ones((1, 4, 8, 1)))
        >>> framed[0, :, 0, 0].numpy().tolist()
        [0.0, 1.0, 1.0, 0.0]
    """

    def __init__(self, size: Sequence[int], value: float = 0.0, **kwargs):
        """Check the arguments."""
        super().__init__(**kwargs)
        self.size, self.value = tuple(int(n) for n in size), float(value)
        if len(self.size) != 2 or min(self.size) < 1:
            raise ValueError(f"`size` must be two positive numbers; received {size}")

    def call(self, x):
        """Fit `x` (B, H, W, C) into the frame: (B, *size, C)."""
        height, width = ops.shape(x)[1], ops.shape(x)[2]
        place = placement(height, width, self.size, letterbox=True)
        inside = 1.0
        parts = ((1, height, place.height, place.top), (2, width, place.width, place.left))
        for axis, length, resized, start in parts:
            rows = ops.arange(self.size[axis - 1], dtype="int32") - start
            covered = ops.cast(ops.logical_and(rows >= 0, rows < resized), x.dtype)
            weights = triangle_weights(length, resized, True, x.dtype)  # (resized, length)
            weights = ops.take(weights, ops.clip(rows, 0, resized - 1), axis=0)  # (frame, length)
            x = along(x, weights * covered[:, None], axis)
            shape = [1, 1, 1, 1]
            shape[axis] = -1
            inside = inside * ops.reshape(covered, shape)
        return x + self.value * (1.0 - inside) if self.value else x

    def compute_output_shape(self, input_shape):
        """Shape (B, *size, C)."""
        return (input_shape[0], *self.size, input_shape[-1])

    def get_config(self):
        """Arguments that rebuild the layer."""
        return super().get_config() | {"size": self.size, "value": self.value}
