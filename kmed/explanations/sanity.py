"""Does an explanation depend on what the network learned?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
from scipy import stats

from kmed.explanations.grad_cam import grad_cam, heat_and_target


def randomized_similarity(
    network: keras.Model,
    images: np.ndarray,
    *,
    steps: int = 8,
    seed: int = 0,
    class_index: int | Sequence[int] | None = None,
    layer: str | Sequence[str] | None = None,
    variant: str = "grad_cam",
    mask: np.ndarray | None = None,
    score: Callable | None = None,
) -> dict[str, float]:
    """Compare heat maps with those of the network whose layers lose their weights from the top on.

    Reference: Adebayo et al. 2018, "Sanity Checks for Saliency Maps", section 3.1 (cascading
    randomisation, Spearman's rank correlation). A map that stays the same when the weights are
    random shows the image's edges, not what the network learned.

    A copy of the network is randomised; the network itself is not touched. Kernels are drawn anew
    as in He et al. 2015, vectors (biases, normalisation) take their initial values. Class and
    pixels that are explained stay those of the trained network.

    Args:
        network: see `grad_cam`.
        images: `(B, [D,] H, W, C)`; a dozen tell enough. Those whose map is empty do not count.
        steps: how many depths are measured, evenly from the head to the first layer; the last one
            has no trained weights left.
        seed: seed of the new weights.
        class_index: see `grad_cam`.
        layer: see `grad_cam`.
        variant: see `grad_cam`.
        mask: see `grad_cam`.
        score: see `grad_cam`.

    Returns:
        The mean Spearman correlation by the name of the last layer that was randomised, in the
        order of the cascade; "original" first, the untouched copy (1). 0 where a map is constant.

    Raises:
        ValueError: if no image has a map, or an argument is outside of what is said above.
    """
    if steps < 1:
        raise ValueError(f"`steps` must be at least 1; received {steps}")
    images = np.asarray(images, "float32")
    options = {"layer": layer, "variant": variant}
    heat, target = heat_and_target(
        network, images, class_index=class_index, mask=mask, score=score, **options
    )
    shown = heat.reshape(len(heat), -1).max(axis=1) > 0
    if not shown.any():
        raise ValueError("none of the `images` has a map to compare: nothing speaks for the class")
    heat, images = heat[shown], images[shown]
    options["score"] = score
    if target.class_index is not None:
        options["class_index"] = target.class_index[shown]
    if target.mask is not None:
        options["mask"] = target.mask[shown]

    copy = keras.models.clone_model(network)
    layers = [one for one in _layers(copy) if _arrays(one)][::-1]
    initial = {id(w): w.numpy() for one in layers for w in _arrays(one)}
    copy.set_weights(network.get_weights())
    curve = {"original": _similarity(heat, grad_cam(copy, images, **options))}
    seeds = np.random.default_rng(seed)
    last = {round(depth) for depth in np.linspace(len(layers) - 1, 0, min(steps, len(layers)))}
    for depth, one in enumerate(layers):
        for weight in _arrays(one):
            weight.assign(_fresh(weight, initial[id(weight)], seeds))
        if depth in last:
            curve[one.name] = _similarity(heat, grad_cam(copy, images, **options))
    return curve


def _layers(model) -> Iterator[keras.layers.Layer]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers(layer)
        else:
            yield layer


def _arrays(layer):
    # Not the masks of fixed dropout, which are whole numbers.
    return [w for w in layer.weights if keras.backend.is_float_dtype(w.dtype)]


def _fresh(weight, initial, seeds):
    if len(weight.shape) < 2:
        return initial
    seed = int(seeds.integers(2**31))
    return keras.initializers.HeNormal(seed=seed)(weight.shape, dtype=weight.dtype)


def _similarity(first, second) -> float:
    pairs = zip(first, second, strict=True)
    return float(np.mean([_spearman(a.ravel(), b.ravel()) for a, b in pairs]))


def _spearman(a, b) -> float:
    # A constant map has no order; scipy would warn and give no number.
    return stats.spearmanr(a, b).statistic if np.ptp(a) > 0 and np.ptp(b) > 0 else 0.0
