"""Feature extractors: networks in whose features generated images are compared with real ones."""

from __future__ import annotations

import os
import warnings

import h5py
import keras
import numpy as np
from keras import ops

from kmed.layers.adaptive_pooling import AdaptiveAveragePooling
from kmed.layers.resizing import ResizeTo

_SMALLEST = 8  # pixels along an axis that the last of the random convolutions sees at least
_WIDTHS = 16, 32  # filters of the first random convolution and of the others
_INCEPTION = 299
_UNREADABLE = ValueError, OSError, KeyError, UserWarning
# Layers behind a classifier's last dense layer that have no features of their own.
_OUTPUTS = keras.layers.Activation, keras.layers.Softmax, keras.layers.Identity


def features(model: keras.Model, images: np.ndarray, batch_size: int = 64) -> np.ndarray:
    """Returns the features of images, a batch at a time.

    Args:
        model: extractor from `(B, [D,] H, W, C)` to `(B, F)`.
        images: `(N, [D,] H, W, C)` in [-1, 1], also memory-mapped.
        batch_size: images at once.

    Returns:
        `(N, F)` float32.

    Raises:
        ValueError: without an image, for images that the extractor doesn't take, or features that
            are no vectors or not finite.

    Example:
        >>> images = np.random.default_rng(0).uniform(-1, 1, (3, 32, 32, 1))
        >>> features(random_extractor((32, 32, 1)), images, batch_size=2).shape
        (3, 176)
    """
    if not len(images) or batch_size < 1:
        raise ValueError(
            f"there must be an image and `batch_size` at least 1; received {len(images)} images "
            f"and {batch_size}"
        )
    wanted, shape = model.input_shape, (None, *np.shape(images)[1:])
    if len(wanted) != len(shape) or any(
        None not in (n, m) and n != m for n, m in zip(wanted, shape, strict=True)
    ):
        raise ValueError(
            f"the extractor {model.name!r} takes images of shape {wanted[1:]} (None: any); "
            f"received {shape[1:]}"
        )
    found = []
    for first in range(0, len(images), batch_size):
        batch = np.asarray(images[first : first + batch_size], "float32")
        # Not `predict`: in a callback it would run under the training's distribution strategy.
        given = ops.convert_to_numpy(model(batch, training=False)).astype("float32")
        if given.ndim != 2 or not np.isfinite(given).all():
            raise ValueError(
                f"the extractor {model.name!r} must give finite features (B, F); received shape "
                f"{given.shape} for images {first} to {first + len(batch) - 1}"
            )
        found.append(given)
    return np.concatenate(found)


def extractor(network: keras.Model, layer: str | None = None) -> keras.Model:
    """Cuts a classifier where its features are, and averages them over the image.

    Args:
        network: functional model of one input, such as any of ours or of `keras.applications`; the
            extractor shares its weights.
        layer: name of the layer whose output is taken; None takes what its last dense layer gets,
            the penultimate features.

    Returns:
        Model from what the network takes to float32 `(B, F)`.

    Raises:
        ValueError: if there is no such layer or no last dense layer, or the features are no tensor
            of vectors or images.

    Example:
        >>> image = keras.Input((32, 32, 1))
        >>> pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(8, 3)(image))
        >>> extractor(keras.Model(image, keras.layers.Dense(2)(pooled))).output_shape
        (None, 8)
    """
    if not isinstance(network, keras.Model) or len(getattr(network, "inputs", None) or ()) != 1:
        raise ValueError("`network` must be a functional model of one input")
    if layer is None:
        tensor = _before_the_last_dense(network)
    elif layer in (names := [one.name for one in network.layers]):
        tensor = network.get_layer(layer).output
    else:
        raise ValueError(f"{network.name!r} has no layer {layer!r}; it has {', '.join(names)}")
    rank = len(getattr(tensor, "shape", ()))
    if rank not in (2, 4, 5):
        raise ValueError(
            "the features must be (B, F) or (B, [D,] H, W, F); received "
            f"{getattr(tensor, 'shape', type(tensor).__name__)} of layer {layer!r}"
        )
    if rank > 2:
        pooling = {4: keras.layers.GlobalAveragePooling2D, 5: keras.layers.GlobalAveragePooling3D}
        tensor = pooling[rank](dtype="float32", name="average")(tensor)
    return keras.Model(network.inputs[0], tensor, name=f"{network.name}_features")


