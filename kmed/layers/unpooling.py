"""Max pooling that remembers where the maxima were, and unpooling that puts values back there.

Made of comparisons, selections and reshapes, which XLA, TFLite's built-in operators and ONNX all
have; TensorFlow's own `max_pool_with_argmax` and scattering are in none of them.
"""

from __future__ import annotations

import keras
from keras import ops


@keras.saving.register_keras_serializable("kmed")
class MaxPoolingWithArgmax2D(keras.layers.Layer):
    """Maximum of each 2x2 window, and where it was.

    Where values tie the first one of the window counts, row by row, as in TensorFlow's
    `max_pool_with_argmax`, and the gradient goes to that one alone. A window over the end of an
    odd axis has what is left of it, as in Caffe, so that no pixel is lost.

    Reference: Badrinarayanan, Kendall and Cipolla 2017, "SegNet", section 3 ("max-pooling
    indices").

    Returns:
        From `(B, H, W, C)`: the maxima `(B, ceil(H/2), ceil(W/2), C)` and a boolean mask
        `(B, H, W, C)`, true at one pixel of each window (half the memory of TensorFlow's 64 bit
        indices).

    Example:
        >>> x = ops.reshape(ops.convert_to_tensor([1.0, 5.0, 5.0, 2.0]), (1, 2, 2, 1))
        >>> pooled, mask = MaxPoolingWithArgmax2D()(x)
        >>> float(pooled[0, 0, 0, 0]), ops.convert_to_numpy(mask).ravel().tolist()
        (5.0, [False, True, False, False])
    """

    strides = (2, 2)
    switches = True  # values that tie to their last bits may go either way, see the export

    def call(self, x):
        """Pool `x` (B, H, W, C)."""
        _, height, width, channels = ops.shape(x)
        batch, even_height, even_width, _ = ops.shape(x := _to_even(x))
        # The two columns of a window first, then its two rows: so the first of equals, row by row,
        # is the one that a strict comparison leaves.
        columns = (batch, even_height, even_width // 2, 2 * channels)
        left, right = ops.split(ops.reshape(x, columns), 2, axis=-1)
        second_column = right > left
        x = ops.where(second_column, right, left)
        rows = (batch, even_height // 2, 2, even_width // 2 * channels)
        upper, lower = ops.split(ops.reshape(x, rows), 2, axis=2)
        second_row = lower > upper
        pooled = ops.where(second_row, lower, upper)
        pooled = ops.reshape(pooled, (batch, even_height // 2, even_width // 2, channels))

        winning_row = ops.concatenate([ops.logical_not(second_row), second_row], axis=2)
        winning_row = ops.reshape(winning_row, (batch, even_height, even_width // 2, channels))
        first_column = ops.logical_not(second_column)
        mask = ops.concatenate(
            [ops.logical_and(winning_row, column) for column in (first_column, second_column)],
            axis=-1,
        )
        mask = ops.reshape(mask, (batch, even_height, even_width, channels))
        if not (isinstance(height, int) and height == even_height):
            mask = mask[:, :height]
        if not (isinstance(width, int) and width == even_width):
            mask = mask[:, :, :width]
        return pooled, mask


@keras.saving.register_keras_serializable("kmed")
class MaxUnpooling2D(keras.layers.Layer):
    """Put each value where its window had the maximum, and zero elsewhere.

    Called on `[x, mask]` with the mask of `MaxPoolingWithArgmax2D`; the result is as large as the
    mask, also where that is odd.

    Reference: Badrinarayanan, Kendall and Cipolla 2017, "SegNet", figure 3.

    Example:
        >>> mask = ops.reshape(ops.convert_to_tensor([False, True, False, False]), (1, 2, 2, 1))
        >>> y = MaxUnpooling2D()([ops.full((1, 1, 1, 1), 7.0), mask])
        >>> ops.convert_to_numpy(y).ravel().tolist()
        [0.0, 7.0, 0.0, 0.0]
    """

    def call(self, inputs):
        """Unpool `inputs[0]` (B, ceil(H/2), ceil(W/2), C) with `inputs[1]` (B, H, W, C)."""
        x, mask = inputs
        _check(tuple(x.shape), tuple(mask.shape))
        batch, rows, columns, channels = ops.shape(x)
        height, width = ops.shape(mask)[1:3]
        zero = ops.cast(0, x.dtype)
        # Each value twice along its row, (B, H/2, 1, 2 W C); the mask then doubles the rows.
        x = ops.concatenate([x, x], axis=-1)
        x = ops.reshape(x, (batch, rows, 1, 2 * columns * channels))
        if isinstance(height, int) and isinstance(width, int) and height % 2 == width % 2 == 0:
            mask = ops.reshape(mask, (batch, rows, 2, 2 * columns * channels))
            return ops.reshape(ops.where(mask, x, zero), (batch, height, width, channels))
        x = ops.concatenate([x, x], axis=2)
        x = ops.reshape(x, (batch, 2 * rows, 2 * columns, channels))
        return ops.where(mask, x[:, :height, :width], zero)

    def compute_output_shape(self, input_shape):
        """Spatial size of the mask, channels of the tensor."""
        x, mask = input_shape
        return (x[0], *mask[1:-1], x[-1])


def _to_even(x):
    # The last row or column once more where their number is odd: an equal value further on never
    # wins, so that this is padding with minus infinity, but finite.
    margins = [size % 2 for size in ops.shape(x)[1:3]]
    if all(isinstance(margin, int) and margin == 0 for margin in margins):
        return x
    return ops.pad(x, [(0, 0), *((0, margin) for margin in margins), (0, 0)], mode="symmetric")


def _check(x: tuple, mask: tuple) -> None:
    halves = (mask[0], *(None if n is None else (n + 1) // 2 for n in mask[1:-1]), mask[-1])
    if len(x) != 4 or any(
        a is not None and b is not None and a != b for a, b in zip(x, halves, strict=True)
    ):
        raise ValueError(
            "MaxUnpooling2D takes a tensor half as large as its mask, of as many channels; "
            f"received a tensor of shape {x} and a mask of shape {mask}"
        )
