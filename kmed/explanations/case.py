"""An explanation on the pixels of the original image."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from kmed.explanations.grad_cam import grad_cam
from kmed.layers import CropLike, MirrorTile, PadToMultiple, ResizeLike, ResizeTo

FITS = ("resize", "pad", "tile")


def explain(
    preprocessor: keras.Model,
    network: keras.Model,
    image: np.ndarray,
    *,
    fit: str = "resize",
    size: Sequence[int] | None = None,
    levels: int = 1,
    class_index: int | None = None,
    layer: str | Sequence[str] | None = None,
    variant: str = "grad_cam",
    score: Callable | None = None,
) -> np.ndarray:
    """Explain a network on one raw image, the heat on the image's own pixels.

    The parts are those of a bundle: its preprocessor, network, `fit`, `size` and `levels`.

    Args:
        preprocessor: a model of `kmed.preprocessors`.
        network: the network behind it, see `grad_cam`.
        image: `(H, W, C)` or `(D, H, W, C)` of any size and number type, in the preprocessor's
            units.
        fit: how the image meets the network. "resize": resized to `size`. "pad": its edge
            repeated up to a multiple of 2**(levels-1). "tile": mirrored outwards for a network of
            valid convolutions.
        size: spatial size of "resize", in pixels; by default the network's own.
        levels: resolutions of the network, the bottom counted, for "pad" and "tile".
        class_index: see `grad_cam`.
        layer: see `grad_cam`.
        variant: see `grad_cam`.
        score: see `grad_cam`.

    Returns:
        float32 `(H, W)` or `(D, H, W)` in [0, 1], the largest value 1 unless all are 0.

    Raises:
        ValueError: if an argument does not fit the others.

    Example:
        >>> from kmed import preprocessors
        >>> x = keras.Input((8, 8, 1))
        >>> y = keras.layers.GlobalMaxPooling2D()(keras.layers.Conv2D(4, 3)(x))
        >>> network = keras.Model(x, keras.layers.Dense(2)(y))
        >>> explain(preprocessors.xray(), network, np.eye(13, 9)[..., None]).shape
        (13, 9)
    """
    image = np.asarray(image)
    expected = preprocessor.input_shape
    if image.ndim != len(expected) - 1 or image.shape[-1] != expected[-1] or 0 in image.shape:
        layout = "(D, H, W, C)" if len(expected) == 5 else "(H, W, C)"
        raise ValueError(
            f"`image` must be {layout} with {expected[-1]} channels for the preprocessor "
            f'"{preprocessor.name}"; received shape {image.shape}'
        )
    raw = tf.constant(image[None], tf.float32)
    frame = _frame(fit, size or network.input_shape[1:-1], levels)
    fitted = frame(preprocessor(raw, training=False))
    heat = grad_cam(
        network, fitted, class_index=class_index, layer=layer, variant=variant, score=score
    )
    back = ResizeLike() if fit == "resize" else CropLike()
    heat = back([tf.constant(heat[..., None]), raw]).numpy()[0, ..., 0]
    return heat / heat.max() if heat.max() > 0 else heat


def _frame(fit, size, levels):
    if fit not in FITS:
        raise ValueError(f"`fit` must be one of {FITS}; received {fit!r}")
    if fit == "pad":
        return PadToMultiple(2 ** (levels - 1))
    if fit == "tile":
        return MirrorTile(levels)
    if None in size:
        raise ValueError(
            'fit="resize" needs a size: the network has none, so give `size`, or use fit="pad"'
        )
    return ResizeTo(size)
