"""Grad-CAM and Grad-CAM++ of classifiers, segmenters and other networks, in 2D and 3D."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from kmed.explanations.feature_maps import candidates, named, place, recorded
from kmed.explanations.target import Target, same_score, target_of

VARIANTS = ("grad_cam", "grad_cam++")


def grad_cam(
    network: keras.Model,
    image: np.ndarray,
    *,
    class_index: int | Sequence[int] | None = None,
    layer: str | Sequence[str] | None = None,
    variant: str = "grad_cam",
    mask: np.ndarray | None = None,
    score: Callable | None = None,
) -> np.ndarray:
    """Show where a network finds evidence for a class.

    References:
        Selvaraju et al. 2017, "Grad-CAM", equations 1 and 2.
        Chattopadhay et al. 2018, "Grad-CAM++", equation 19 with the score exp(S), for layers
        behind a ReLU.
        Vinogradova et al. 2020, "Towards Interpretable Semantic Segmentation via
        Gradient-weighted Class Activation Mapping" (segmenters).

    The map shows evidence for the class and says nothing about evidence against it. A channel has
    one weight everywhere: where the network sees the same feature elsewhere, that shows as well.
    Check with `randomized_similarity` that the map depends on what the network learned.

    Args:
        network: a functional model of one image that gives logits `(B, K)` or
            `(B, [D,] H, W, K)`, a dictionary with "logits", or other outputs together with `score`.
        image: `(B, [D,] H, W, C)` as the network takes it (preprocessed).
        class_index: the class, one or one for each image; None explains the predicted one, of a
            segmenter the foreground class of the most pixels. A network of one logit has the
            classes 0 and 1.
        layer: name of the layer whose feature map is weighted, or several names, whose maps are
            added. By default the last map of the last convolution's size for a classifier (with
            normalisation and activation, before pooling), and the last one of the fewest pixels
            for others (a U-Net's bottom). For an ensemble one of each member.
        variant: "grad_cam" or "grad_cam++".
        mask: pixels `([B,] [D,] H, W)` of the output that a segmenter's score adds up; by default
            those predicted as the class.
        score: for detectors and others: a function from the outputs to `(B,)`, of TensorFlow's or
            Keras' operations.

    Returns:
        float32 `(B, [D,] H, W)` at the image's size in [0, 1]; each image's largest value is 1.
        All 0 where nothing speaks for the class, and where a segmenter found no pixel of it.

    Raises:
        ValueError: if an argument does not fit the network, or no feature map leads to the score.

    Example:
        >>> image = keras.Input((8, 8, 1))
        >>> x = keras.layers.Conv2D(4, 3, activation="relu")(image)
        >>> x = keras.layers.GlobalAveragePooling2D()(x)
        >>> network = keras.Model(image, keras.layers.Dense(3)(x))
        >>> grad_cam(network, np.ones((2, 8, 8, 1))).shape
        (2, 8, 8)
    """
    heat, _ = heat_and_target(
        network,
        image,
        layer=layer,
        variant=variant,
        class_index=class_index,
        mask=mask,
        score=score,
    )
    return heat


def heat_and_target(
    network: keras.Model, image: np.ndarray, *, layer=None, variant: str = "grad_cam", **target
) -> tuple[np.ndarray, Target]:
    """Grad-CAM together with what it explains.

    Args:
        network: see `grad_cam`.
        image: see `grad_cam`.
        layer: see `grad_cam`.
        variant: see `grad_cam`.
        **target: `class_index`, `mask` and `score` of `grad_cam`.

    Returns:
        The heat and the target.

    Raises:
        ValueError: see `grad_cam`.
    """
    if variant not in VARIANTS:
        raise ValueError(f"`variant` must be one of {VARIANTS}; received {variant!r}")
    x = _batch(network, image)
    size = tuple(x.shape[1:-1])
    goal = target_of(network(x, training=False), len(size), **target)
    chosen = []

    def traced(image):
        tape = tf.GradientTape(persistent=True, watch_accessed_variables=False)
        with recorded(network, image) as maps, tape:
            tape.watch(image)
            outputs = network(image, training=False)
            # The images of a batch do not mix.
            total = tf.reduce_sum(same_score(outputs, goal, target.get("score")))
        tensors = tf.nest.flatten(outputs)
        maps = [m for m in maps if not any(m.tensor is t for t in tensors)]
        if layer is None:
            deepest = len(tensors) > 1 or len(tensors[0].shape) > 2
            groups = candidates(maps, len(x), goal.classes, deepest)
        else:
            layers = [layer] if isinstance(layer, str) else layer
            groups = [[named(maps, name, len(x))] for name in layers]
        chosen[:] = [_first_with_gradient(tape, total, group, network) for group in groups]
        return [(found.tensor, tf.convert_to_tensor(gradient)) for found, gradient in chosen]

    # Not eagerly: there the gradient of a strided 1x1 convolution corrupts memory with oneDNN
    # (TensorFlow 2.21, as in its issues 117700 and 123109 of matrix products).
    spec = tf.TensorSpec(x.shape, x.dtype)
    pairs = tf.function(traced, autograph=False).get_concrete_function(spec)(x)
    heat = np.zeros((len(x), *size), "float32")
    for (found, _), (features, gradient) in zip(chosen, pairs, strict=True):
        heat += place(_weighted(features, gradient, variant), found.strides, size)
    heat = np.maximum(heat, 0.0)
    largest = heat.reshape(len(heat), -1).max(axis=1).reshape(-1, *[1] * len(size))
    return np.divide(heat, largest, out=np.zeros_like(heat), where=largest > 0), goal


def _batch(network, image):
    if not isinstance(network, keras.Model) or len(getattr(network, "inputs", None) or ()) != 1:
        raise ValueError("`network` must be a functional keras.Model of one image")
    expected, image = network.inputs[0].shape, np.asarray(image)
    rank = len(expected) - 2
    fits = image.ndim == len(expected) and all(
        e in (None, n) for e, n in zip(expected[1:], image.shape[1:], strict=True)
    )
    if rank not in (2, 3) or not fits or 0 in image.shape:
        wanted = "(B, D, H, W, C)" if rank == 3 else "(B, H, W, C)"
        raise ValueError(
            f'`image` must be {wanted} of shape {tuple(expected)} for "{network.name}"; received '
            f"shape {image.shape}"
        )
    return tf.convert_to_tensor(image, network.inputs[0].dtype)


def _first_with_gradient(tape, total, group, network):
    tried = set()
    for feature_map in group:
        if id(feature_map.tensor) in tried:
            continue
        tried.add(id(feature_map.tensor))
        gradient = tape.gradient(total, feature_map.tensor)
        if gradient is not None:
            return feature_map, gradient
    names = ", ".join(dict.fromkeys(m.name for m in group)) or "none"
    raise ValueError(
        f'the score of "{network.name}" must depend on a feature map of more than one pixel; '
        f"looked at: {names}. Name another `layer`; a wrapped network (mirrored images, samples) "
        "is explained before it is wrapped"
    )


def _weighted(features, gradient, variant):
    """The weighted sum of the channels, (B, [d,] h, w)."""
    features = tf.cast(features, tf.float32).numpy()
    gradient = tf.cast(gradient, tf.float32).numpy()
    axes = tuple(range(1, features.ndim - 1))
    if variant == "grad_cam":
        weights = gradient.mean(axis=axes, keepdims=True)
    else:
        weights = _plus_plus(features, gradient, axes)
    return (features * weights).sum(axis=-1)


def _plus_plus(features, gradient, axes):
    # The derivatives of exp(S) along a piecewise linear S are exp(S) times powers of S's own.
    # exp(S) cancels in alpha and is one positive factor of each image's map, which is brought to
    # [0, 1]: it is left out, since it overflows. In float64: a cube of float32 underflows.
    features, gradient = features.astype("float64"), gradient.astype("float64")
    square, cube = gradient**2, gradient**3
    below = 2 * square + features.sum(axis=axes, keepdims=True) * cube
    alpha = np.divide(square, below, out=np.zeros_like(square), where=below != 0)
    return (alpha * np.maximum(gradient, 0)).sum(axis=axes, keepdims=True)
