"""Layers whose kernel has spectral norm 1."""

from __future__ import annotations

import keras
from keras import ops

_SMALLEST = 1e-12


@keras.saving.register_keras_serializable("kmed")
class SpectralNormalization(keras.layers.SpectralNormalization):
    """Divide a layer's kernel by its largest singular value, in training and at test.

    Keras' layer writes the divided kernel over the layer's own in every training call, which
    changes a discriminator's weights in the generator's step too and rounds them to half precision
    under mixed precision. Here, as in the paper, the kernel itself is what the optimizer made of
    it, and the gradient knows of the division. Only the vector of the power iteration moves with
    every training call. Weights and arguments are those of Keras' layer.

    Reference: Miyato et al. 2018, "Spectral Normalization for Generative Adversarial Networks",
    section 2.1 and algorithm 1.

    Args:
        layer: Dense or a convolution without activation.
        power_iterations: steps of the power iteration in each training call.

    Example:
        >>> layer = SpectralNormalization(keras.layers.Dense(1, use_bias=False))
        >>> round(abs(float(layer(ops.convert_to_tensor([[3.0]]))[0, 0])), 4)
        3.0
    """

    def build(self, input_shape):
        """Build the layer; refuse one that does more than to apply a kernel."""
        known = (keras.layers.Dense, keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
        plain = isinstance(self.layer, known)
        if not plain or self.layer.activation is not keras.activations.linear:
            raise ValueError(
                "`layer` must be Dense or a convolution, without activation; received "
                f"{type(self.layer).__name__} {self.layer.name!r}"
            )
        super().build(input_shape)

    def call(self, inputs, training=False):
        """Apply the layer to `inputs` (B, ..., C)."""
        kernel = ops.cast(self.layer.kernel, "float32")
        normed = ops.cast(kernel / self._largest_singular_value(kernel, training), inputs.dtype)
        apply = getattr(self.layer, "convolution_op", ops.matmul)
        outputs = apply(inputs, normed)
        return outputs + ops.cast(self.layer.bias, inputs.dtype) if self.layer.use_bias else outputs

    def _largest_singular_value(self, kernel, training):
        matrix = ops.reshape(kernel, (-1, kernel.shape[-1]))
        fixed = ops.stop_gradient(matrix)
        u = ops.cast(self.vector_u, "float32")
        for _ in range(self.power_iterations if training else 0):
            u = _unit(ops.matmul(_unit(ops.matmul(u, ops.transpose(fixed))), fixed))
        u = ops.stop_gradient(u)
        if training:
            self.vector_u.assign(u)
        v = _unit(ops.matmul(u, ops.transpose(fixed)))
        sigma = ops.matmul(ops.matmul(v, matrix), ops.transpose(u))[0, 0]
        # The first vector is of any length until the first training call.
        return ops.maximum(sigma / ops.maximum(ops.norm(u), _SMALLEST), _SMALLEST)


def spectrally_normalized(layer: keras.layers.Layer) -> SpectralNormalization:
    """Bring a layer's kernel to spectral norm 1.

    Args:
        layer: see `SpectralNormalization`; it is not built yet.

    Returns:
        A layer of the same name and type.
    """
    return SpectralNormalization(layer, name=layer.name, dtype=layer.dtype_policy)


def _unit(x):
    return x / ops.maximum(ops.norm(x), _SMALLEST)