def random_extractor(input_shape: tuple[int, ...], seed: int = 0) -> keras.Model:
    """Builds a small network of fixed random convolutions, the same wherever it is built.

    It needs no weights and knows no domain, so it is what to compare with where no classifier of
    such images exists. Its features follow brightness, texture and coarse layout; it does not know
    what an organ is. Convolutions 3x3 (16 filters, then 32) with ReLU, each behind the first after
    an averaging by 2, until 8 pixels or fewer are left along the shortest axis, three at least;
    the features are the means of each over the image, and those of the last over its halves.

    Reference: Naeem et al. 2020, "Reliable Fidelity and Diversity Metrics for Generative Models",
    section 3.2: features of random networks where ImageNet's do not fit. Their network is VGG16.

    Args:
        input_shape: of the images, `([D,] H, W, C)`, at least 8 along every spatial axis.
        seed: of the weights.

    Returns:
        Model from images in [-1, 1] to float32 `(B, F)`; its weights are not trainable.

    Raises:
        ValueError: for another shape.

    Example:
        >>> random_extractor((64, 64, 3)).output_shape
        (None, 208)
    """
    rank = len(input_shape) - 1
    if rank not in (2, 3) or None in input_shape or min(input_shape[:-1]) < _SMALLEST:
        raise ValueError(
            f"`input_shape` must be ([D,] H, W, C), all known and at least {_SMALLEST} along every "
            f"spatial axis; received {tuple(input_shape)}"
        )
    convolution, pooling, mean = {
        2: (
            keras.layers.Conv2D,
            keras.layers.AveragePooling2D,
            keras.layers.GlobalAveragePooling2D,
        ),
        3: (
            keras.layers.Conv3D,
            keras.layers.AveragePooling3D,
            keras.layers.GlobalAveragePooling3D,
        ),
    }[rank]
    options = {"dtype": "float32", "trainable": False}
    x = image = keras.Input(tuple(input_shape), dtype="float32", name="image")
    found, count = [], 0
    while count < 3 or min(x.shape[1:-1]) > _SMALLEST:
        if count:
            x = pooling(2, padding="same", dtype="float32")(x)
            found.append(mean(dtype="float32")(x))  # of the stage before: averaging keeps the mean
        count += 1
        x = convolution(
            _WIDTHS[count > 1],
            3,
            padding="same",
            activation="relu",
            use_bias=False,
            name=f"random_{count}",
            **options,
        )(x)
    halves = AdaptiveAveragePooling((2,) * rank, dtype="float32")(x)
    found.append(keras.layers.Flatten(dtype="float32")(halves))
    made = keras.Model(
        image, keras.layers.Concatenate(dtype="float32")(found), name="random_convolutions"
    )
    # NumPy's numbers: a backend's would change with its version.
    rng = np.random.default_rng(seed)
    made.set_weights(
        [
            rng.normal(0, np.sqrt(2 / np.prod(weight.shape[:-1])), weight.shape).astype("float32")
            for weight in made.weights
        ]
    )
    made.trainable = False
    return made


def inception(weights: str | os.PathLike) -> keras.Model:
    """Builds ImageNet's Inception V3 up to its last average pooling, of weights that you have.

    Nothing is downloaded. Images are resized to 299x299, bilinear, averaging where they shrink
    (Parmar et al. 2022, "On Aliased Resizing"), and grey ones become three equal channels. Keras'
    weights are not those of the network that published FIDs are computed with (TensorFlow's of
    2015), and that resizes otherwise: the numbers compare with each other, not with those.

    Reference: Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision".

    Args:
        weights: file of `keras.applications.InceptionV3`, with or without its last layer.

    Returns:
        Model from images `(B, H, W, 1 or 3)` in [-1, 1] to float32 `(B, 2048)`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it does not hold the weights of Inception V3.
    """
    weights = os.fspath(weights)
    if not os.path.isfile(weights):
        raise FileNotFoundError(
            f"there is no file {weights}; download the weights of Inception V3 from "
            "https://keras.io/api/applications and give their path"
        )
    if not h5py.is_hdf5(weights):
        raise ValueError(
            f"{weights} must hold the weights of `keras.applications.InceptionV3`: a .h5 file"
        )
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        image = keras.Input((None, None, None), name="image")
        resized = ResizeTo((_INCEPTION, _INCEPTION), name="fit")(ThreeChannels(name="rgb")(image))
        with warnings.catch_warnings():
            network = _inception(weights)
        made = keras.Model(image, network(resized, training=False), name="inception_v3")
    finally:
        keras.config.set_dtype_policy(policy)
    made.trainable = False
    return made


@keras.saving.register_keras_serializable("kmed")
class ThreeChannels(keras.layers.Layer):
    """Repeat grey images in three channels; colour images stay.

    Example:
        >>> tuple(ThreeChannels()(ops.ones((1, 2, 2, 1))).shape)
        (1, 2, 2, 3)
    """

    def call(self, x):
        """Give `x` (B, H, W, 1 or 3) three channels."""
        if x.shape[-1] not in (1, 3):
            raise ValueError(f"images must have 1 or 3 channels; received {x.shape[-1]}")
        return ops.repeat(x, 3 // x.shape[-1], axis=-1)

    def compute_output_shape(self, input_shape):
        """Shape with three channels."""
        return (*input_shape[:-1], 3)


def _inception(path):
    """The network up to its pooled features, from a file with or without the classes."""
    shape = (_INCEPTION, _INCEPTION, 3)
    # Keras only warns where some layers find nothing in the file and stay as they are.
    warnings.simplefilter("error", UserWarning)
    try:
        network = keras.applications.InceptionV3(
            include_top=False, weights=None, input_shape=shape, pooling="avg"
        )
        network.load_weights(path)
    except _UNREADABLE as without:
        try:
            whole = keras.applications.InceptionV3(weights=None, input_shape=shape)
            whole.load_weights(path)
        except _UNREADABLE:
            raise ValueError(
                f"{path} must hold the weights of `keras.applications.InceptionV3`: {without}"
            ) from without
        network = keras.Model(whole.inputs[0], whole.get_layer("avg_pool").output)
    return network


def _before_the_last_dense(network):
    """What the dense layer gets that gives the scores."""
    outputs = network.outputs
    layer = outputs[0]._keras_history.operation if len(outputs) == 1 else None
    while isinstance(layer, _OUTPUTS):
        layer = layer.input._keras_history.operation
    if not isinstance(layer, keras.layers.Dense):
        raise ValueError(
            f"{network.name!r} does not end in a dense layer; give the name of the `layer` whose "
            "features are meant"
        )
    return layer.input
