"""3D pooling as two 2D poolings, for runtimes that have no 3D pooling (TFLite's built-ins)."""

from __future__ import annotations

import keras
from keras import ops

from kmed.export.graph import rebuild

_KINDS = {keras.layers.MaxPooling3D: "max", keras.layers.AveragePooling3D: "average"}


def pool_in_planes(network: keras.Model) -> keras.Model:
    """Replace 3D poolings by poolings of (H, W) and then of D, which give the same.

    Args:
        network: a functional model of one input. It is not changed.

    Returns:
        The network itself where it has no 3D pooling, else a copy.
    """
    if not any(type(layer) in _KINDS for layer in network.layers):
        return network

    def replace(layer):
        if type(layer) not in _KINDS or layer.data_format != "channels_last":
            return None
        return PlanarPooling3D(
            _KINDS[type(layer)],
            layer.pool_size,
            layer.strides,
            layer.padding,
            name=layer.name,
            dtype=layer.dtype_policy.name,
        )

    return rebuild(network, replace)


@keras.saving.register_keras_serializable("kmed")
class PlanarPooling3D(keras.layers.Layer):
    """Max or average pooling of `(B, D, H, W, C)`, first in each plane and then across planes.

    Args:
        kind: "max" or "average".
        pool_size: window along D, H and W.
        strides: steps along D, H and W.
        padding: "valid" or "same".
    """

    def __init__(self, kind, pool_size, strides, padding="valid", **kwargs):
        """Keep the arguments, which are those of Keras' own pooling."""
        super().__init__(**kwargs)
        self.kind, self.padding = kind, padding
        self.pool_size, self.strides = tuple(pool_size), tuple(strides)

    def call(self, x):
        """Pool `x` (B, D, H, W, C)."""
        pool = ops.max_pool if self.kind == "max" else ops.average_pool
        (depth, *plane), (step, *steps) = self.pool_size, self.strides
        batch, slices, height, width, channels = ops.shape(x)
        x = ops.reshape(x, (batch * slices, height, width, channels))
        x = pool(x, tuple(plane), tuple(steps), self.padding, data_format="channels_last")
        height, width = ops.shape(x)[1:3]
        x = ops.reshape(x, (batch, slices, height * width, channels))
        x = pool(x, (depth, 1), (step, 1), self.padding, data_format="channels_last")
        return ops.reshape(x, (batch, ops.shape(x)[1], height, width, channels))

    def compute_output_shape(self, input_shape):
        """Keras' own shape of the 3D pooling."""
        cls = {kind: cls for cls, kind in _KINDS.items()}[self.kind]
        return cls(self.pool_size, self.strides, self.padding).compute_output_shape(input_shape)

    def get_config(self):
        """Arguments that rebuild the layer."""
        return super().get_config() | {
            "kind": self.kind,
            "pool_size": self.pool_size,
            "strides": self.strides,
            "padding": self.padding,
        }
