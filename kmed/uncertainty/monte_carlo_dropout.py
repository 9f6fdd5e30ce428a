"""Monte Carlo dropout: the mean of a network's thinned copies, drawn once."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops, tree

from kmed.uncertainty.flat_copy import copy_onto, image_of, inner_name, lay_open
from kmed.uncertainty.mean_logits import MeanLogits, kind_of
from kmed.uncertainty.mirroring import Mirror

_SPATIAL = (
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
)


def monte_carlo_dropout(
    network: keras.Model,
    samples: int = 16,
    *,
    seed: int = 0,
    kind: str | None = None,
    name: str | None = None,
) -> keras.Model:
    """Average a network's probabilities over samples of its dropout.

    Reference: Gal and Ghahramani 2016, "Dropout as a Bayesian Approximation".

    The masks of `Dropout` and `SpatialDropout` are drawn once, when the model is made, and are
    part of its weights. So the same image always gets the same result, in every format and in
    whatever batch it comes, and no exported file needs random numbers. Batch normalisation and all
    else stay as in inference. What comes before the first dropout is computed once for all
    samples. The weights are copies of the network's.

    Args:
        network: a functional model with dropout and logits `(B, [D,] H, W, K)` or `(B, K)`, or a
            dictionary with "logits".
        samples: how many samples; time and memory behind the first dropout grow with it.
        seed: seed of the masks.
        kind: "softmax", "sigmoid" or None: softmax, and sigmoid for a network of one logit.
        name: name of the model; by default the network's with "_monte_carlo".

    Returns:
        A functional model from the network's image to float32 logits of the mean probabilities.

    Raises:
        ValueError: if the network has no dropout of a rate above 0, or `Dropout` acts on a feature
            map of unknown size.
    """
    if samples < 1:
        raise ValueError(f"`samples` must be at least 1; received {samples}")
    image = image_of(network)
    network = lay_open(network)
    _check(network)
    # Tensors of the new graph that hold all samples, and those repeated for them. The tensors
    # themselves are kept: the identity of one that is gone may be another's.
    sampled, repeated, thinned = {}, {}, []

    def replace(layer):
        if not _drops(layer):
            return None
        thinned.append(layer.name)
        return FixedDropout(
            layer.rate,
            samples,
            (seed, len(thinned)),
            spatial=isinstance(layer, _SPATIAL),
            noise_shape=None if isinstance(layer, _SPATIAL) else layer.noise_shape,
            dtype=layer.dtype_policy.name,
        )

    def for_all_samples(x):
        if not isinstance(x, keras.KerasTensor) or id(x) in sampled:
            return x
        if id(x) not in repeated:
            layer = Repeat(samples, dtype=x.dtype, name=f"repeat{len(repeated)}")
            repeated[id(x)] = x, layer(x)
        return repeated[id(x)][1]

    def call(layer, *args, **kwargs):
        tensors = tree.flatten((args, kwargs))
        if isinstance(layer, FixedDropout) or any(id(x) in sampled for x in tensors):
            args, kwargs = tree.map_structure(for_all_samples, (args, kwargs))
            outputs = layer(*args, **kwargs)
            sampled.update((id(x), x) for x in tree.flatten(outputs))
            return outputs
        return layer(*args, **kwargs)

    rows = copy_onto(image, network, rename=inner_name, replace=replace, call=call)
    if id(rows) not in sampled:
        raise ValueError(f'no dropout of "{network.name}" is on the way to its logits')
    logits = MeanLogits(samples, kind_of(kind, rows.shape[-1]), name="logits")(rows)
    return keras.Model(image, logits, name=name or f"{network.name}_monte_carlo")


@keras.saving.register_keras_serializable("kmed")
class Repeat(keras.layers.Layer):
    """Repeat a batch: `(B, ...)` to `(times * B, ...)`, one whole batch after the other.

    Args:
        times: how many times.

    Example:
        >>> Repeat(2)(ops.array([[1.0], [2.0]])).numpy().ravel().tolist()
        [1.0, 2.0, 1.0, 2.0]
    """

    def __init__(self, times: int, **kwargs):
        """Keep the argument."""
        super().__init__(**kwargs)
        self.times = int(times)

    def call(self, x):
        """Repeat `x` (B, ...)."""
        return ops.tile(x, (self.times, *[1] * (len(x.shape) - 1)))

    def compute_output_shape(self, input_shape):
        """A batch `times` as large."""
        batch = input_shape[0]
        return (None if batch is None else batch * self.times, *input_shape[1:])

    def get_config(self):
        """Arguments that rebuild the layer."""
        return super().get_config() | {"times": self.times}


@keras.saving.register_keras_serializable("kmed")
class FixedDropout(keras.layers.Layer):
    """Dropout whose masks are drawn once, one for each sample, and used for every image.

    Takes `(samples * B, ...)`, one sample's whole batch after the other's. What stays is divided
    by `1 - rate`, as in Keras' dropout.

    Args:
        rate: probability of dropping, 0 to 1.
        samples: how many masks.
        seed: one number or several, from which the masks are drawn.
        spatial: drop whole channels.
        noise_shape: shape of a mask with the batch axis, 1 where it is shared, as for
            `keras.layers.Dropout`.
    """

    def __init__(self, rate, samples, seed, spatial=False, noise_shape=None, **kwargs):
        """Keep the arguments."""
        super().__init__(**kwargs)
        self.rate, self.samples = float(rate), int(samples)
        self.seed = tuple(int(s) for s in np.atleast_1d(seed))
        self.spatial = bool(spatial)
        self.noise_shape = None if noise_shape is None else tuple(noise_shape)

    def build(self, input_shape):
        """Draw the masks."""
        shape = list(input_shape[1:])
        if self.spatial:
            shape[:-1] = [1] * (len(shape) - 1)
        elif self.noise_shape is not None:
            wanted = zip(shape, self.noise_shape[1:], strict=True)
            shape = [size if noise is None else noise for size, noise in wanted]
        if None in shape:
            raise ValueError(
                f'the masks of the dropout "{self.name}" are drawn for one size, and its feature '
                f"map has shape {tuple(input_shape[1:])}: give the network a fixed `input_shape`, "
                "or use spatial dropout"
            )
        self.mask = self.add_weight(
            shape=(self.samples, *shape), dtype="uint8", trainable=False, name="mask"
        )
        # A weight and not only a seed: a file keeps its masks if numpy's generator ever changes.
        drawn = np.random.default_rng(self.seed).random(self.mask.shape) >= self.rate
        self.mask.assign(drawn.astype("uint8"))

    def call(self, x):
        """Thin `x` (samples * B, ...)."""
        rows = ops.shape(x)[0]
        sample = ops.arange(rows, dtype="int32") // (rows // self.samples)
        scale = 0.0 if self.rate == 1 else 1.0 / (1.0 - self.rate)
        mask = ops.cast(ops.convert_to_tensor(self.mask), x.dtype) * scale
        return x * ops.take(mask, sample, axis=0)

    def compute_output_shape(self, input_shape):
        """The same shape."""
        return input_shape

    def get_config(self):
        """Arguments that rebuild the layer."""
        return super().get_config() | {
            "rate": self.rate,
            "samples": self.samples,
            "seed": self.seed,
            "spatial": self.spatial,
            "noise_shape": self.noise_shape,
        }


def _drops(layer) -> bool:
    return isinstance(layer, (keras.layers.Dropout, *_SPATIAL)) and layer.rate > 0


def _check(network):
    if not any(_drops(layer) for layer in network.layers):
        raise ValueError(
            f'"{network.name}" has no Dropout or SpatialDropout of a rate above 0, so all samples '
            "would be equal: build it with dropout, or use `ensemble`"
        )
    if any(isinstance(layer, Mirror) for layer in network.layers):
        raise ValueError(
            "`monte_carlo_dropout` goes inside: take the samples of the network first, and give "
            "the result to `test_time_augmentation`"
        )
