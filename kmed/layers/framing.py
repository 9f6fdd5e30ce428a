"""Layers that pad an image of any size for a network, and crop the network's output to the image.

All of them act on `(B, H, W, C)` and `(B, D, H, W, C)`, read the size at run time where it is not
known before, and gather by computed indices, which SavedModel, TFLite's built-in operators and
ONNX all have.
"""

from __future__ import annotations

import keras
from keras import ops


@keras.saving.register_keras_serializable("kmed")
class PadToMultiple(keras.layers.Layer):
    """Pad every spatial axis to the next multiple, half of the margin on each side.

    Where the margin is odd the end gets one pixel more, so that `CropLike` undoes it exactly.

    Args:
        multiple: size of which every spatial axis becomes a multiple, in pixels.
        mode: "edge" repeats the border, "reflect" mirrors without repeating it, "constant" adds
            zeros.

    Example:
        >>> tuple(PadToMultiple(8)(keras.ops.ones((1, 13, 16, 1))).shape)
        (1, 16, 16, 1)
    """

    def __init__(self, multiple: int, mode: str = "edge", **kwargs):
        """Check the arguments."""
        super().__init__(**kwargs)
        if mode not in ("edge", "reflect", "constant"):
            raise ValueError(f'`mode` must be "edge", "reflect" or "constant"; received {mode!r}')
        if multiple < 1:
            raise ValueError(f"`multiple` must be at least 1; received {multiple}")
        self.multiple = int(multiple)
        self.mode = mode

    def call(self, x):
        """Pad `x` (B, [D,] H, W, C)."""
        for axis in range(1, len(x.shape) - 1):
            x = _pad(x, axis, self._padded(ops.shape(x)[axis]), self.mode)
        return x

    def _padded(self, length):
        return (length + self.multiple - 1) // self.multiple * self.multiple

    def compute_output_shape(self, input_shape):
        """Every known size rounded up to the multiple."""
        return _map_sizes(self._padded, input_shape)

    def get_config(self):
        """Arguments that rebuild the layer."""
        return super().get_config() | {"multiple": self.multiple, "mode": self.mode}


@keras.saving.register_keras_serializable("kmed")
class MirrorTile(keras.layers.Layer):
    """Mirror an image outwards so that a U-Net of valid convolutions covers all of it.

    The network takes sizes `n = s b + 4 c s - 2 c` and gives `n - (6 c s - 4 c)`, with
    `s = 2**(levels-1)` and `c` convolutions of size 3 a level; the layer takes the smallest `n`
    that leaves the whole image, and `CropLike` on the network's output restores the image's size.
    An image smaller than the margin is mirrored repeatedly.

    Reference: Ronneberger, Fischer and Brox 2015, figure 2 (levels 5: 572 gives 388).

    Args:
        levels: number of levels, the bottom counted.
        convolutions: 3x3 convolutions of each level on each side.

    Example:
        >>> tuple(MirrorTile()(keras.ops.ones((1, 388, 380, 1))).shape)
        (1, 572, 572, 1)
    """

    def __init__(self, levels: int = 5, convolutions: int = 2, **kwargs):
        """Check the arguments."""
        super().__init__(**kwargs)
        if levels < 1 or convolutions < 1:
            raise ValueError(
                "`levels` and `convolutions` must be at least 1; "
                f"received {levels} and {convolutions}"
            )
        self.levels, self.convolutions = int(levels), int(convolutions)

    @property
    def margin(self) -> int:
        """Pixels that the network takes off each axis, both sides together."""
        return (6 * 2 ** (self.levels - 1) - 4) * self.convolutions

    def call(self, x):
        """Mirror `x` (B, [D,] H, W, C) outwards on every spatial axis."""
        for axis in range(1, len(x.shape) - 1):
            x = _pad(x, axis, self._tiled(ops.shape(x)[axis]), "reflect")
        return x

    def _tiled(self, length):
        scale = 2 ** (self.levels - 1)
        lost = 4 * self.convolutions * scale - 2 * self.convolutions  # n = scale * bottom + lost
        bottom = (length + self.margin - lost + scale - 1) // scale
        return scale * bottom + lost

    def compute_output_shape(self, input_shape):
        """Every known size with its margin."""
        return _map_sizes(self._tiled, input_shape)

    def get_config(self):
        """Arguments that rebuild the layer."""
        return super().get_config() | {"levels": self.levels, "convolutions": self.convolutions}


@keras.saving.register_keras_serializable("kmed")
class CropLike(keras.layers.Layer):
    """Crop the centre of a tensor to the spatial size of a reference.

    Called on `[x, reference]`; of an odd difference the end loses one pixel more, as
    `PadToMultiple` and `MirrorTile` add it.

    Example:
        >>> tuple(CropLike()([ops.ones((1, 9, 8, 2)), ops.ones((1, 6, 8, 1))]).shape)
        (1, 6, 8, 2)
    """

    def call(self, inputs):
        """Crop `inputs[0]` (B, [D,] H, W, C) to the spatial size of `inputs[1]`."""
        x, reference = inputs
        for axis in range(1, len(x.shape) - 1):
            length, target = ops.shape(x)[axis], ops.shape(reference)[axis]
            if isinstance(length, int) and isinstance(target, int):
                if length == target:
                    continue
                if length < target:
                    raise ValueError(
                        "CropLike takes a tensor at least as large as its reference; received "
                        f"{tuple(x.shape)} and {tuple(reference.shape)}"
                    )
            start = (length - target) // 2
            x = ops.take(x, start + ops.arange(target, dtype="int32"), axis=axis)
        return x

    def compute_output_shape(self, input_shape):
        """Spatial size of the reference, channels of the tensor."""
        x, reference = input_shape
        return (x[0], *reference[1:-1], x[-1])


def _pad(x, axis, target, mode):
    # The source index of every target pixel; a gather pads by any amount, a reflecting pad only
    # by less than the image's size.
    length = ops.shape(x)[axis]
    if isinstance(length, int) and length == target:
        return x
    index = ops.arange(target, dtype="int32") - (target - length) // 2
    if mode == "reflect":
        period = ops.maximum(2 * (length - 1), 1)
        index = ops.mod(index, period)
        source = ops.minimum(index, period - index)
        source = ops.minimum(source, length - 1)
    else:
        source = ops.clip(index, 0, length - 1)
    padded = ops.take(x, source, axis=axis)
    if mode == "constant":
        inside = ops.cast(ops.equal(index, source), x.dtype)
        shape = [1] * len(x.shape)
        shape[axis] = -1
        padded = padded * ops.reshape(inside, shape)
    return padded


def _map_sizes(function, shape):
    sizes = (None if size is None else function(size) for size in shape[1:-1])
    return (shape[0], *sizes, shape[-1])
