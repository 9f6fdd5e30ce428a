"""Test-time augmentation: the mean over an image and its mirror images."""

from __future__ import annotations

import itertools

import keras
from keras import ops

from kmed.uncertainty.flat_copy import copy_onto, image_of, inner_name
from kmed.uncertainty.mean_logits import MeanLogits, kind_of

FLIPS = ("horizontal", "all")


def test_time_augmentation(
    network: keras.Model,
    flips: str = "horizontal",
    *,
    kind: str | None = None,
    name: str | None = None,
) -> keras.Model:
    """Average a network's probabilities over mirrored images.

    Reference: Krizhevsky et al. 2012, section 4.1 (reflections at test time); Wang et al. 2019,
    "Aleatoric uncertainty estimation with test-time augmentation for medical image segmentation".

    Mirror only what may be mirrored: where the side matters (situs, left and right organs as
    classes), a mirrored image is another finding. A segmenter's outputs are mirrored back. The
    mirror images go through the network as one batch, so memory grows with their number. The
    weights are copies of the network's.

    Args:
        network: a functional model of logits `(B, [D,] H, W, K)` or `(B, K)`, or a dictionary with
            "logits".
        flips: "horizontal" (the image and its mirror image along the last spatial axis) or "all"
            (along every combination of spatial axes: 4 images, 8 volumes).
        kind: "softmax", "sigmoid" or None: softmax, and sigmoid for a network of one logit.
        name: name of the model; by default the network's with "_mirrored".

    Returns:
        A functional model from the network's image to float32 logits of the mean probabilities.

    Raises:
        ValueError: if an argument is outside of what is said above.

    Example:
        >>> image = keras.Input((4, 4, 1), name="image")
        >>> network = keras.Model(image, keras.layers.Dense(3)(keras.layers.Flatten()(image)))
        >>> test_time_augmentation(network, "all").output_shape
        (None, 3)
    """
    if flips not in FLIPS:
        raise ValueError(f"`flips` must be one of {FLIPS}; received {flips!r}")
    image = image_of(network)
    mirror = Mirror(flips, name="mirror")
    mirrored = mirror(image)

    def call(layer, *args, **kwargs):
        args, kwargs = keras.tree.map_structure(
            lambda x: mirrored if x is image else x, (args, kwargs)
        )
        return layer(*args, **kwargs)

    rows = copy_onto(image, network, rename=inner_name, call=call)
    if len(rows.shape) == len(image.shape):
        rows = Unmirror(flips, dtype="float32", name="unmirror")(rows)
    members = len(_axes(flips, len(image.shape)))
    logits = MeanLogits(members, kind_of(kind, rows.shape[-1]), name="logits")(rows)
    return keras.Model(image, logits, name=name or f"{network.name}_mirrored")


@keras.saving.register_keras_serializable("kmed")
class Mirror(keras.layers.Layer):
    """Put an image's mirror images behind it in the batch: `(B, ...)` to `(M * B, ...)`.

    Args:
        flips: "horizontal" (M = 2) or "all" (M = 4 for images, 8 for volumes).
    """

    def __init__(self, flips: str = "horizontal", **kwargs):
        """Keep the argument."""
        super().__init__(**kwargs)
        self.flips = flips

    def call(self, x):
        """Mirror `x` (B, [D,] H, W, C)."""
        return ops.concatenate([_flip(x, axes) for axes in _axes(self.flips, len(x.shape))], axis=0)

    def compute_output_shape(self, input_shape):
        """A batch M times as large."""
        batch = input_shape[0]
        members = len(_axes(self.flips, len(input_shape)))
        return (None if batch is None else batch * members, *input_shape[1:])

    def get_config(self):
        """Arguments that rebuild the layer."""
        return super().get_config() | {"flips": self.flips}


@keras.saving.register_keras_serializable("kmed")
class Unmirror(Mirror):
    """Mirror each part of `Mirror`'s batch back: `(M * B, ...)` to the same shape."""

    def call(self, x):
        """Mirror `x` (M * B, [D,] H, W, K) back."""
        axes = _axes(self.flips, len(x.shape))
        parts = ops.split(x, len(axes), axis=0)
        return ops.concatenate([_flip(p, a) for p, a in zip(parts, axes, strict=True)], axis=0)

    def compute_output_shape(self, input_shape):
        """The same shape."""
        return input_shape


def _axes(flips: str, rank: int) -> list[tuple[int, ...]]:
    """Spatial axes along which each member is mirrored; the first is the image itself."""
    if flips == "horizontal":
        return [(), (rank - 2,)]
    spatial = range(1, rank - 1)
    return [axes for n in range(rank - 1) for axes in itertools.combinations(spatial, n)]


def _flip(x, axes):
    # One axis at a time: TFLite reverses neighbouring axes only.
    for axis in axes:
        x = ops.flip(x, axis=axis)
    return x
