"""Batch normalisation folded into the convolution before it, for inference."""

from __future__ import annotations

import keras
import numpy as np

from kmed.export.graph import called_once, operations, output_layers, rebuild, sources

_CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D, keras.layers.Dense)
_TRANSPOSED = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)


def fold_batch_norm(network: keras.Model) -> keras.Model:
    """Fold every batch normalisation into the convolution or dense layer right before it.

    With deviation `s = sqrt(variance + epsilon)`, the kernel becomes `kernel * gamma / s` and the
    bias `(bias - mean) * gamma / s + beta`. Left alone are a normalisation behind anything else
    (an activation, a depthwise or separable convolution), one over another axis than the channels,
    and a convolution whose output something else uses as well.

    Reference: Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference", section 3.2.

    Args:
        network: a functional model of one input, of any rank. It is not changed.

    Returns:
        A copy for inference that gives the same output up to float32 rounding; the folded
        normalisations stand in it as identities of the same name.

    Example:
        >>> image = keras.Input((8, 8, 1))
        >>> x = keras.layers.Conv2D(4, 3, use_bias=False, name="conv")(image)
        >>> network = keras.Model(image, keras.layers.BatchNormalization(name="norm")(x))
        >>> type(fold_batch_norm(network).get_layer("norm")).__name__
        'Identity'
    """
    pairs = _foldable(network)
    convolutions = set(pairs.values())

    def replace(layer):
        if layer.name in pairs:
            return keras.layers.Identity(name=layer.name, dtype=layer.dtype_policy.name)
        if layer.name in convolutions:
            return layer.__class__.from_config(layer.get_config() | {"use_bias": True})
        return None

    folded = rebuild(network, replace)
    for norm, convolution in pairs.items():
        weights = _folded_weights(network.get_layer(convolution), network.get_layer(norm))
        folded.get_layer(convolution).set_weights(weights)
    return folded


def _foldable(network) -> dict[str, str]:
    """Names of normalisations and of the convolutions that take them in."""
    graph, once, outputs = sources(network), called_once(network), output_layers(network)
    layers = operations(network)
    uses = [source for inputs in graph.values() for source in inputs]
    pairs = {}
    for name, inputs in graph.items():
        norm = layers[name]
        if not isinstance(norm, keras.layers.BatchNormalization) or len(inputs) != 1:
            continue
        convolution = layers[inputs[0]]
        if (
            isinstance(convolution, _CONVOLUTIONS + _TRANSPOSED)
            and convolution.activation is keras.activations.linear
            and getattr(convolution, "data_format", "channels_last") == "channels_last"
            and norm.axis in (-1, len(convolution.output.shape) - 1)
            and {norm.name, convolution.name} <= once
            and uses.count(convolution.name) == 1
            and convolution.name not in outputs
        ):
            pairs[norm.name] = convolution.name
    return pairs


def _folded_weights(convolution, norm):
    # In float64: the product of three float32 roundings would use up half of the tolerance.
    kernel = _array(convolution.kernel)
    channels = kernel.shape[-2 if isinstance(convolution, _TRANSPOSED) else -1]
    bias = _array(convolution.bias) if convolution.use_bias else np.zeros(channels)
    gamma = _array(norm.gamma) if norm.scale else np.ones(channels)
    beta = _array(norm.beta) if norm.center else np.zeros(channels)
    factor = gamma / np.sqrt(_array(norm.moving_variance) + norm.epsilon)
    bias = (bias - _array(norm.moving_mean)) * factor + beta
    if isinstance(convolution, _TRANSPOSED):
        factor = factor[:, None]  # a transposed convolution's kernel ends in (output, input)
    return [kernel * factor, bias]


def _array(variable) -> np.ndarray:
    return keras.ops.convert_to_numpy(variable).astype("float64")
